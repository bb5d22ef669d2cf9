"""Sealing: what arrived becomes a batch that is published, rejected or missing, once."""

import dataclasses
import io
from pathlib import Path

import pyarrow as pa
import pytest
from obstore.exceptions import GenericError
from pyarrow import parquet

from evergreen.checks import asking, failing_rows, quarantine, row_faults, validating
from evergreen.checks.sealing import declare_missing, seal
from evergreen.config.feeds_config import FilesConfig
from evergreen.config.model_folder import load_model_folder
from evergreen.errors import NotReady, Outage
from evergreen.records import Partition
from evergreen.sources import parquet_file, tables
from evergreen.sources.intake import take_in
from evergreen.storage import pieces, set_aside
from evergreen.storage.stores import open_stores

DAY = "2024-01-01"
ROWS = "id,at,distance,zone,note\n2,2024-01-01 08:00,2.5,a,x\n1,2024-01-01 09:00,-1,b,x\n3,2024-01-01 10:00,,c,x\n"


@pytest.fixture
def model(write_folder, edit_config):
    return load_model_folder(write_folder(config=edit_config("max_quarantined: 20%", "max_quarantined: 40%")))


@pytest.fixture
def inside(write_folder, edit_config):
    """A model whose labels stand in its rows."""
    text = edit_config("labels:\n", "LABELS")
    labels = "labels: {target: {minutes: float}}\n"
    text = text.partition("LABELS")[0] + labels + text[text.index("features: ") :]
    return load_model_folder(write_folder(config=text.replace("wait: 6h", "nulls: ['', '-']")))


@pytest.fixture
def arrive(at):
    """Land a file and take its batch in."""

    def put(model, content, name=f"trips_{DAY}.csv", feed="rows", batch=DAY):
        path = Path(at.landing, model.id) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        take_in(model, at, feed, batch)

    return put


def table(model, at, name, batch=DAY):
    return open_stores(at, model.id).lake.read_any(name, batch, 0).to_pylist()


def test_a_published_batch_says_what_became_of_each_row(model, at, arrive):
    arrive(model, ROWS)
    record = seal(model, at, "rows", DAY)
    assert (record.state, record.rows_in, record.clean, record.quarantined) == ("published", 3, 2, 1)
    assert [(r.expectation, r.column, r.rows) for r in record.reasons] == [
        ("expect_column_values_to_be_between(min_value 0)", "distance", 1)
    ]
    assert record.left_out == ("note",)
    assert [file.name for file in record.files] == [f"trips_{DAY}.csv"]
    assert sorted(row["id"] for row in table(model, at, "clean")) == [2, 3]
    assert [(row["file"], row["row"]) for row in table(model, at, "quarantine_rows")] == [(f"trips_{DAY}.csv", 2)]


def test_the_content_names_the_rows_that_are_read_by_it(model, at, arrive):
    arrive(model, ROWS)
    record = seal(model, at, "rows", DAY)
    partition = Partition(table="clean", batch=DAY, revision=0, content=record.content)
    read = open_stores(at, model.id).lake.read(partition, ["id"])
    assert read.column("id").to_pylist() == [2, 3]
    assert pa.types.is_timestamp(read.schema.field("at").type)


def test_a_sealed_batch_is_not_touched_again(model, at, arrive):
    arrive(model, ROWS)
    record = seal(model, at, "rows", DAY)
    (Path(at.landing, model.id) / f"trips_{DAY}.csv").write_text("changed since")
    assert seal(model, at, "rows", DAY) == record
    assert declare_missing(model, at, "rows", DAY) == record


@pytest.mark.parametrize(
    ("content", "told", "kept"),
    [
        (b"id,at,distance,zone\n1,2024-01-01 08:00,1,caf\xe9\n", "line 2: byte 0xe9 is not utf-8", 2),
        (b"", "is empty", 0),
        (b"id,id\n1,2\n", "line 1: the header names id twice", 2),
    ],
    ids=["encoding", "empty", "header"],
)
def test_an_unreadable_file_rejects_the_batch_and_is_kept_line_by_line(content, told, kept, model, at, arrive):
    arrive(model, content)
    record = seal(model, at, "rows", DAY)
    assert (record.state, record.clean, record.rows_in, record.quarantined) == ("rejected", 0, kept, kept)
    assert record.content == ""
    (reason,) = record.reasons
    assert reason.file == f"trips_{DAY}.csv"
    assert told in reason.found
    assert len(table(model, at, "quarantine_rows")) == kept
    assert table(model, at, "clean") == []


