"""Intake: each file is one batch's, once; what comes late joins the next open batch."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from evergreen.config.model_folder import load_model_folder
from evergreen.errors import NotReady, SourceChanged
from evergreen.records import ArrivalRecord, BatchRecord, SourceFile
from evergreen.sources.intake import fetch, probe_feed, source_of, take_in
from evergreen.sources.landing import LandedFile
from evergreen.storage.stores import open_stores

NOW = datetime(2024, 1, 5, tzinfo=UTC)


@pytest.fixture
def land(write_folder, at):
    """A model and a way to land its files."""
    model = load_model_folder(write_folder())

    def put(*names, text="id,at,distance,zone\n"):
        for name in names:
            path = Path(at.landing, model.id) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return model

    return put


def seal(model, at, batch, state="published", feed="rows"):
    open_stores(at, model.id).ledger.put(BatchRecord(as_of=batch, feed=feed, revision=0, state=state))


def names(arrival):
    return [file.name for file in arrival.files]


def test_a_batch_takes_its_own_files_and_keeps_them_as_they_came(land, at):
    model = land("trips_2024-01-01_b.csv", "trips_2024-01-01_a.csv", "trips_2024-01-02.csv", "trips_2024-01-01.done")
    arrival = take_in(model, at, "rows", "2024-01-01")
    assert names(arrival) == ["trips_2024-01-01_a.csv", "trips_2024-01-01_b.csv"]
    (Path(at.landing, model.id) / "trips_2024-01-01_a.csv").write_text("changed since")
    kept = fetch(open_stores(at, model.id), arrival.files[0])
    assert kept.content == b"id,at,distance,zone\n"
    assert (arrival.files[0].size, arrival.files[0].sha256) == (20, kept.sha256)


def test_a_batch_that_was_taken_in_is_not_taken_in_again(land, at):
    model = land("trips_2024-01-01.csv")
    first = take_in(model, at, "rows", "2024-01-01")
    land("trips_2024-01-01_more.csv")
    assert take_in(model, at, "rows", "2024-01-01") == first
    assert open_stores(at, model.id).ledger.get(ArrivalRecord, "rows.2024-01-01", 1) is None


@pytest.mark.parametrize("state", ["published", "missing"])
def test_late_files_join_the_next_open_batch_once(state, land, at):
    model = land("trips_2024-01-01.csv")
    take_in(model, at, "rows", "2024-01-01")
    seal(model, at, "2024-01-01", state)
    land("trips_2024-01-01_late.csv", "trips_2024-01-02.csv")
    arrival = take_in(model, at, "rows", "2024-01-02")
    assert names(arrival) == ["trips_2024-01-02.csv", "trips_2024-01-01_late.csv"]
    seal(model, at, "2024-01-02")
    land("trips_2024-01-01_later.csv", "trips_2024-01-03.csv")
    arrival = take_in(model, at, "rows", "2024-01-03")
    assert names(arrival) == ["trips_2024-01-03.csv", "trips_2024-01-01_later.csv"]


def test_files_of_a_rejected_batch_are_held(land, at):
    model = land("trips_2024-01-01.csv")
    take_in(model, at, "rows", "2024-01-01")
    seal(model, at, "2024-01-01", "rejected")
    land("trips_2024-01-01_repaired.csv", "trips_2024-01-02.csv")
    assert names(take_in(model, at, "rows", "2024-01-02")) == ["trips_2024-01-02.csv"]


def test_late_has_its_limit(write_folder, edit_config, at):
    model = load_model_folder(write_folder(config=edit_config("wait: 6h\nrows", "wait: 6h\n  late: 1\nrows")))
    folder = Path(at.landing, model.id)
    folder.mkdir(parents=True, exist_ok=True)
    for batch in ("2024-01-01", "2024-01-02"):
        (folder / f"trips_{batch}.csv").touch()
        take_in(model, at, "rows", batch)
        seal(model, at, batch)
    for name in ("trips_2024-01-01_late.csv", "trips_2024-01-02_late.csv", "trips_2024-01-03.csv"):
        (folder / name).touch()
    assert names(take_in(model, at, "rows", "2024-01-03")) == ["trips_2024-01-03.csv", "trips_2024-01-02_late.csv"]


def test_batches_are_taken_in_order_from_the_start_on(land, at):
    model = land("trips_2024-01-02.csv", "trips_2023-12-31.csv")
    with pytest.raises(NotReady, match=r"rows of batch 2024-01-01 are not sealed; process it before 2024-01-02"):
        take_in(model, at, "rows", "2024-01-02")
    with pytest.raises(NotReady, match=r"2023-12-31 lies before the schedule's start 2024-01-01"):
        take_in(model, at, "rows", "2023-12-31")
    seal(model, at, "2024-01-01", "missing")
    assert names(take_in(model, at, "rows", "2024-01-02")) == ["trips_2024-01-02.csv"]


def test_rows_and_labels_are_feeds_of_their_own(land, at):
    model = land("trips_2024-01-01.csv", "labels_2024-01-01.csv", "labels_2024-01-02.csv")
    seal(model, at, "2024-01-01", feed="rows")
    with pytest.raises(NotReady, match="labels of batch 2024-01-01"):
        take_in(model, at, "labels", "2024-01-02")
    assert names(take_in(model, at, "labels", "2024-01-01")) == ["labels_2024-01-01.csv"]
    assert names(take_in(model, at, "rows", "2024-01-01")) == ["trips_2024-01-01.csv"]


def test_a_copy_that_was_changed_is_refused_with_both_hashes(land, at):
    model = land("trips_2024-01-01.csv")
    file = take_in(model, at, "rows", "2024-01-01").files[0]
    (copy,) = [path for path in Path(at.lake).rglob(file.sha256)]
    copy.write_text("tampered")
    with pytest.raises(SourceChanged, match=f"trips_2024-01-01.csv: raw file .*{file.sha256[:16]}; restore"):
        fetch(open_stores(at, model.id), file)
    copy.unlink()
    with pytest.raises(SourceChanged, match=r"trips_2024-01-01\.csv: raw file .* is gone from the lake; restore it"):
        fetch(open_stores(at, model.id), file)


def test_a_copy_that_is_kept_by_its_name_as_copies_were_is_still_read(at):
    stores, landed = open_stores(at, "taxi"), LandedFile("trips é.csv", b"id\n1\n")
    raw = stores.lake.put_raw(f"rows/2024-01-01/{landed.sha256[:16]}/{landed.name}", landed.content)
    kept = {"name": landed.name, "size": 5, "sha256": landed.sha256, "raw": raw}
    assert fetch(stores, SourceFile.model_validate(kept)) == landed


def test_labels_inside_the_rows_are_never_waited_for(write_folder, edit_config, at):
    text = edit_config("labels:\n", "LABELS")
    text = text.partition("LABELS")[0] + "labels: {target: {minutes: float}}\n" + text[text.index("features: ") :]
    model = load_model_folder(write_folder(config=text))
    assert source_of(model, "labels") is None
    assert probe_feed(model, at, "labels", "2024-01-01", NOW, None).complete
    assert not probe_feed(model, at, "rows", "2024-01-01", NOW, None).complete


def test_files_that_are_gone_since_they_were_seen_are_waited_for(land, at):
    model = land()
    with pytest.raises(NotReady, match=r"taxi: the files of rows for batch 2024-01-01 are gone since they were seen"):
        take_in(model, at, "rows", "2024-01-01")
    assert open_stores(at, model.id).ledger.get(ArrivalRecord, "rows.2024-01-01") is None
