"""What newer labels are worth, and when a refresh is promoted for it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from evergreen.config.gate_config import GateConfig
from evergreen.features.explanation import read_explanation
from evergreen.features.labelled import match_labels
from evergreen.incidents import last_incident
from evergreen.judging.freshness import champion_freshness, judge_refresh
from evergreen.judging.uncertainty import error_between, expect_mean, expect_pooled
from evergreen.records import Freshness
from evergreen.replay.runner import Runner
from evergreen.steps.judge_model import judge_model
from evergreen.steps.promote_model import promote_model
from evergreen.steps.register_model import register_model
from evergreen.steps.train_model import train_model
from evergreen.storage.stores import open_stores
from tests.unit.small_loop import ESTIMATOR, FEATURES, ROWS, Law, SmallLoop, day, doubled, make_rows

GATE = GateConfig(metric="mae")


def test_three_attempts_must_tell_before_anything_is_believed() -> None:
    seen = [Freshness(gain=0.3, error=0.01)] * 3
    assert judge_refresh(GATE, seen[:2])[1] is False
    assert "told by 2 attempts, 3 are needed" in judge_refresh(GATE, seen[:2])[0]
    why, passed = judge_refresh(GATE, seen)
    assert passed
    assert why.startswith("refresh: newer labels were worth 30.0% over 3 attempts, expected 29.")


@pytest.mark.parametrize(
    ("gains", "passes"),
    [
        ([0.03] * 12, True),
        ([0.005] * 12, False),
        # As sure as each is, however far they lie apart: one odd week is no reason to keep the champion of that week.
        ([0.10, 0.10, 0.10, 0.10], True),
        ([-0.15, 0.15, 0.15, 0.15, 0.15], True),
        ([-0.30, 0.10, 0.10, 0.10, 0.10], False),
        ([-0.05] * 12, False),
    ],
)
def test_it_is_passed_for_what_it_is_expected_to_bring(gains: list[float], passes: bool) -> None:
    assert judge_refresh(GATE, [Freshness(gain=gain, error=0.01) for gain in gains])[1] is passes


def test_where_config_asks_for_proof_it_must_be_beyond_noise() -> None:
    gate = GATE.model_copy(update={"confidence": 0.95})
    seen = [Freshness(gain=gain, error=0.01) for gain in (0.21, 0.02, 0.01)]
    assert judge_refresh(GATE, seen)[1]
    why, passed = judge_refresh(gate, seen)
    assert (passed, "not beyond noise at 95%" in why) == (False, True)
    assert judge_refresh(gate, [Freshness(gain=gain, error=0.01) for gain in (0.21, 0.2, 0.19)])[1]


def test_pooled_differences_count_each_once_and_as_sure_as_they_are() -> None:
    means = np.array([0.04, 0.06, 0.05, 0.05])
    told = expect_pooled(means, np.full(4, 0.01), np.ones(4))
    assert (told.mean, told.blocks) == (pytest.approx(0.05), 4)
    assert told.error == pytest.approx(0.005)
    vague = expect_pooled(means, np.full(4, 0.2), np.ones(4))
    assert vague.error == pytest.approx(0.1)
    assert 0 < vague.expected < told.expected < told.mean


def test_a_difference_that_counts_more_pulls_the_mean_and_leaves_fewer_to_tell() -> None:
    means, errors = np.array([0.06, 0.02]), np.full(2, 0.001)
    told = expect_pooled(means, errors, np.array([3.0, 1.0]))
    assert told.mean == pytest.approx(0.05)
    # Shares of 3/4 and 1/4.
    assert told.error == pytest.approx(0.001 * 0.625**0.5)
    doubled = expect_pooled(means, errors, np.array([6.0, 2.0]))
    assert (doubled.mean, doubled.error) == (pytest.approx(told.mean), pytest.approx(told.error))


def test_newer_attempts_count_more_of_what_labels_more_are_worth() -> None:
    rising, falling = (
        [Freshness(gain=gain, error=0.005) for gain in gains]
        for gains in ([0.024] * 5 + [0.0] * 6, [0.0] * 6 + [0.024] * 5)
    )
    assert judge_refresh(GATE, rising)[1]
    assert not judge_refresh(GATE, falling)[1]


def test_the_error_is_read_back_from_an_interval() -> None:
    told = expect_mean(np.array([0.1, 0.2, 0.4]), np.array(["a", "a", "b"]))
    assert error_between(*told.ends) == pytest.approx(told.error)


def moving(number: float) -> Law:
    """A line that climbs by the day."""
    return lambda x, random: doubled(x, random) + 0.5 * number


@pytest.fixture(scope="module")
def drifting(tmp_path_factory: pytest.TempPathFactory) -> dict[int, SmallLoop]:
    """By its days, a loop in which each label batch makes a fit better; one window, so that nothing else can."""
    loop = SmallLoop.under(tmp_path_factory.mktemp("drifted"), training={"window": 2, "min_labels": 5})
    kept = {10: loop}
    for number in range(1, 11):
        loop.run(moving(number), number)
        if number in (7, 8):
            kept[number] = loop.copied(tmp_path_factory.mktemp("after"))
    return kept


@pytest.fixture(scope="module")
def drifted(drifting: dict[int, SmallLoop]) -> SmallLoop:
    """After ten days."""
    return drifting[10]


@pytest.fixture(scope="module")
def slowly(tmp_path_factory: pytest.TempPathFactory) -> SmallLoop:
    """Four days that differ half as much."""
    loop = SmallLoop.under(tmp_path_factory.mktemp("slowly"), training={"window": 2, "min_labels": 5})
    for number in range(1, 5):
        loop.run(moving(number / 2), number)
    return loop


def test_what_drifts_is_refreshed_with_each_batch_once_that_has_paid(drifted: SmallLoop) -> None:
    attempts = [drifted.attempt(number) for number in range(1, 11)]
    refreshed = [number for number, one in enumerate(attempts, 1) if one.refresh and one.outcome == "passed"]
    assert refreshed == list(range(refreshed[0], 11))
    assert refreshed[0] <= 7
    waited = [one for one in attempts if one.refresh and one.outcome == "refused"]
    assert waited
    assert all("nothing new to judge" in one.why for one in waited)
    # Each is fitted on the newest labels, and no run of a challenger stands beside it.
    last = drifted.promotions[-1]
    assert (last.as_of, last.trained_on) == (day(10), (day(9), day(10)))
    assert drifted.stores.models.find_run(attempts[-1].verdict, "challenger") is None
    assert attempts[-1].judgement is None


def test_what_newer_labels_were_worth_is_measured_on_labels_new_to_both(drifted: SmallLoop) -> None:
    """The champion of the last check has learnt days 8 and 9, the version before it 7 and 8; they meet on day 10."""
    told = drifted.attempt(10).freshness
    new = make_rows(10, moving(10))

    def loss(learnt: tuple[int, int]) -> np.ndarray:
        rows = [make_rows(number, moving(number)) for number in learnt]
        x, y = (np.concatenate([one[name] for one in rows]) for name in ("x", "y"))
        slope, start = np.polyfit(x, y, 1)
        return np.abs(new["y"] - start - slope * new["x"]).to_numpy()

    old, young = loss((7, 8)), loss((8, 9))
    gain = (old - young) / old.mean()
    assert told is not None
    assert told.gain == pytest.approx(gain.mean())
    assert told.error == pytest.approx(gain.std(ddof=1) / ROWS**0.5)
    # The refresh of that day has learnt day 10; what it goes by is measured on the champion, which has not.
    explained = read_explanation(drifted.stores.models.load_promoted(drifted.promotions[-1]).files)
    assert explained is not None
    assert explained.value == pytest.approx(young.mean())


def test_only_two_versions_of_one_recipe_tell_what_newer_labels_are_worth(drifted: SmallLoop) -> None:
    config, stores = drifted.model.config, drifted.stores
    (first, *_, before, champion) = drifted.promotions
    labelled = match_labels(config.data_schema, stores, day(10), day(10))

    def told(**changes: object) -> Freshness | None:
        return champion_freshness(config, stores, champion.model_copy(update=changes), labelled)

    assert told() is not None
    assert told(code="another") is None
    assert told(trained_on=(day(1), before.trained_on[1])) is None, "it must have learnt later labels"
    other = stores.models.load_promoted(first)
    assert (first.baseline, other.spec.window) == (True, "all")
    assert told(version=first.version, hashes=first.hashes) is None, "another window is another recipe"


def test_a_refresh_made_again_is_the_same(drifted: SmallLoop) -> None:
    before = [one.model_dump(exclude={"meta"}) for one in drifted.promotions]
    Runner(drifted.model, drifted.at, sinks=()).run_batch(day(10))
    assert [one.model_dump(exclude={"meta"}) for one in drifted.promotions] == before


def test_what_stays_is_not_refreshed(tmp_path: Path) -> None:
    loop = SmallLoop.under(tmp_path, training={"window": 2, "min_labels": 5})
    loop.run(doubled, *range(1, 10))
    attempts = [loop.attempt(number) for number in range(3, 10)]
    assert any(one.refresh for one in attempts)
    assert not any(one.refresh and one.outcome == "passed" for one in attempts)


def test_an_edit_between_training_and_judging_is_not_in_a_refresh(drifting: dict[int, SmallLoop]) -> None:
    loop = drifting[8]
    loop.take(moving(9), 9)
    champion, due = loop.promotions[-1], loop.ask(9, "due")
    trained = train_model(loop.model, loop.at, due)
    assert (trained.refresh, trained.run) == (True, None)
    edited = replace(loop.model, code={**loop.model.code, "estimator.py": ESTIMATOR + "\n# Another.\n"})
    assert edited.code_version != champion.code
    record = judge_model(edited, loop.at, due, trained)
    assert (record.outcome, record.code) == ("passed", champion.code)
    version = register_model(edited, loop.at, due).version
    assert version is not None
    assert loop.stores.models.version_tags(version)["evergreen.code"] == champion.code
    promotion = promote_model(edited, loop.at, due, version)
    assert loop.stores.models.load_promoted(promotion).code["estimator.py"] == ESTIMATOR
    assert (promotion.code, promotion.trained_on[1]) == (champion.code, day(9))
    assert promotion.refreshes == (champion.refreshes or champion.number)


def test_a_judged_version_that_somebody_deleted_stops_neither_check_nor_attempt(drifting: dict[int, SmallLoop]) -> None:
    loop = drifting[7]
    judged, champion = loop.promotions[-2:]
    assert champion.refreshes == judged.number
    client = MlflowClient(loop.at.tracking_uri, loop.at.tracking_uri)
    client.delete_model_version(loop.stores.models.name, str(judged.version))
    # As a process of tomorrow sees it.
    open_stores.cache_clear()
    assert not loop.stores.models.has_version(judged.version)
    loop.run(moving(8), 8)
    assert loop.verdicts[-1].outcomes.why.endswith("the first of this version")
    attempt = loop.attempt(8)
    assert (attempt.refresh, attempt.outcome, attempt.freshness) == (True, "passed", None)


BLIND = "def build_features(batch, history):\n    return batch[['x']] * 0\n"
BROKEN = "def build_features(batch, history):\n    raise ValueError('no such thing')\n"


@pytest.mark.parametrize("features", [BLIND, BROKEN], ids=["worse", "broken"])
def test_while_changed_code_is_refused_the_champion_is_fitted_anew_by_its_own(
    slowly: SmallLoop, tmp_path: Path, features: str
) -> None:
    loop = slowly.copied(tmp_path)
    before, champion = len(loop.promotions), loop.promotions[-1]
    assert not champion.baseline
    edited = replace(loop.model, code={**loop.model.code, "features.py": features})
    for number in range(5, 9):
        replace(loop, model=edited).run(moving(number / 2), number)
    later = loop.promotions[before:]
    assert [one.as_of for one in later][-2:] == [day(7), day(8)]
    for one in later:
        packed = loop.stores.models.load_promoted(one)
        assert (one.code, packed.code["features.py"], one.trained_on[1]) == (champion.code, FEATURES, one.as_of)
        assert one.refreshes == (champion.refreshes or champion.number)
    judged = [one.judgement for number in range(5, 9) if (one := loop.attempt(number)).judgement and one.refresh]
    assert judged
    assert all(one is not None and one.expected > 0.01 for one in judged)
    attempt = loop.attempt(8)
    assert (attempt.refresh, attempt.outcome, attempt.code) == (True, "passed", champion.code)
    refused = "no such thing" if features == BROKEN else "not above the minimum effect"
    assert attempt.why.startswith("the folder's code is refused (")
    assert refused in attempt.why
    # Somebody has to mend what cannot be fitted, however well the champion does.
    opened = last_incident(loop.stores.ledger, "unfit")
    assert (opened is not None and opened.resolved is None) is (features == BROKEN)
    loop.run(moving(4.5), 9)
    assert loop.attempt(9).outcome == "passed"
    closed = last_incident(loop.stores.ledger, "unfit")
    assert closed is None or closed.resolved is not None