def test_a_rejected_batch_publishes_nothing(model, at, arrive):
    arrive(model, ROWS.replace("distance", "miles"))
    record = seal(model, at, "rows", DAY)
    assert (record.state, record.clean, record.quarantined, record.content) == ("rejected", 0, 3, "")
    assert (record.reasons[0].column, record.reasons[0].file) == ("distance", f"trips_{DAY}.csv")
    assert "undeclared ones are miles, note" in record.reasons[0].found
    assert table(model, at, "clean") == []
    assert len(table(model, at, "quarantine_rows")) == 3


def test_a_label_feed_has_its_own_table_key_and_quarantine(model, at, arrive):
    labels = "id,minutes\n1,10\n2,\n,5\n3,soon\n4,7.5\n4,7.5\n5,8\n6,9\n7,1\n8,2\n9,3\n"
    arrive(model, labels, f"labels_{DAY}.csv", "labels")
    record = seal(model, at, "labels", DAY)
    assert (record.state, record.rows_in, record.clean, record.quarantined) == ("published", 11, 7, 4)
    assert {(r.expectation, r.column) for r in record.reasons} == {
        ("not null", "minutes"),
        ("not null", "id"),
        ("reads as float", "minutes"),
        ("unique by id", "id"),
    }
    assert sorted(row["id"] for row in table(model, at, "labels")) == [1, 4, 5, 6, 7, 8, 9]
    assert len(table(model, at, "quarantine_labels")) == 4
    assert table(model, at, "quarantine_rows") == []


def test_a_key_of_floats_that_round_goes_to_quarantine(write_folder, edit_config, at, arrive):
    model = load_model_folder(write_folder(config=edit_config("id: integer", "id: float").replace("20%", "60%")))
    arrive(model, "id,at,distance,zone\n1.5,2024-01-01 08:00,2.5,a\n9007199254740993,2024-01-01 09:00,1,b\n")
    record = seal(model, at, "rows", DAY)
    assert (record.clean, [(r.column, r.rows) for r in record.reasons]) == (1, [("id", 1)])


def test_an_event_time_years_from_its_batch_goes_to_quarantine_and_a_late_one_does_not(model, at, arrive):
    times = ("2024-01-01 09:00", "2023-01-03 09:00", "2022-12-30 09:00", "2204-01-01 09:00", "2025-01-01 09:00")
    arrive(model, "id,at,distance,zone\n" + "".join(f"{i},{time},1,a\n" for i, time in enumerate(times)))
    record = seal(model, at, "rows", DAY)
    assert [(r.expectation, r.column, r.rows) for r in record.reasons] == [("near its batch", "at", 2)]
    assert record.reasons[0].found.startswith("2022-12-30 lies outside 2022-12-31 to 2025-01-02; source.late in ")
    assert sorted(row["id"] for row in table(model, at, "clean")) == [0, 1, 4]


def test_undeclared_fields_without_a_name_or_of_one_name_are_left_out_and_said(model, at, arrive):
    arrive(model, "id,at,distance,zone,,,x,x\n1,2024-01-01 09:00,2.5,a,1,2,3,4\n")
    record = seal(model, at, "rows", DAY)
    assert (record.state, record.clean) == ("published", 1)
    assert record.left_out == ("field 5 ()", "field 6 ()", "field 7 (x)", "field 8 (x)")


def test_labels_inside_the_rows_are_those_that_are_known(inside, at, arrive):
    rows = "id,at,distance,zone,minutes\n1,2024-01-01 08:00,1,a,10\n2,2024-01-01 08:00,1,a,\n3,2024-01-01 08:00,1,a,-\n"
    arrive(inside, rows)
    with pytest.raises(NotReady, match="rows of batch 2024-01-01 are not sealed"):
        seal(inside, at, "labels", DAY)
    assert seal(inside, at, "rows", DAY).clean == 3
    record = seal(inside, at, "labels", DAY)
    assert (record.feed, record.state, record.rows_in, record.clean) == ("labels", "published", 1, 1)
    assert table(inside, at, "labels") == [{"id": 1, "minutes": 10.0}]


def test_labels_inside_rejected_or_missing_rows_share_their_fate(inside, at, arrive):
    arrive(inside, "id,at,zone,minutes\n1,2024-01-01 08:00,a,10\n")
    rows = seal(inside, at, "rows", DAY)
    labels = seal(inside, at, "labels", DAY)
    assert (labels.feed, labels.state, labels.reasons) == ("labels", "rejected", rows.reasons)
    declare_missing(inside, at, "rows", "2024-01-02")
    assert seal(inside, at, "labels", "2024-01-02").state == "missing"


def test_what_has_not_been_ingested_cannot_be_sealed(model, at):
    with pytest.raises(NotReady, match="rows of batch 2024-01-01 have not been ingested"):
        seal(model, at, "rows", DAY)


