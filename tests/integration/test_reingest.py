"""Corrections: a batch taken in again, and a label that changes, count from then on; what was decided stands."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import NotReady
from evergreen.features.labelled import match_labels
from evergreen.features.reading import published, read_keys
from evergreen.incidents import last_incident
from evergreen.records import (
    ArrivalRecord,
    AttemptRecord,
    BatchRecord,
    ClaimRecord,
    DataRecord,
    RevisionRecord,
    VerdictRecord,
)
from evergreen.replay.runner import Runner
from evergreen.steps.check_drift import check_drift
from evergreen.steps.ingest_batch import ingest_batch
from evergreen.steps.reingest_batch import describe_result, reingest_batch
from evergreen.steps.score_batch import score_batch
from evergreen.steps.validate_batch import validate_batch
from evergreen.storage.stores import open_stores
from tests.short_loop import STREAM, begun, land, records, registry, run, short_model, tables, take_labels

BROKEN, OPEN = "2024-01-03", "2024-01-08"
MENDED = replace(STREAM, broken=())


def day(number: int) -> str:
    return f"2024-01-{number:02d}"


def run_again(model: ModelFolder, at: Locations, *batches: str) -> None:
    """Each step of some batches once more."""
    for batch in batches:
        for step in (ingest_batch, validate_batch, score_batch, take_labels, check_drift):
            step(model, at, batch)
        Runner(model, at, sinks=()).retrain()


def published_keys(model: ModelFolder, at: Locations, batch: str) -> list[str]:
    """Keys of a batch's clean rows."""
    stores = open_stores(at, model.id)
    return list(read_keys(model.config.data_schema, stores, published(stores, "rows", [batch]))["trip_id"])


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelFolder, Locations, dict[str, str], list[str]]:
    """Seven batches, of which the third was rejected and is then delivered anew; what stood before, what was said."""
    home = tmp_path_factory.mktemp("reingest")
    model = short_model(home, training={"window": 6, "min_labels": 200}, retrain={"any": ["decay", {"every": 2}]})
    at = Locations.under(home)
    run(model, at, *range(1, 8))
    before = records(model, at) | tables(model, at) | registry(model, at)
    land(model, at, 3, stream=MENDED)
    told = list(describe_result(reingest_batch(model, at, BROKEN)))
    return model, at, before, told


Loop = tuple[ModelFolder, Locations, dict[str, str], list[str]]


def test_a_rejected_batch_becomes_sound_and_what_stood_stands(loop: Loop) -> None:
    model, at, before, told = loop
    after = records(model, at) | tables(model, at) | registry(model, at)
    assert {name: after[name] for name in before} == before
    ledger = open_stores(at, model.id).ledger
    first, second = ledger.get(BatchRecord, f"rows.{BROKEN}", 0), ledger.get(BatchRecord, f"rows.{BROKEN}", 1)
    assert first is not None
    assert second is not None
    assert (first.state, second.state) == ("rejected", "published")
    assert (second.batch, second.as_of) == (BROKEN, OPEN)
    made = ledger.get(RevisionRecord, "batches", 0)
    assert made is not None
    assert (made.batch, made.revision, made.as_of) == (BROKEN, 1, OPEN)
    assert (made.added, made.removed, made.changed) == (second.clean, 0, 0)
    assert told[0] == f"rows of batch {BROKEN}: revision 1, rejected before, published now"
    assert any(f"{second.clean} rows added: " in line for line in told)
    fault = last_incident(ledger, "fault-rows")
    assert fault is not None
    assert fault.resolved is not None


def test_unchanged_files_make_no_further_revision(loop: Loop) -> None:
    model, at, _, _ = loop
    before = records(model, at) | tables(model, at)
    result = reingest_batch(model, at, BROKEN)
    assert result.revision is None
    assert "nothing has changed since revision 1 (published)" in next(describe_result(result))
    assert records(model, at) | tables(model, at) == before


