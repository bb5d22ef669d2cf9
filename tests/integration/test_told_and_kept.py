"""What a kill between two writes must not lose, and what must not be read as if it were whole."""

from pathlib import Path

import pytest
from deltalake import DeltaTable

from evergreen.config.locations import Locations
from evergreen.config.model_folder import load_model_folder
from evergreen.errors import SourceChanged
from evergreen.features.labelled import match_labels
from evergreen.incidents import announce, last_incident
from evergreen.records import ApprovalRecord, AttemptRecord, ClaimRecord, PromotionRecord
from evergreen.replay.runner import Runner
from evergreen.steps.send_alerts import send_alerts
from evergreen.storage.ledger import Ledger
from evergreen.storage.stores import open_stores
from tests.dying import Killed
from tests.short_loop import Told, begun, run, short_model


def test_what_was_decided_is_told_even_if_the_record_was_the_last_thing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, at = short_model(tmp_path, retrain={"any": [{"every": 1}]}), Locations.under(tmp_path)
    run(model, at, *range(1, 7))
    (model.path / "estimator.py").write_text("def build_estimator(seed):\n    raise RuntimeError('no such luck')\n")
    model = load_model_folder(model.path)
    put = Ledger.put

    def dies(self: Ledger, record: object) -> object:
        standing = put(self, record)  # type: ignore[type-var]
        if isinstance(record, AttemptRecord):
            raise Killed
        return standing

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "put", dies)
        with pytest.raises(Killed):
            run(model, at, 7, 8)
    assert last_incident(open_stores(at, model.id).ledger, "unfit") is not None


def test_a_yes_that_comes_after_the_code_was_edited_promotes_what_was_judged(tmp_path: Path) -> None:
    gate = {"metric": "mae", "min_rows": 50, "approval": "required"}
    model, at = short_model(tmp_path, gate=gate), Locations.under(tmp_path)
    run(model, at, *range(1, 5))
    stores = open_stores(at, model.id)
    attempt = stores.ledger.get(AttemptRecord, "2024-01-04.0", 0)
    assert attempt is not None
    waiting = last_incident(stores.ledger, "approval")
    assert waiting is not None
    assert waiting.resolved is None
    edited = model.path / "features.py"
    edited.write_text(edited.read_text().replace('batch["trip_distance"]', 'batch["trip_distance"] * 999'))
    stores.ledger.put(ApprovalRecord(as_of="2024-01-04", attempt=attempt.id, approved=True, by="a person"))
    model = load_model_folder(model.path)
    Runner(model, at, sinks=()).retrain()
    promotion = stores.ledger.get(PromotionRecord, "champion", 0)
    assert promotion is not None
    assert promotion.code == attempt.code != model.code_version
    assert "999" not in stores.models.load_promoted(promotion).code["features.py"]
    over = last_incident(stores.ledger, "approval")
    assert over is not None
    assert over.resolved is not None


def test_features_that_raise_on_one_batch_leave_it_unscored_and_the_next_one_goes_on(tmp_path: Path) -> None:
    model, at = short_model(tmp_path), Locations.under(tmp_path)
    features = model.path / "features.py"
    text = features.read_text()
    guard = '    if (batch["lpep_pickup_datetime"].dt.day == 5).mean() > 0.5:\n        raise ValueError("the fifth")\n'
    features.write_text(text.replace('    pickup = batch["lpep', guard + '    pickup = batch["lpep', 1))
    model = load_model_folder(model.path)
    run(model, at, 1, 2, 3, 4)
    run(model, at, 5, 6)
    ledger = open_stores(at, model.id).ledger
    first, last = ledger.get(ClaimRecord, "2024-01-05"), ledger.last(ClaimRecord, "2024-01-05")
    assert first is not None
    assert last is not None
    assert (first.version, last.version, last.revision) == (1, None, 1)
    assert "the fifth" in last.why
    after = ledger.last(ClaimRecord, "2024-01-06")
    assert after is not None
    assert after.version == 1


def test_an_estimator_that_raises_on_one_batch_leaves_it_unscored_and_the_next_one_goes_on(tmp_path: Path) -> None:
    """A linear model takes no missing value, and one day a feature is missing."""
    model, at = short_model(tmp_path), Locations.under(tmp_path)
    (model.path / "estimator.py").write_text(
        "from sklearn.linear_model import LinearRegression\n\n\n"
        "def build_estimator(seed):\n    return LinearRegression()\n"
    )
    features = model.path / "features.py"
    gap = 'batch["trip_distance"].mask(batch["lpep_pickup_datetime"].dt.day == 5)'
    features.write_text(features.read_text().replace('batch["trip_distance"]', gap))
    model = load_model_folder(model.path)
    run(model, at, 1, 2, 3, 4)
    run(model, at, 5, 6)
    ledger = open_stores(at, model.id).ledger
    unscored, after = ledger.last(ClaimRecord, "2024-01-05"), ledger.last(ClaimRecord, "2024-01-06")
    assert unscored is not None
    assert after is not None
    assert unscored.version is None
    assert "contains NaN" in unscored.why


def test_a_partition_that_lost_a_row_is_not_read_as_whole(tmp_path: Path) -> None:
    model, at = begun(tmp_path, 2)
    open_stores.cache_clear()
    stores = open_stores(at, model.id)
    DeltaTable(stores.lake.table_uri("labels")).delete("batch = '2024-01-02' AND trip_minutes > 20")
    with pytest.raises(SourceChanged, match="batch 2024-01-02"):
        match_labels(model.config.data_schema, stores, "2024-01-01", "2024-01-02")


def test_a_sink_that_was_away_is_told_of_both(tmp_path: Path) -> None:
    model, at = short_model(tmp_path), Locations.under(tmp_path)
    ledger = open_stores(at, model.id).ledger
    announce(ledger, "moved", "2024-01-04", "version 1")
    announce(ledger, "moved", "2024-01-09", "version 2")
    told = Told()
    assert send_alerts(model, at, (told,)).told == 2
    assert [message.text for message in told.messages] == ["version 1", "version 2"]
    assert send_alerts(model, at, (told,)).told == 0


def test_using_one_store_does_not_redirect_what_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow writes the server it was last told of into the environment, from which the live one would be read."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://live.example:5000")
    model, at = short_model(tmp_path), Locations.under(tmp_path)
    run(model, at, *range(1, 5))
    assert open_stores(at, model.id).ledger.last(PromotionRecord, "champion") is not None
    assert Locations.from_environment().tracking_uri == "http://live.example:5000"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    run(model, at, 5)
    assert Locations.from_environment().tracking_uri.startswith("sqlite:///")
