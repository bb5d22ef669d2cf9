"""config.yaml is edited between the tasks of a retraining: what was judged is what is fitted, recorded and promoted."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder, load_model_folder
from evergreen.features.packing import packing_folder, rebuild_model
from evergreen.judging.attempts import DueAttempt, find_due_attempt
from evergreen.records import ApprovalRecord, AttemptRecord, DataRecord, PromotionRecord
from evergreen.replay.runner import Runner
from evergreen.steps.judge_model import judge_model
from evergreen.steps.promote_model import promote_model
from evergreen.steps.register_model import register_model
from evergreen.steps.train_model import train_model
from evergreen.storage.stores import open_stores
from tests.short_loop import STREAM, registry, run, short_model

# Nothing happens in it that a first version could stumble over.
QUIET = replace(STREAM, broken=(), changed=13)
# Labels enough for a first version come when there is a window of them before the holdout.
TRAINING = {"window": 3, "min_labels": 700}
GATE = {"metric": "mae", "min_rows": 50}
OTHER: dict[str, dict[str, Any]] = {
    "training": {"window": 1},
    "model": {"seed": 8, "trusted_types": ["some.other.Type"]},
    "features": {"lookback": 2, "rowwise": False},
    "labels": {"max_delay": 0},
    "gate": {"min_rows": 60, "metric": "rmse"},
}


def edit(model: ModelFolder, /, **changes: Any) -> ModelFolder:
    """The folder after somebody has merged other settings."""
    path = model.path / "config.yaml"
    config = yaml.safe_load(path.read_text())
    for part, settings in changes.items():
        config[part] = settings if isinstance(settings, str) else config[part] | settings
    path.write_text(yaml.safe_dump(config))
    return load_model_folder(model.path)


def short(place: Path, **gate: Any) -> tuple[ModelFolder, Locations]:
    """A short loop whose first version is trained on a whole window."""
    return short_model(place, training=TRAINING, gate=GATE | gate), Locations.under(place)


def up_to_the_first_attempt(model: ModelFolder, at: Locations) -> DueAttempt:
    """Take batches in until an attempt is due, or waits for a yes."""
    for number in range(1, 11):
        run(model, at, number, stream=QUIET)
        attempt = find_due_attempt(model.config, open_stores(at, model.id))
        if attempt is not None:
            return attempt
    raise AssertionError("no attempt was due")


def left(model: ModelFolder, at: Locations) -> dict[str, Any]:
    """What a promotion left, but for where it stands."""
    stores = open_stores(at, model.id)
    promotion = stores.ledger.get(PromotionRecord, "champion", 0)
    assert promotion is not None
    data = stores.ledger.get(DataRecord, promotion.data)
    assert data is not None
    packed = stores.models.load_promoted(promotion)
    # An estimator's file has other bytes with each dump.
    hashes = {name: one for name, one in promotion.hashes.items() if name != "estimator.skops"}
    return {
        "promotion": promotion.body() | {"hashes": hashes},
        "data": data.body(),
        "spec": packed.spec,
        "reference": json.loads(packed.files["reference.json"]),
        **registry(model, at),
    }


def approve(model: ModelFolder, at: Locations, attempt: DueAttempt) -> None:
    ledger = open_stores(at, model.id).ledger
    ledger.put(ApprovalRecord(as_of=attempt.as_of, attempt=attempt.verdict, approved=True, by="a person"))


@pytest.fixture(scope="module")
def unedited(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is left where nobody edits anything."""
    model, at = short(tmp_path_factory.mktemp("unedited"), approval="required")
    approve(model, at, up_to_the_first_attempt(model, at))
    Runner(model, at, sinks=()).retrain()
    return left(model, at)


def test_a_late_yes_promotes_what_was_judged(tmp_path: Path, unedited: dict[str, Any]) -> None:
    model, at = short(tmp_path, approval="required")
    attempt = up_to_the_first_attempt(model, at)
    edited = edit(model, **OTHER)
    approve(edited, at, attempt)
    Runner(edited, at, sinks=()).retrain()
    assert left(edited, at) == unedited
    # From its record it is fitted anew as it was, too.
    stores = open_stores(at, model.id)
    promotion = stores.ledger.get(PromotionRecord, "champion", 0)
    assert promotion is not None
    with packing_folder() as folder:
        assert rebuild_model(edited, stores, promotion, folder).packed.spec == unedited["spec"]


def test_a_late_yes_finds_the_labels_that_were_judged_where_none_are_declared(
    tmp_path: Path, unedited: dict[str, Any]
) -> None:
    model, at = short(tmp_path, approval="required")
    attempt = up_to_the_first_attempt(model, at)
    expectations = yaml.safe_load((model.path / "expectations.yaml").read_text())
    (model.path / "expectations.yaml").write_text(yaml.safe_dump({"rows": expectations["rows"]}))
    edited = edit(model, labels="none")
    approve(edited, at, attempt)
    Runner(edited, at, sinks=()).retrain()
    assert left(edited, at) == unedited


def test_an_edit_between_registering_and_promoting_records_what_was_fitted(
    tmp_path: Path, unedited: dict[str, Any]
) -> None:
    model, at = short(tmp_path, approval="required")
    attempt = up_to_the_first_attempt(model, at)
    approve(model, at, attempt)
    registered = register_model(model, at, attempt)
    edited = edit(model, **OTHER)
    assert register_model(edited, at, attempt) == registered
    promotion = promote_model(edited, at, attempt, registered.version)
    assert promote_model(model, at, attempt, registered.version) == promotion
    assert left(edited, at) == unedited


@pytest.mark.parametrize("again", [False, True], ids=["trained once", "the training was run again"])
@pytest.mark.parametrize("least", [200, 1000])
def test_an_edit_between_training_and_judging_puts_nothing_learnt_into_the_holdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least: int, again: bool
) -> None:
    model, at = short(tmp_path)
    with monkeypatch.context() as waiting:
        waiting.setattr(Runner, "retrain", lambda self: None)
        attempt = up_to_the_first_attempt(model, at)
    trained = train_model(model, at, attempt)
    edited = edit(model, **OTHER | {"gate": {"min_rows": least}})
    if again:
        assert train_model(edited, at, attempt) == trained
    record = judge_model(edited, at, attempt, trained)
    stores = open_stores(at, model.id)
    assert trained.run is not None
    assert record.trained_on is not None
    assert stores.models.run_data(trained.run).tags["evergreen.trained_on"] == " to ".join(record.trained_on)
    assert (record.trained_on, record.training_rows) == (trained.trained_on, trained.rows)
    assert record.trained_on[1] < record.holdout[0]
    assert len(record.holdout) == 1
    assert record.holdout[-1] == attempt.as_of
    assert stores.ledger.get(AttemptRecord, attempt.verdict) == record