def test_what_is_run_again_for_an_earlier_batch_reads_what_it_read(loop: Loop) -> None:
    """Poison: after the revision, every step of every batch before it gives the same records and tables."""
    model, at, before, _ = loop
    stores = open_stores(at, model.id)
    open_stores.cache_clear()
    run_again(model, at, *[day(n) for n in range(1, 8)])
    after = records(model, at) | tables(model, at) | registry(model, at)
    assert {name: after[name] for name in before} == before
    assert published(stores, "rows", [BROKEN], day(7)) == []
    assert [p.revision for p in published(stores, "rows", [BROKEN], OPEN)] == [1]
    then = match_labels(model.config.data_schema, stores, day(1), day(7)).rows
    now = match_labels(model.config.data_schema, stores, day(1), OPEN).rows
    assert BROKEN not in set(then["batch"])
    assert (now["batch"] == BROKEN).sum() > 100


def test_a_verdict_that_was_lost_is_decided_again_as_it_was(loop: Loop, tmp_path: Path) -> None:
    """The stronger poison: the record itself is gone, and the revision lies there."""
    model, at, _, _ = loop
    ledger = open_stores(at, model.id).ledger
    stood = ledger.get(VerdictRecord, day(7))
    path = Path(at.lake) / "ledger" / at.env / model.id / "verdict" / day(7) / "0.json"
    kept = path.read_text()
    path.unlink()
    open_stores.cache_clear()
    try:
        assert check_drift(model, at, day(7)) == stood
    finally:
        path.write_text(kept)
        open_stores.cache_clear()


def test_later_trainings_learn_from_it_and_the_batch_is_not_scored(loop: Loop) -> None:
    model, at, _, _ = loop
    run(model, at, *range(8, 12))
    ledger = open_stores(at, model.id).ledger
    claim = ledger.last(ClaimRecord, BROKEN)
    assert claim is not None
    assert (claim.version, claim.why) == (None, "batch rejected")
    asked = [attempt for n in range(1, 12) for attempt in ledger.all(AttemptRecord, f"{day(n)}.0")]
    learnt = [attempt for attempt in asked if attempt.trained_on[1] >= OPEN]
    assert learnt, [attempt.trained_on for attempt in asked]
    data = ledger.get(DataRecord, learnt[0].data)
    assert data is not None
    assert (BROKEN, 1) in {(p.batch, p.revision) for p in data.partitions if p.table == "clean"}
    early = [attempt for attempt in asked if attempt.as_of < OPEN]
    assert early
    for attempt in early:
        data = ledger.get(DataRecord, attempt.data)
        assert data is not None
        assert BROKEN not in {p.batch for p in data.partitions if p.table == "clean"}


def test_a_scored_batch_keeps_its_predictions_and_its_mended_rows_count(tmp_path: Path) -> None:
    """Some rows go, some change, some come: the claim and its predictions stand, outcomes take the rows as mended."""
    model, at = begun(tmp_path, 6)
    stores = open_stores(at, model.id)
    path = Path(at.landing) / model.id / f"green_{day(6)}.csv.gz"
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    sound = published_keys(model, at, day(6))
    gone, other = sound[20], sound[30]
    rows.loc[rows["trip_id"] == other, "trip_distance"] = "59.0"
    extra = rows[rows["trip_id"] == other].assign(trip_id="t00600999")
    pd.concat([rows[rows["trip_id"] != gone], extra]).to_csv(path, index=False)
    before = tables(model, at)
    claim = stores.ledger.last(ClaimRecord, day(6))
    result = reingest_batch(model, at, day(6))
    assert result.keys == {"added": ["t00600999"], "removed": [gone], "changed": [other]}
    assert stores.ledger.last(ClaimRecord, day(6)) == claim
    assert score_batch(model, at, day(6)).claim == claim
    assert {name: hashed for name, hashed in tables(model, at).items() if name in before} == before
    land(model, at, 7)
    labels = Path(at.landing) / model.id / f"labels_{day(7)}.csv"
    known = pd.read_csv(labels)
    pd.concat([known, pd.DataFrame({"trip_id": ["t00600999"], "trip_minutes": [12.5]})]).to_csv(labels, index=False)
    Runner(model, at, sinks=()).run_batch(day(7))
    verdict = stores.ledger.get(VerdictRecord, day(7))
    assert verdict is not None
    assert verdict.outcomes.state != "provisional", verdict.outcomes.why
    placed = match_labels(model.config.data_schema, stores, day(7), day(7)).rows
    assert "t00600999" in set(placed["trip_id"])
    assert gone not in set(match_labels(model.config.data_schema, stores, day(6), day(7)).rows["trip_id"])


