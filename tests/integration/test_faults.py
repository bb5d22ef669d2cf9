"""A fault is not drift: broken data is kept apart, and the loop goes on without it."""

import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
import yaml

from evergreen.config.locations import Locations
from evergreen.config.model_folder import load_model_folder
from evergreen.errors import ModelIncompatible, NotReady
from evergreen.features.label_batches import label_batches
from evergreen.incidents import last_incident
from evergreen.records import (
    ArrivalRecord,
    BatchRecord,
    ClaimRecord,
    DataRecord,
    PromotionRecord,
    SectionVerdict,
    VerdictRecord,
)
from evergreen.replay.measured_history import collect_history
from evergreen.replay.report import write_report
from evergreen.replay.runner import Runner
from evergreen.steps.ingest_batch import ingest_batch
from evergreen.steps.validate_batch import validate_batch
from evergreen.steps.wait_for_batch import wait_for_batch
from evergreen.storage.stores import open_stores
from tests.short_loop import STREAM, TAXI, Told, begun, land, run, short_model, tables

NOW = datetime(2024, 2, 1, tzinfo=UTC)


def test_a_label_feed_in_other_units_is_a_fault_and_no_decay(tmp_path: Path) -> None:
    """Minutes become seconds: the labels are rejected, nothing decays, nothing is retrained."""
    model, at = begun(tmp_path, 5)
    ledger = open_stores(at, model.id).ledger
    land(model, at, 6)
    path = Path(at.landing) / model.id / "labels_2024-01-06.csv"
    labels = pd.read_csv(path)
    labels.assign(trip_minutes=labels["trip_minutes"] * 60).to_csv(path, index=False)
    told = Told()
    Runner(model, at, sinks=(told,)).run_batch("2024-01-06")
    sealed = ledger.get(BatchRecord, "labels.2024-01-06")
    assert sealed is not None
    assert (sealed.state, sealed.clean, sealed.quarantined) == ("rejected", 0, len(labels))
    verdict = ledger.get(VerdictRecord, "2024-01-06")
    assert verdict is not None
    assert (verdict.action, verdict.outcomes.state) == ("none", "ok")
    assert "2024-01-06" not in label_batches(model.config.data_schema, open_stores(at, model.id), "2024-01-06")
    fault = next(message for message in told.messages if message.incident.startswith("fault-labels"))
    assert "labels_2024-01-06.csv" in fault.text
    assert "trip_minutes" in fault.text
    claim = ledger.get(ClaimRecord, "2024-01-06")
    assert claim is not None
    assert claim.version == 1


def test_labels_beyond_all_measure_are_no_decay_and_can_be_shown(tmp_path: Path) -> None:
    """Nothing is expected of the labels, and some are as large as numbers get."""
    model, at = short_model(tmp_path), Locations.under(tmp_path)
    expectations = model.path / "expectations.yaml"
    expectations.write_text(yaml.safe_dump({"rows": yaml.safe_load(expectations.read_text())["rows"]}))
    model = load_model_folder(model.path)
    run(model, at, *range(1, 6))
    land(model, at, 6)
    path = Path(at.landing) / model.id / "labels_2024-01-06.csv"
    labels = pd.read_csv(path).astype({"trip_minutes": float})
    labels.loc[::10, "trip_minutes"] = 1.7e308
    labels.to_csv(path, index=False)
    Runner(model, at, sinks=()).run_batch("2024-01-06")
    verdict = open_stores(at, model.id).ledger.get(VerdictRecord, "2024-01-06")
    assert verdict is not None
    assert (verdict.action, verdict.outcomes.state) == ("none", "provisional")
    assert "mae cannot be told: trip_minutes lies between" in verdict.outcomes.why
    assert "1.7e+308" in verdict.outcomes.why
    write_report(collect_history(model, at, "2024-01-01", "2024-01-06"), tmp_path / "report.html")
    # Whoever reads a record sees what its writer saw.
    seen = SectionVerdict(state="bad", why="", numbers={"error": float("inf"), "by": {"a": float("nan"), "b": 1.0}})
    assert seen.numbers == {"error": None, "by": {"a": None, "b": 1.0}}
    assert SectionVerdict.model_validate_json(seen.model_dump_json()) == seen


