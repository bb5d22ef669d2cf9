"""Policies: what each finds in a situation, what several find together, and what a budget allows."""

from types import SimpleNamespace

import pytest

from evergreen.config.model_folder import ModelFolder, load_model_folder, parse_policies
from evergreen.judging.attempts import get_verdict
from evergreen.policies import Situation, describe_situation, find_reasons, tell_over_budget
from evergreen.records import AttemptRecord, ClosingRecord, PromotionRecord, SectionVerdict, VerdictRecord
from evergreen.storage.stores import open_stores

OK, BAD = (SectionVerdict(state=state, why="") for state in ("ok", "bad"))
PROVISIONAL = SectionVerdict(state="provisional", why="")
ANY = "decay+every:4+code_changed+never"


def day(number):
    return f"2024-01-{number:02d}"


@pytest.mark.parametrize(
    ("policies", "idle", "outcomes", "changed", "reasons"),
    [
        ("never", 999, BAD, True, ()),
        ("every:4", 3, BAD, True, ()),
        ("every:4", 4, OK, False, ("due",)),
        ("every:4", 9, OK, False, ("due",)),
        ("decay", 999, OK, True, ()),
        ("decay", 0, BAD, False, ("decay",)),
        ("decay", 999, PROVISIONAL, True, ()),
        ("code_changed", 999, BAD, False, ()),
        ("code_changed", 0, OK, True, ("code_changed",)),
        (ANY, 3, OK, False, ()),
        (ANY, 4, BAD, True, ("decay", "due", "code_changed")),
        ("every:4+every:2", 4, OK, False, ("due",)),
    ],
)
def test_what_policies_ask_for(policies, idle, outcomes, changed, reasons):
    situation = Situation(idle=idle, outcomes=outcomes, code_changed=changed)
    assert find_reasons(parse_policies(policies).any, situation) == reasons


@pytest.fixture
def loop(write_folder, edit_config, at):
    """A model under some policies, promoted on the third day, and what puts later asks on record."""

    def make(retrain):
        config = edit_config("retrain: {any: [decay, {every: 28}]}", f"retrain: {retrain}")
        model = load_model_folder(write_folder(config=config))
        stores = open_stores(at, model.id)
        promotion = PromotionRecord(
            as_of=day(3), number=1, version=1, attempt=f"{day(2)}.0", code="old", data="d",
            trained_on=(day(1), day(2)), effective_from=day(4), error=1.0,
        )  # fmt: skip
        stores.ledger.put(promotion)
        asks = []

        def ask(number, reason="due", code=None, tried=None, spent=None, closed=None):
            name = f"{day(number)}.0"
            stores.ledger.put(
                VerdictRecord(
                    as_of=day(number), n=0, covers=(), promotion=1, version=1, freshness=OK, inputs=OK, predictions=OK,
                    outcomes=OK, reasons=(reason,), action="retrain", last_ask=name, code=code,
                    previous_ask=asks[-1] if asks else None,
                )
            )  # fmt: skip
            asks.append(name)
            if tried or spent:
                stores.ledger.put(
                    AttemptRecord(
                        as_of=day(number + 1), verdict=name, trained_on=None, training_rows=0, data="d",
                        code=tried or "old", holdout=(), against=1, judgement=None, outcome="refused", why="",
                        meta={"cpu_seconds": spent or 0.0},
                    )
                )  # fmt: skip
            if closed:
                stores.ledger.put(ClosingRecord(as_of=day(closed), verdict=name, outcome="refused", why=""))
            return name

        def describe(number, asked=None, later=False):
            return describe_situation(model, stores, day(number), promotion, asked, OK, later)

        return SimpleNamespace(model=model, stores=stores, promotion=promotion, ask=ask, describe=describe)

    return make


def test_idle_batches_count_from_the_promotion_or_the_last_retraining(loop):
    found = loop("{any: [decay]}")
    assert found.describe(10).idle == 7
    asked = found.ask(5, closed=6)
    assert found.describe(10, asked).idle == 4
    # What was closed at the check's own batch came after it.
    assert found.describe(6, asked).idle == 3
    assert found.describe(10, found.ask(8)).idle == 7