def test_labels_taken_in_again_correct_what_was_known(tmp_path: Path) -> None:
    model, at = begun(tmp_path, 6)
    stores = open_stores(at, model.id)
    path = Path(at.landing) / model.id / f"labels_{day(6)}.csv"
    labels = pd.read_csv(path)
    labels["trip_minutes"] = labels["trip_minutes"] + 10
    labels.to_csv(path, index=False)
    then = match_labels(model.config.data_schema, stores, day(5), day(6)).rows
    result = reingest_batch(model, at, day(6), "labels")
    assert result.revision is not None
    assert (result.revision.added, result.revision.removed, result.revision.changed) == (0, 0, result.after.clean)
    assert match_labels(model.config.data_schema, stores, day(5), day(6)).rows.equals(then)
    now = match_labels(model.config.data_schema, stores, day(5), day(7)).rows
    assert now[["trip_id", "known"]].equals(then[["trip_id", "known"]])
    corrected = now["trip_id"].isin(labels["trip_id"])
    assert (now.loc[corrected, "trip_minutes"] - then.loc[corrected, "trip_minutes"]).round(6).eq(10).all()


def test_a_row_that_a_revision_moves_to_a_later_batch_keeps_its_place(tmp_path: Path) -> None:
    """What a champion has learnt from is not judged on, however its file is sorted anew."""
    model, at = begun(tmp_path, 5)
    stores = open_stores(at, model.id)
    folder = Path(at.landing) / model.id
    placed = match_labels(model.config.data_schema, stores, day(4), day(4)).rows
    moved = placed.loc[placed["batch"] == day(4), "trip_id"].iloc[0]
    path = folder / f"green_{day(4)}.csv.gz"
    rows = pd.read_csv(path, dtype=str)
    rows[rows["trip_id"] != moved].to_csv(path, index=False)
    result = reingest_batch(model, at, day(4))
    assert result.keys["removed"] == [moved]
    land(model, at, 6)
    late = folder / f"green_{day(6)}.csv.gz"
    pd.concat([pd.read_csv(late, dtype=str), rows[rows["trip_id"] == moved]]).to_csv(late, index=False)
    Runner(model, at, sinks=()).run_batch(day(6))
    assert moved not in set(match_labels(model.config.data_schema, stores, day(6), day(6)).rows["trip_id"])
    kept = match_labels(model.config.data_schema, stores, day(4), day(6)).rows.set_index("trip_id").loc[moved]
    assert (kept["batch"], kept["known"]) == (day(6), day(4))


def test_a_rejected_revision_takes_nobodys_place(tmp_path: Path) -> None:
    model, at = begun(tmp_path, 2)
    stores = open_stores(at, model.id)
    stood = published(stores, "rows", [day(2)])
    path = Path(at.landing) / model.id / f"green_{day(2)}.csv.gz"
    sound = path.read_bytes()
    path.write_bytes(b"not a file")
    result = reingest_batch(model, at, day(2))
    assert (result.after.state, result.after.revision, result.revision) == ("rejected", 1, None)
    assert "it takes nobody's place" in list(describe_result(result))[-1]
    assert published(stores, "rows", [day(2)]) == stood
    path.write_bytes(sound)
    assert reingest_batch(model, at, day(2)).after.revision == 2
    assert [p.content for p in published(stores, "rows", [day(2)])] == [p.content for p in stood]