def test_a_batch_that_never_came_is_missing_and_stays_so(model, at, arrive):
    record = declare_missing(model, at, "rows", DAY)
    assert (record.state, record.files, record.rows_in) == ("missing", (), 0)
    arrive(model, ROWS)
    assert seal(model, at, "rows", DAY) == record


@pytest.fixture
def two_by_two(monkeypatch):
    """More than two rows are many."""
    for module in (asking, failing_rows, parquet_file, quarantine, row_faults, set_aside, tables, validating):
        monkeypatch.setattr(module, "ROWS", 2)


def as_parquet(ids, **more):
    moments = pa.array([f"{DAY} 08:00"] * len(ids))
    columns = {"id": ids, "at": moments, "distance": [1.0] * len(ids), "zone": ["a"] * len(ids), **more}
    sink = io.BytesIO()
    parquet.write_table(pa.table(columns), sink, row_group_size=5, compression="none", use_dictionary=False)
    return sink.getvalue()


@pytest.mark.usefixtures("two_by_two")
def test_labels_inside_many_rows_are_those_that_are_known(inside, at, arrive):
    model = dataclasses.replace(inside, config=of_parquet(inside.config))
    ids = [*range(19), 4]
    minutes = [float(n) if n % 3 else None for n in range(20)]
    arrive(model, as_parquet(ids, minutes=pa.array(minutes)), f"trips_{DAY}.parquet")
    rows, labels = (seal(model, at, feed, DAY) for feed in ("rows", "labels"))
    assert (rows.state, rows.rows_in, rows.clean, rows.quarantined) == ("published", 20, 19, 1)
    assert (labels.state, labels.rows_in, labels.clean, labels.quarantined) == ("published", 13, 11, 2)
    known = {n: minutes[n] for n in range(19) if n % 3 and n != 4}
    assert {row["id"]: row["minutes"] for row in table(model, at, "labels")} == known
    held = {feed: sorted(row["row"] for row in table(model, at, f"quarantine_{feed}")) for feed in ("rows", "labels")}
    assert held == {"rows": [20], "labels": [5, 20]}
    partition = Partition(table="clean", batch=DAY, revision=0, content=rows.content)
    read = open_stores(at, model.id).lake.read(partition, ["id"])
    assert read.column("id").to_pylist() == list(range(19))


@pytest.mark.usefixtures("two_by_two")
def test_each_large_file_that_is_damaged_within_is_told_and_the_others_are_kept(model, at, arrive):
    model = dataclasses.replace(model, config=of_parquet(model.config))
    spoilt = bytearray(as_parquet(list(range(12)), zone=["long enough to be found"] * 12))
    at_fault = spoilt.rindex(b"long enough") - 4
    spoilt[at_fault : at_fault + 4] = b"\xff\xff\xff\x7f"
    for name, content in {"b": spoilt, "a": as_parquet([20, 21, 22]), "c": spoilt}.items():
        path = Path(at.landing, model.id) / f"trips_{DAY}{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    take_in(model, at, "rows", DAY)
    record = seal(model, at, "rows", DAY)
    assert (record.state, record.clean) == ("rejected", 0)
    assert [(one.expectation, one.file) for one in record.reasons] == [
        ("readable file", f"trips_{DAY}b.parquet"), ("readable file", f"trips_{DAY}c.parquet"),
    ]  # fmt: skip
    assert all("is not Parquet" in one.found for one in record.reasons)
    kept = {row["row"] for row in table(model, at, "quarantine_rows") if row["file"] == f"trips_{DAY}a.parquet"}
    assert kept == {1, 2, 3}


@pytest.mark.usefixtures("two_by_two")
def test_a_store_that_breaks_off_within_a_large_file_is_an_outage_and_seals_nothing(model, at, arrive, monkeypatch):
    model = dataclasses.replace(model, config=of_parquet(model.config))
    arrive(model, as_parquet(list(range(12))), f"trips_{DAY}.parquet")
    read, asked = pieces.obstore.get_range, []

    def break_off(*given, **span):
        asked.append(span)
        if len(asked) > 3:
            raise GenericError("connection reset by peer")
        return read(*given, **span)

    monkeypatch.setattr(pieces.obstore, "get_range", break_off)
    with pytest.raises(Outage, match=r"file .* did not answer: connection reset"):
        seal(model, at, "rows", DAY)
    monkeypatch.undo()
    record = seal(model, at, "rows", DAY)
    assert (record.state, record.clean) == ("published", 12)


def of_parquet(config):
    source = FilesConfig(files="trips_{batch:%Y-%m-%d}*.parquet", nulls=config.source.nulls)
    return config.model_copy(update={"source": source})
