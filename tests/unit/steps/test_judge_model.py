"""What a judgement in the loop is made at, what it holds beyond the loss, and where it is told."""

import json
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import NotReady
from evergreen.judging.attempts import DueAttempt, TrainResult
from evergreen.records import AttemptRecord
from evergreen.replay.history import History
from evergreen.replay.measured_history import collect_history
from evergreen.replay.status import describe_version
from evergreen.steps.judge_model import judge_model
from evergreen.storage.stores import open_stores
from tests.short_loop import STREAM, run, short_model
from tests.unit.small_loop import Law, SmallLoop

GATE = {
    "metric": "mae", "min_rows": 50, "min_effect": 0, "sensitive": ["payment_type", "PULocationID"],
    "calibration": {"min_rows": 50},
}  # fmt: skip
Loop = tuple[ModelFolder, Locations, History]


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Loop:
    """A short run with a change at batch 7."""
    place = tmp_path_factory.mktemp("judged")
    model, at = short_model(place, gate=GATE), Locations.under(place)
    run(model, at, *range(1, 12), stream=replace(STREAM, broken=()))
    return model, at, collect_history(model, at, "2024-01-01", "2024-01-11")


def against_champion(history: History) -> list[AttemptRecord]:
    return [attempt for attempt in history.attempts if attempt.against]


def test_calibration_is_judged_against_a_champion_and_not_against_a_constant(loop: Loop) -> None:
    first, *later = loop[2].attempts
    assert first.judgement is not None
    assert first.judgement.against.startswith("the constant")
    assert first.judgement.calibration is None
    judged = [one.judgement.calibration for one in later if one.judgement]
    assert judged
    assert all(one is not None and one.rows >= 50 for one in judged)


@pytest.mark.parametrize("seed", [7, 8], ids=["the code that serves", "new code"])
def test_what_the_code_that_serves_may_new_code_may_not(tmp_path: Path, seed: int) -> None:
    """One fit on the same labels, which the seed does not change: probably better, by what its code is."""

    def line(level: float) -> Law:
        return lambda x, random: level + 6 * x + random.normal(0, 1, len(x))

    loop = SmallLoop.under(tmp_path, training={"window": 1, "min_labels": 5})
    loop.run(line(0), 1, 2, 3, 4)
    loop.run(line(0.8), 5)
    loop.using(model={"task": "regression", "seed": seed}).run(line(0.8), 6)
    # The baseline gives way to what will do, whatever its code.
    first, last = loop.attempt(2), loop.attempt(6)
    assert first.judgement is not None
    assert last.judgement is not None
    assert (first.outcome, first.judgement.worse > 0.005) == ("passed", True)
    assert 0.005 < last.judgement.worse < 0.05
    assert ("of new code 0.5% at most" in last.why) is (seed == 8)
    # While the folder's code is refused, the champion's own does as well on the same labels.
    assert (last.outcome, last.refresh, last.code) == ("passed", seed == 8, loop.model.code_version)


def test_labels_that_the_champion_has_learnt_judge_nobody(loop: Loop) -> None:
    model, at, history = loop
    champion = history.promotions[-1]
    # As config.yaml may say by the time of judging: the holdout begins with the last labels that the champion knows.
    learnt = ("2024-01-01", model.config.calendar.shift(champion.as_of, -1))
    assert champion.as_of < "2024-01-11"
    with pytest.raises(NotReady, match=f"labels up to {champion.as_of}; a holdout from {champion.as_of} on is not new"):
        judge_model(model, at, DueAttempt("2024-01-11.9", "2024-01-11"), TrainResult(None, learnt, 100))


def test_the_groups_of_sensitive_columns_stand_in_record_run_and_answer(loop: Loop) -> None:
    model, at, history = loop
    won = next(one for one in against_champion(history) if one.outcome == "passed")
    assert won.judgement is not None
    payment, zones = won.judgement.fairness
    assert [group.value for group in payment.groups] == ["1", "2"]
    assert sum(group.rows for group in payment.groups) == won.judgement.rows
    overall = sum(group.rows * group.challenger["mae"] for group in payment.groups) / won.judgement.rows
    assert overall == pytest.approx(won.judgement.challenger)
    # Forty zones of some seven rows each: all too small.
    assert (zones.groups, zones.left_out_rows) == ((), won.judgement.rows)

    stores = open_stores(at, model.id)
    run_id = stores.models.find_run(won.id, "challenger")
    mlflow.set_tracking_uri(at.tracking_uri)
    logged = json.loads(mlflow.artifacts.load_text(f"runs:/{run_id}/fairness.json"))
    assert logged == [report.model_dump(mode="json") for report in won.judgement.fairness]

    told = "\n".join(describe_version(model, at, 2))
    assert f"expected {won.judgement.expected:.1%}, worse with a probability of" in told
    assert "    calibration error: " in told
    gap = payment.champion_gap["mae"], payment.challenger_gap["mae"]
    assert f"    payment_type, largest gap between groups: mae {gap[0]:.4g} to {gap[1]:.4g}, mean_residual" in told
    assert f"      payment_type=1: mae {payment.groups[0].champion['mae']:.4g} to" in told
    assert f"{zones.left_out_groups} small groups left out, {zones.left_out_rows} rows" in told