def test_a_missing_label_feed_stops_no_scoring(tmp_path: Path) -> None:
    changes = {"labels": {**_labels(), "wait": "1h"}}
    model, at = short_model(tmp_path, **changes), Locations.under(tmp_path)
    run(model, at, *range(1, 6))
    land(model, at, 6)
    for name in ("labels_2024-01-06.csv", "labels_2024-01-06.done"):
        (Path(at.landing) / model.id / name).unlink()
    Runner(model, at, sinks=()).run_batch("2024-01-06", now=NOW)
    run(model, at, 7)
    ledger = open_stores(at, model.id).ledger
    missing = ledger.get(BatchRecord, "labels.2024-01-06")
    claim = ledger.get(ClaimRecord, "2024-01-06")
    assert missing is not None
    assert claim is not None
    assert missing.state == "missing"
    assert claim.version == 1
    assert "predictions/2024-01-06" in tables(model, at)
    stale = last_incident(ledger, "stale-labels")
    assert stale is not None
    assert stale.lost == ("2024-01-06",)
    assert stale.resolved is None
    # The labels that never came are no labels: nothing was put in their place.
    assert "labels/2024-01-06" not in tables(model, at)


def test_a_rejected_batch_reaches_no_training_set(tmp_path: Path) -> None:
    """Batch 3 of the stream has a renamed column; no data version of any model names it."""
    model, at = begun(tmp_path, 5)
    stores = open_stores(at, model.id)
    sealed = stores.ledger.get(BatchRecord, "rows.2024-01-03")
    assert sealed is not None
    assert sealed.state == "rejected"
    assert sealed.rows_in == sealed.quarantined > 100
    assert {reason.column for reason in sealed.reasons} == {"PULocationID"}
    kept = stores.lake.read_any("quarantine_rows", "2024-01-03", 0).to_pandas()
    assert len(kept) == sealed.rows_in
    assert json.loads(kept["content"][0])["pickup_location"]
    promotion = stores.ledger.get(PromotionRecord, "champion", 0)
    assert promotion is not None
    data = stores.ledger.get(DataRecord, promotion.data)
    assert data is not None
    assert {p.batch for p in data.partitions if p.table == "clean"} == {"2024-01-01", "2024-01-02", "2024-01-04"}
    fault = last_incident(stores.ledger, "fault-rows")
    assert fault is not None
    assert "green_2024-01-03.csv.gz" in fault.opened.told
    assert fault.resolved is None


def test_a_streak_of_faults_is_one_incident(tmp_path: Path) -> None:
    model, at = short_model(tmp_path), Locations.under(tmp_path)
    told = Told()
    for number in range(1, 5):
        land(model, at, number)
        path = Path(at.landing) / model.id / f"green_2024-01-{number:02d}.csv.gz"
        if number < 4:
            path.write_bytes(path.read_bytes()[:500])
        Runner(model, at, sinks=(told,)).run_batch(f"2024-01-{number:02d}")
    events = [message.event for message in told.messages if message.incident == "fault-rows.0"]
    assert events == ["opened", "seen again", "seen again"]
    assert last_incident(open_stores(at, model.id).ledger, "fault-rows").opened.n == 0  # type: ignore[union-attr]


