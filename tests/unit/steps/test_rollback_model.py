"""The way back: planned with what the gate thinks of it, made by the same record as any promotion."""

import pytest

from evergreen.errors import ModelNotFound, NotReady, Refused
from evergreen.records import WishRecord
from evergreen.replay.status import describe_version
from evergreen.steps.rollback_model import plan_rollback, roll_back, rollback_model
from tests.unit.small_loop import SmallLoop, day, doubled, make_rows


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """The baseline, version 2 from the third day on, and that day's labels, which are new to both."""
    loop = SmallLoop.begun(tmp_path_factory.mktemp("lived"), 3, retrain={"any": ["never"]})
    assert [(one.version, one.baseline) for one in loop.promotions] == [(1, True), (2, False)]
    return loop


@pytest.fixture
def loop(lived, tmp_path):
    """A copy, to go on with."""
    return lived.copied(tmp_path)


def test_a_plan_says_what_the_gate_thinks_and_changes_nothing(lived):
    plan = plan_rollback(lived.model, lived.at, None, "ada: it drifts")
    assert (plan.version, plan.instead) == (1, 2)
    judgement = plan.attempt.judgement
    assert (judgement.against, judgement.rows, plan.attempt.holdout) == ("version 2", 40, (day(3),))
    y = make_rows(3, doubled)["y"]
    assert judgement.challenger == pytest.approx((y - make_rows(1, doubled)["y"].median()).abs().mean())
    assert judgement.champion == pytest.approx((y - lived.predictions(3)["prediction"]).abs().mean())
    assert "not above the minimum effect" in plan.doubt
    assert len(lived.promotions) == 2


def test_a_rollback_is_a_promotion_like_any(loop):
    plan = plan_rollback(loop.model, loop.at, 1, "ada: it drifts")
    promotion = rollback_model(loop.model, loop.at, plan)
    assert (promotion.number, promotion.version, promotion.effective_from) == (3, 1, day(4))
    assert (promotion.baseline, promotion.trained_on, promotion.attempt) == (True, (day(1), day(1)), "rollback.3")
    assert loop.stores.models.champion() == (1, 3)
    # A second time it is the same.
    assert rollback_model(loop.model, loop.at, plan) == promotion
    loop.take(doubled, 4)
    assert loop.predictions(4)["prediction"].unique() == pytest.approx([make_rows(1, doubled)["y"].median()])
    told = "\n".join(describe_version(loop.model, loop.at, 1))
    assert "outcome: passed: rolled back: ada: it drifts" in told
    # And back again.
    plan = plan_rollback(loop.model, loop.at, None, "ada: a mistake")
    assert (plan.version, plan.instead, plan.doubt) == (2, 1, None)
    assert rollback_model(loop.model, loop.at, plan).number == 4


def test_a_wish_goes_back_once_however_often_it_is_made(loop):
    with pytest.raises(Refused, match=r"from version 2 to version 1: .*not above the minimum effect.* even_if_worse"):
        roll_back(loop.model, loop.at, "run-1", None, "ada", even_if_worse=False)
    assert len(loop.promotions) == 2
    promotion = roll_back(loop.model, loop.at, "run-1", None, "ada", even_if_worse=True)
    assert (promotion.number, promotion.version) == (3, 1)
    # Without the wish's name the version before the champion would be 2 again.
    assert roll_back(loop.model, loop.at, "run-1", None, "ada", even_if_worse=True) == promotion
    assert len(loop.promotions) == 3
    assert roll_back(loop.model, loop.at, "run-2", None, "bob", even_if_worse=False).version == 2


def test_a_wish_that_was_overtaken_between_its_writes_is_refused(loop):
    loop.stores.ledger.put(WishRecord(as_of=day(3), name="run-1", verdict="rollback.3"))
    roll_back(loop.model, loop.at, "run-2", 1, "bob", even_if_worse=True)
    loop.stores.ledger.put(WishRecord(as_of=day(3), name="run-3", verdict="rollback.2"))
    with pytest.raises(Refused, match="another version was promoted meanwhile"):
        roll_back(loop.model, loop.at, "run-3", None, "ada", even_if_worse=True)
    assert len(loop.promotions) == 3


def test_of_two_at_once_the_first_stands(loop):
    ada, bob = (plan_rollback(loop.model, loop.at, 1, who) for who in ("ada", "bob"))
    rollback_model(loop.model, loop.at, ada)
    assert rollback_model(loop.model, loop.at, bob) == loop.promotions[-1]
    assert "ada" in "\n".join(describe_version(loop.model, loop.at, 1))


@pytest.mark.parametrize("version", [2, 9])
def test_a_version_that_cannot_be_gone_back_to_is_answered_with_those_that_can(version, lived):
    with pytest.raises(ModelNotFound, match=rf"small: version {version} has not been promoted before; valid: 1$"):
        plan_rollback(lived.model, lived.at, version, "ada")


def test_before_anybody_serves_there_is_no_way_back(tmp_path):
    loop = SmallLoop.under(tmp_path)
    with pytest.raises(NotReady, match="small: nobody serves yet"):
        plan_rollback(loop.model, loop.at, None, "ada")
    loop.run(doubled, 1)
    with pytest.raises(ModelNotFound, match="an older version has not been promoted before; valid: none"):
        plan_rollback(loop.model, loop.at, None, "ada")


@pytest.mark.parametrize(
    ("changes", "doubt"),
    [
        ({"gate": {"metric": "mae", "min_rows": 50}}, "40 labels are new to both, 50 are needed to judge"),
        ({"labels": "none"}, "this model has no labels to judge by"),
    ],
)
def test_where_the_gate_cannot_tell_it_says_so_and_a_person_may_still_go_back(changes, doubt, loop):
    plan = plan_rollback(loop.using(**changes).model, loop.at, None, "ada")
    assert (plan.attempt.judgement, plan.doubt) == (None, doubt)
    assert rollback_model(loop.model, loop.at, plan).version == 1