def test_what_is_not_sealed_or_not_there_is_refused_by_name(tmp_path: Path) -> None:
    model, at = begun(tmp_path, 1)
    with pytest.raises(NotReady, match=r"rows of batch 2024-01-02 are not sealed"):
        reingest_batch(model, at, day(2))
    with pytest.raises(ValueError, match=r"'yesterday' is no batch"):
        reingest_batch(model, at, "yesterday")
    (Path(at.landing) / model.id / f"green_{day(1)}.csv.gz").unlink()
    with pytest.raises(NotReady, match=r"rows of batch 2024-01-01 are not complete: no file fits"):
        reingest_batch(model, at, day(1))


def test_a_late_file_stays_with_the_batch_that_took_it(tmp_path: Path) -> None:
    model, at = begun(tmp_path, 1)
    folder = Path(at.landing) / model.id
    late = folder / f"green_{day(1)}_late.csv.gz"
    pd.read_csv(folder / f"green_{day(1)}.csv.gz", dtype=str).iloc[:5].assign(
        trip_id=[f"late{i}" for i in range(5)]
    ).to_csv(late, index=False)
    run(model, at, 2)
    ledger = open_stores(at, model.id).ledger
    taken = ledger.get(ArrivalRecord, f"rows.{day(2)}")
    assert taken is not None
    assert late.name in {file.name for file in taken.files}
    assert reingest_batch(model, at, day(1)).revision is None
    assert reingest_batch(model, at, day(2)).revision is None


def test_a_correction_counts_from_its_arrival_and_a_verdict_before_it_stands(tmp_path: Path) -> None:
    """Through the loop: labels of batch 5 are corrected in the feed of batch 8; one key comes twice and differs."""
    model, at = begun(tmp_path, 7)
    stores = open_stores(at, model.id)
    before = records(model, at)
    then = match_labels(model.config.data_schema, stores, day(5), day(7)).rows.set_index("trip_id")
    corrected = then[then["known"] == day(7)].index[:40]
    torn = then[then["known"] == day(7)].index[40]
    land(model, at, 8)
    path = Path(at.landing) / model.id / f"labels_{day(8)}.csv"
    new = pd.DataFrame({"trip_id": corrected, "trip_minutes": then.loc[corrected, "trip_minutes"] + 100})
    both = pd.DataFrame({"trip_id": [torn, torn], "trip_minutes": [50.0, 60.0]})
    pd.concat([pd.read_csv(path), new, both]).to_csv(path, index=False)
    Runner(model, at, sinks=()).run_batch(day(8))
    run_again(model, at, day(7))
    assert {name: record for name, record in records(model, at).items() if name in before} == before
    assert match_labels(model.config.data_schema, stores, day(5), day(7)).rows.set_index("trip_id").equals(then)
    now = match_labels(model.config.data_schema, stores, day(5), day(8)).rows.set_index("trip_id")
    assert (now.loc[corrected, "trip_minutes"] - then.loc[corrected, "trip_minutes"]).round(6).eq(100).all()
    assert (now.loc[corrected, "known"] == day(7)).all()
    assert now.loc[torn, "trip_minutes"] == then.loc[torn, "trip_minutes"]
    sealed = stores.ledger.get(BatchRecord, f"labels.{day(8)}")
    assert sealed is not None
    assert [(r.expectation, r.rows) for r in sealed.reasons] == [("unique by trip_id", 2)]
    old, new_verdict = stores.ledger.get(VerdictRecord, day(7)), stores.ledger.get(VerdictRecord, day(8))
    assert old is not None
    assert new_verdict is not None
    arrived_in_7 = [v.outcomes.numbers["by_arrival_of_labels"][day(7)] for v in (old, new_verdict)]
    assert arrived_in_7[1] > arrived_in_7[0] + 5