def test_a_file_that_grows_is_not_read_and_one_that_comes_late_joins_the_next(tmp_path: Path) -> None:
    """Sizes must be seen twice; what is added to a sealed batch changes nothing of it."""
    source = _source() | {"complete": {"stable": "30s"}}
    model, at = short_model(tmp_path, source=source), Locations.under(tmp_path)
    folder = Path(at.landing) / model.id
    folder.mkdir(parents=True)
    whole = STREAM.make_rows(1).to_csv(index=False)
    path = folder / "green_2024-01-01.csv.gz"
    import gzip

    half = gzip.compress(whole[: len(whole) // 2].encode())
    path.write_bytes(half)
    first = wait_for_batch(model, at, "2024-01-01", NOW)
    assert first.state == "waiting"
    path.write_bytes(gzip.compress(whole.encode()))
    second = wait_for_batch(model, at, "2024-01-01", NOW, first.probe)
    assert second.state == "waiting", "it has grown between the looks"
    third = wait_for_batch(model, at, "2024-01-01", NOW, second.probe)
    assert third.state == "complete"
    arrival = ingest_batch(model, at, "2024-01-01")
    sealed = validate_batch(model, at, "2024-01-01")
    assert sealed.rows_in == len(STREAM.make_rows(1))

    # After sealing: the file is appended to, and another one is added.
    path.write_bytes(path.read_bytes() + b"garbage")
    extra = STREAM.make_rows(2).head(20)
    extra.to_csv(folder / "green_2024-01-01_b.csv.gz", index=False)
    before = tables(model, at)
    assert ingest_batch(model, at, "2024-01-01") == arrival
    assert validate_batch(model, at, "2024-01-01") == sealed
    assert tables(model, at) == before
    STREAM.make_rows(2).iloc[20:].to_csv(folder / "green_2024-01-02.csv.gz", index=False)
    taken = ingest_batch(model, at, "2024-01-02")
    assert [file.name for file in taken.files] == ["green_2024-01-02.csv.gz", "green_2024-01-01_b.csv.gz"]
    assert validate_batch(model, at, "2024-01-02").rows_in == len(STREAM.make_rows(2))


def test_late_files_of_a_rejected_batch_are_held(tmp_path: Path) -> None:
    model, at = begun(tmp_path, 3)
    STREAM.make_rows(4).to_csv(Path(at.landing) / model.id / "green_2024-01-03_b.csv.gz", index=False)
    run(model, at, 4)
    arrival = open_stores(at, model.id).ledger.get(ArrivalRecord, "rows.2024-01-04")
    assert arrival is not None
    assert [file.name for file in arrival.files] == ["green_2024-01-04.csv.gz"]


def test_batches_are_taken_oldest_first(tmp_path: Path) -> None:
    model, at = short_model(tmp_path), Locations.under(tmp_path)
    land(model, at, 1, 2)
    with pytest.raises(NotReady, match="2024-01-01 are not sealed"):
        ingest_batch(model, at, "2024-01-02")


def test_a_batch_that_never_comes_is_declared_missing_and_later_ones_go_on(tmp_path: Path) -> None:
    source = _source() | {"wait": "6h", "complete": {"stable": "1s"}}
    model, at = short_model(tmp_path, source=source), Locations.under(tmp_path)
    run(model, at, 1)
    end = datetime(2024, 1, 3, tzinfo=UTC)
    assert wait_for_batch(model, at, "2024-01-02", end + timedelta(hours=5)).state == "waiting"
    assert wait_for_batch(model, at, "2024-01-02", end + timedelta(hours=7)).state == "missing"
    land(model, at, 2)
    assert wait_for_batch(model, at, "2024-01-02", end).state == "missing", "once declared, it stays declared"
    (Path(at.landing) / model.id / "green_2024-01-02.csv.gz").unlink()
    Runner(model, at, sinks=()).run_batch("2024-01-02", now=end + timedelta(hours=7))
    run(model, at, 3, 4)
    stale = last_incident(open_stores(at, model.id).ledger, "stale-rows")
    assert stale is not None
    assert "2024-01-02" in stale.opened.told
    assert stale.resolved is None
    # It comes after all, as a late file of a later batch.
    land(model, at, 2, 5)
    run(model, at, 5)
    over = last_incident(open_stores(at, model.id).ledger, "stale-rows")
    assert over is not None
    assert over.resolved is not None
    assert over.resolved.as_of == "2024-01-05"


def test_a_dead_sink_delays_nothing_and_is_told_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from evergreen.sinks import HttpSink
    from evergreen.steps.send_alerts import send_alerts

    model, at = begun(tmp_path, 2)
    land(model, at, 3)
    with caplog.at_level(logging.WARNING):
        Runner(model, at, sinks=(HttpSink("http://127.0.0.1:9"),)).run_batch("2024-01-03")
    assert "was not accepted" in caplog.text
    told = Told(name="http")
    # Nobody scored the first two batches; the third was rejected.
    assert send_alerts(model, at, (told,)).told == 3
    assert send_alerts(model, at, (told,)).told == 0
    assert [message.incident for message in told.messages] == ["unscored.0", "unscored.0", "fault-rows.0"]


def test_an_alias_that_names_a_foreign_model_is_refused_by_name(tmp_path: Path) -> None:
    """Somebody registers a version of their own; it is never loaded as ours."""
    model, at = begun(tmp_path, 4)
    stores = open_stores(at, model.id)
    store, promotion = stores.models, stores.ledger.require(PromotionRecord, "champion")
    store._client.create_model_version(store.name, source=(tmp_path / "foreign").as_uri())
    with pytest.raises(ModelIncompatible, match="not by Evergreen"):
        store.load_promoted(promotion.model_copy(update={"version": 2}))


def _labels() -> dict[str, object]:
    return dict(yaml.safe_load((TAXI / "config.yaml").read_text())["labels"])


def _source() -> dict[str, object]:
    return {"files": "green_{batch:%Y-%m-%d}*.csv.gz", "wait": "forever"}
