"""Parameters are searched for within what is learnt from, chosen once, and stay with the version."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest

from evergreen.errors import ExtraMissing
from evergreen.judging.attempts import DueAttempt, TrainResult
from evergreen.records import AttemptRecord
from evergreen.steps.judge_model import judge_model
from evergreen.steps.promote_model import promote_model
from evergreen.steps.register_model import register_model
from evergreen.steps.reproduce_model import reproduce_model
from evergreen.steps.train_model import train_model
from tests.unit.small_loop import SmallLoop, day, doubled

# As it is, it learns next to nothing but the mean.
RIDGE = """\
from sklearn.linear_model import Ridge


def build_estimator(seed):
    return Ridge(alpha=1e4)


def suggest(trial):
    return {"alpha": trial.suggest_float("alpha", 1e-3, 1e4, log=True)}
"""
SEARCH: dict[str, Any] = {"window": "all", "min_labels": 5, "search": {"trials": 8}}


def asked(place: Path, estimator: str = RIDGE, law: Any = doubled, **search: Any) -> tuple[SmallLoop, DueAttempt]:
    """Five days, and a check on the last that asks; its labels are the holdout."""
    loop = SmallLoop.under(place, estimator=estimator, training=SEARCH | {"search": SEARCH["search"] | search})
    loop.take(doubled, 1, 2, 3, 4)
    loop.take(law, 5)
    return loop, loop.ask(5)


def runs(loop: SmallLoop) -> list[Any]:
    client = mlflow.MlflowClient(loop.at.tracking_uri, loop.at.tracking_uri)
    return list(client.search_runs([loop.stores.models._experiment]))


def counted(loop: SmallLoop) -> list[tuple[str, str]]:
    return sorted((run.data.tags["evergreen.role"], run.info.status) for run in runs(loop))


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallLoop, AttemptRecord]:
    """A version whose parameters were searched for is in force."""
    loop, due = asked(tmp_path_factory.mktemp("searched"))
    record = judge_model(loop.model, loop.at, due, train_model(loop.model, loop.at, due))
    version = register_model(loop.model, loop.at, due).version
    assert version is not None
    promote_model(loop.model, loop.at, due, version)
    return loop, record


def test_the_best_set_is_chosen_recorded_and_carried_on(searched: tuple[SmallLoop, AttemptRecord]) -> None:
    loop, record = searched
    told = record.searched
    assert told is not None
    assert (told.asked, told.trials, told.failed, set(told.params)) == (8, 8, 0, {"alpha"})
    assert told.best is not None
    assert told.default is not None
    assert told.best < 0.5 * told.default
    (promotion,) = loop.promotions
    packed = loop.stores.models.load_promoted(promotion)
    assert packed.spec.params == told.params
    assert packed.estimator.alpha == told.params["alpha"]
    assert promotion.trained_on == (day(1), day(5))
    card = mlflow.MlflowClient(loop.at.tracking_uri).download_artifacts(
        loop.stores.models.find_run(promotion.attempt, "champion"), "model_card.md"
    )
    assert "Parameters searched, 8 of 8 sets: alpha=" in Path(card).read_text()


def test_it_is_reproduced_by_the_chosen_ones_without_a_search(
    searched: tuple[SmallLoop, AttemptRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, _ = searched
    monkeypatch.setitem(sys.modules, "optuna", None)
    record = reproduce_model(loop.model, loop.at, loop.promotions[0].version, "ada: an audit")
    assert (record.equal, record.found) == (True, ())


def test_each_trial_is_a_run_within_the_challengers(searched: tuple[SmallLoop, AttemptRecord]) -> None:
    loop, record = searched
    assert record.searched is not None
    parent = loop.stores.models.find_run(record.verdict, "challenger")
    within = [run for run in runs(loop) if run.data.tags.get("mlflow.parentRunId") == parent]
    assert counted(loop) == [("challenger", "FINISHED"), ("champion", "FINISHED"), *[("trial", "FINISHED")] * 9]
    assert len(within) == 9
    losses = {run.data.metrics["inner_loss"] for run in within}
    assert min(losses) == record.searched.best
    assert {run.data.params.get("alpha") for run in within} >= {str(record.searched.params["alpha"]), None}


def test_who_would_be_the_champion_once_more_searches_no_more(searched: tuple[SmallLoop, AttemptRecord]) -> None:
    loop, _ = searched
    loop.take(doubled, 6)
    due = loop.ask(6, "due")
    trained = train_model(loop.model, loop.at, due)
    assert (trained.refresh, trained.run) == (True, None)
    # Another search is another recipe.
    other = loop.using(training={**SEARCH, "search": {"trials": 3}})
    again = train_model(other.model, loop.at, due)
    assert again.searched is not None
    assert again.searched["trials"] == 3


def test_killed_within_its_trials_it_leaves_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, due = asked(tmp_path)
    create = mlflow.MlflowClient.create_run
    with monkeypatch.context() as patch:

        def die(client: Any, *about: Any, run_name: str = "", **more: Any) -> Any:
            if run_name == "trial 4":
                raise KeyboardInterrupt
            return create(client, *about, run_name=run_name, **more)

        patch.setattr(mlflow.MlflowClient, "create_run", die)
        # A process that is killed ends no run.
        patch.setattr(mlflow, "start_run", _left_open(mlflow.start_run))
        with pytest.raises(KeyboardInterrupt):
            train_model(loop.model, loop.at, due)
    assert counted(loop) == [("challenger", "RUNNING"), *[("trial", "FINISHED")] * 4]
    trained = train_model(loop.model, loop.at, due)
    assert counted(loop) == [
        ("challenger", "FINISHED"), ("challenger", "KILLED"), *[("trial", "FINISHED")] * 9, *[("trial", "KILLED")] * 4
    ]  # fmt: skip
    # Asked again, it is read from the run.
    again = train_model(loop.model, loop.at, due)
    assert (again.run, again.searched) == (trained.run, trained.searched)
    assert len(runs(loop)) == 15


def _left_open(start: Any) -> Any:
    class Open:
        def __init__(self, **about: Any) -> None:
            self.run = start(**about)

        def __enter__(self) -> Any:
            return self.run

        def __exit__(self, *_: object) -> None:
            # Only this process forgets it.
            mlflow.tracking.fluent._active_run_stack.get().clear()

    return Open


def test_the_holdout_and_the_clock_take_no_part(tmp_path: Path) -> None:
    def other(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return 100 - 9 * x

    found = []
    for name, law in (("one", doubled), ("other", other)):
        loop, due = asked(tmp_path / name, law=law)
        found.append(train_model(loop.model, loop.at, due).searched)
    assert found[0] is not None
    assert found[0] == found[1]
    slow = RIDGE.replace("    return {", "    time.sleep(0.4)\n    return {").replace("from", "import time\n\nfrom", 1)
    loop, due = asked(tmp_path / "short", slow, seconds=1)
    cut = train_model(loop.model, loop.at, due).searched
    assert cut is not None
    assert 0 < cut["trials"] < cut["asked"] == 8


BROKEN = {
    "none": (RIDGE.partition("def suggest")[0], "has no function suggest"),
    "raises": (RIDGE.replace("return {", "return 1 / 0, {"), "suggest: raised ZeroDivisionError"),
    "no parameters": (RIDGE.replace('{"alpha": ', '["alpha", ').replace("log=True)}", "log=True)]"), "expected a dict"),
    "unknown": (RIDGE.replace('{"alpha":', '{"beta":'), "Invalid parameter 'beta' for estimator Ridge"),
}


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallLoop, DueAttempt]:
    """An attempt that is due, of which nothing that fails leaves anything."""
    return asked(tmp_path_factory.mktemp("waiting"))


@pytest.mark.parametrize("case", BROKEN)
def test_a_suggestion_that_cannot_be_fitted_is_the_folders_fault(
    case: str, waiting: tuple[SmallLoop, DueAttempt], capfd: pytest.CaptureFixture[str]
) -> None:
    (estimator, told), (loop, due) = BROKEN[case], waiting
    broken = replace(loop.model, code={**loop.model.code, "estimator.py": estimator})
    trained = train_model(broken, loop.at, due)
    assert (trained.run, trained.fault) == (None, True)
    assert "training.search: none of 8 sets of parameters could be fitted; the first: " in trained.why
    assert told in trained.why
    assert runs(loop) == []
    assert "Traceback" not in "".join(capfd.readouterr())


def test_without_optuna_it_says_which_extra_brings_it(
    waiting: tuple[SmallLoop, DueAttempt], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    loop, due = waiting
    with pytest.raises(ExtraMissing, match=r"training.search needs the package optuna.*evergreen\[search\]"):
        train_model(loop.model, loop.at, due)
    # Where no search is asked for, nobody misses it.
    plain = SmallLoop.under(tmp_path / "plain", estimator=RIDGE)
    plain.take(doubled, 1, 2)
    trained: TrainResult = train_model(plain.model, plain.at, plain.ask(2))
    assert (trained.searched, trained.run is not None) == (None, True)
