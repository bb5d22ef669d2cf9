"""A partition piece by piece: held against its record, in a folder and on S3."""

import os
from threading import Thread

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable, write_deltalake
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from evergreen.errors import Outage, SourceChanged
from evergreen.records import Partition
from evergreen.storage.content import content_hash
from evergreen.storage.frames import piece_to_frame, to_frame
from evergreen.storage.lake import Lake
from evergreen.storage.pieces import ROWS

DAY = "2024-01-01"


def rows_of(count, first=0):
    """Rows by key; only the last one has nulls."""
    last = np.arange(count) == count - 1
    return pa.table(
        {
            "id": [f"{number:09d}" for number in range(first, first + count)],
            "part": pa.array(np.arange(count) % 7, pa.int64(), mask=last),
            "yes": pa.array(np.arange(count) % 2 == 0, mask=last),
            "at": pa.array(np.arange(count) * 1_000_000, pa.timestamp("us", tz="UTC")),
        }
    )


def part(rows, batch=DAY):
    return Partition(table="clean", batch=batch, revision=0, content=content_hash(rows))


def append(lake, rows, batch=DAY):
    """One more file in a partition."""
    count = rows.num_rows
    keyed = rows.append_column("batch", pa.repeat(batch, count))
    keyed = keyed.append_column("revision", pa.repeat(pa.scalar(0, pa.int32()), count))
    write_deltalake(lake.table_uri("clean"), keyed, mode="append", partition_by=["batch", "revision"])


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path), "dev", "taxi")


def test_pieces_are_the_rows_of_the_partition_and_no_other(lake):
    rows = rows_of(2 * ROWS + 5)
    lake.replace("clean", DAY, 0, rows, {})
    lake.replace("clean", "2024-01-02", 0, rows_of(3), {})
    lake.replace("clean", DAY, 1, rows_of(4), {})
    pieces = list(lake.stream(part(rows)))
    assert [piece.num_rows for piece in pieces] == [ROWS, ROWS, 5]
    assert pa.concat_tables(pieces).equals(lake.read(part(rows), ["id"]))


def test_every_file_is_read(lake):
    rows = rows_of(900)
    for first in (600, 0, 300):
        append(lake, rows.slice(first, 300))
    assert len(DeltaTable(lake.table_uri("clean")).file_uris()) == 3
    assert pa.concat_tables(lake.stream(part(rows))).sort_by("id").equals(rows)


@pytest.mark.parametrize("other", ["a row less", "a row more", "a row twice", "another value"])
def test_other_rows_are_refused_after_the_last_piece(other, lake):
    rows = rows_of(ROWS + 10)
    stored = {
        "a row less": rows.slice(1),
        "a row more": rows_of(ROWS + 11),
        "another value": rows.set_column(1, "part", pc.add(rows.column("part"), 1)),
        "a row twice": pa.concat_tables([rows.slice(1), rows.slice(1, 1)]).combine_chunks(),
    }[other]
    lake.replace("clean", DAY, 0, stored, {})
    stream = iter(lake.stream(part(rows)))
    assert sum(next(stream).num_rows for _ in range(-(-stored.num_rows // ROWS))) == stored.num_rows
    with pytest.raises(SourceChanged, match=r"batch 2024-01-01 revision 0 is not what its record says"):
        next(stream)


def test_a_column_that_the_table_gained_later_is_null(lake):
    rows = rows_of(10)
    lake.replace("clean", DAY, 0, rows, {})
    lake.replace("clean", "2024-01-02", 0, rows_of(10).append_column("later", pa.array(["a"] * 10)), {})
    (piece,) = lake.stream(part(rows))
    assert piece.column("later").null_count == 10
    assert piece.equals(lake.read(part(rows), ["id"]))


def test_a_piece_has_the_types_of_the_whole(lake):
    rows = rows_of(ROWS + 10)
    lake.replace("clean", DAY, 0, rows, {})
    whole, stream = to_frame(rows), lake.stream(part(rows))
    frames = [piece_to_frame(piece, stream.stored.nullable) for piece in stream]
    assert stream.stored.nullable == {"part", "yes"}
    for frame, first in zip(frames, (0, ROWS), strict=True):
        expected = whole.iloc[first : first + len(frame)].reset_index(drop=True)
        assert list(frame.dtypes) == list(expected.dtypes)
        assert frame.equals(expected)


def test_pieces_that_fail_leave_the_partition_as_it_was(lake):
    lake.replace("clean", DAY, 0, rows_of(3), {})

    def failing():
        yield rows_of(ROWS)
        yield rows_of(ROWS)
        raise Outage("the source broke off")

    with pytest.raises(Outage, match=r"^the source broke off$"):
        lake.replace("clean", DAY, 0, failing, {})
    assert lake.read(part(rows_of(3)), ["id"]).num_rows == 3
    assert DeltaTable(lake.table_uri("clean")).version() == 0


def test_who_loses_a_commit_makes_the_pieces_anew(lake, tmp_path):
    lake.replace("clean", DAY, 0, rows_of(1), {})
    made = []

    def pieces():
        made.append(len(made))
        yield rows_of(5)
        if len(made) == 1:
            faster = Thread(target=Lake(str(tmp_path), "dev", "taxi").replace, args=("clean", DAY, 0, rows_of(2), {}))
            faster.start()
            faster.join()
        yield rows_of(5, first=5)

    lake.replace("clean", DAY, 0, pieces, {})
    assert made == [0, 1]
    assert lake.read_any("clean", DAY, 0).num_rows == 10


def test_no_piece_takes_the_rows_away(lake):
    lake.replace("clean", DAY, 0, rows_of(3), {})
    lake.replace("clean", DAY, 0, lambda: iter(()), {})
    assert lake.read_any("clean", DAY, 0).num_rows == 0


def test_on_s3_as_in_a_folder(monkeypatch):
    # Threaded, moto lets two conditional puts of one object win.
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=False)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        for name, value in {
            "AWS_ENDPOINT_URL": url, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
        }.items():  # fmt: skip
            monkeypatch.setitem(os.environ, name, value)
        boto3.client("s3", endpoint_url=url, region_name="us-east-1").create_bucket(Bucket="pieces")
        lake, rows = Lake("s3://pieces/lake", "dev", "taxi"), rows_of(ROWS + 5)
        lake.replace("clean", DAY, 0, rows, {})
        lake.replace("predictions", DAY, 0, lambda: iter(lake.stream(part(rows))), {})
        assert lake.read_any("predictions", DAY, 0).sort_by("id").equals(lake.read(part(rows), ["id"]))
    finally:
        server.shutdown()
        thread.join()