CODES = {
    "nobody has asked since": ([], True),
    "it was asked for": ([("code_changed", "new", None)], False),
    "it was tried for another reason": ([("decay", None, "new")], False),
    "other code was asked for": ([("code_changed", "other", "other")], True),
    "it was asked for, then something else": ([("code_changed", "new", None), ("due", None, "other")], False),
}


@pytest.mark.parametrize("case", CODES)
def test_code_that_was_asked_for_or_tried_is_not_asked_for_again(case, loop, monkeypatch):
    asks, expected = CODES[case]
    monkeypatch.setattr(ModelFolder, "code_version", "new")
    found = loop("{any: [decay, code_changed]}")
    # What was asked for before the promotion, with the same code, was answered by it.
    asked = found.ask(2, "code_changed", "new")
    for number, ask in enumerate(asks):
        asked = found.ask(4 + 2 * number, *ask)
    assert found.describe(12, asked).code_changed is expected
    assert not found.describe(12, asked, later=True).code_changed
    monkeypatch.setattr(ModelFolder, "code_version", "old")
    assert not found.describe(12, asked).code_changed


@pytest.mark.parametrize(("code", "expected"), [("new", False), ("other", True)])
def test_code_that_was_refused_is_not_asked_for_again_though_the_champion_was_refreshed(
    code, expected, loop, monkeypatch
):
    """Asked for on the fourth day, refused, and the champion's own code fitted anew then and later."""
    monkeypatch.setattr(ModelFolder, "code_version", "new")
    found = loop("{any: [{every: 1}, code_changed]}")
    first, last = found.ask(4, "code_changed", code), found.ask(6, "due")
    judged = found.promotion
    for number, (of_day, attempt) in enumerate([(4, first), (6, last)], 2):
        told = {"number": number, "as_of": day(of_day), "attempt": attempt, "refreshes": 1}
        found.stores.ledger.put(judged.model_copy(update=told))
    refreshed = found.stores.ledger.last(PromotionRecord, "champion")
    situation = describe_situation(found.model, found.stores, day(7), refreshed, last, OK)
    assert situation.code_changed is expected


def test_changed_code_is_looked_for_only_where_a_policy_asks(loop, monkeypatch):
    monkeypatch.setattr(ModelFolder, "code_version", "new")
    assert not loop("{any: [decay]}").describe(12).code_changed


def test_a_budget_rests_until_the_last_training_is_paid(loop):
    # Made at the 6th, 100 CPU seconds at 30 a batch: too much after three batches, enough after four.
    found = loop("{any: [{every: 1}], budget: 30s}")
    config, asked = found.model.config, found.ask(5, spent=100.0)
    assert get_verdict(found.stores, asked).reasons == ("due",)
    over = {n: tell_over_budget(config, found.stores, day(n), asked) for n in (7, 9, 10, 20)}
    told = f"the last one took 100 CPU seconds; retrain.budget allows the next at batch {day(10)}"
    assert over == {7: told, 9: told, 10: "", 20: ""}
    assert not tell_over_budget(config, found.stores, day(9), None)
    assert not tell_over_budget(config, found.stores, day(9), found.ask(8))


def test_a_training_is_paid_at_the_batch_at_which_the_budget_makes_up_its_cost(loop):
    found = loop("{any: [{every: 1}], budget: 30s}")
    config, asked = found.model.config, found.ask(5, spent=90.0)
    assert [bool(tell_over_budget(config, found.stores, day(n), asked)) for n in (8, 9)] == [True, False]


@pytest.mark.parametrize("closed", [None, 6])
def test_a_cadence_asks_after_so_many_batches_and_not_one_sooner(closed, loop):
    """Promoted at the 3rd, closed at the 6th: every fourth batch is the 7th or the 10th."""
    found = loop("{any: [{every: 4}]}")
    asked = found.ask(5, closed=closed) if closed else None
    due = {n for n in range(5, 13) if find_reasons(found.model.config.policies, found.describe(n, asked)) == ("due",)}
    assert min(due) == (10 if closed else 7)


def test_without_a_budget_any_cost_is_allowed(loop):
    found = loop("{any: [{every: 1}]}")
    assert not tell_over_budget(found.model.config, found.stores, day(7), found.ask(5, spent=1e6))
