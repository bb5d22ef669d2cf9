"""Sources outside a model folder: a folder, an S3 that is a real server, a query against a real database."""

import json
import socket
from datetime import UTC, datetime

import boto3
import pytest
from airflow.exceptions import AirflowNotFoundException
from moto.server import ThreadedMotoServer

from airflow_evergreen.hooks.source import Source
from evergreen.batches import Calendar
from evergreen.errors import ExtraMissing, Outage, Refused

DAYS = Calendar("day", datetime(2024, 1, 31, tzinfo=UTC))
BATCH = "2024-01-31"
ROWS = "rows_{batch:%Y-%m-%d}*.csv"
MARKER = {"marker": "rows_{batch:%Y-%m-%d}.done"}


@pytest.fixture(scope="module")
def server():
    """An S3 on loopback."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def bucket(server, monkeypatch):
    """Put objects into a bucket of that S3; the Airflow connection lake leads to it."""
    extra = {"endpoint_url": server, "region_name": "eu-central-1"}
    connection = {"conn_type": "aws", "login": "key", "password": "secret", "extra": json.dumps(extra)}
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", json.dumps(connection))
    options = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "eu-central-1"}
    client = boto3.client("s3", endpoint_url=server, **options)
    client.create_bucket(Bucket="raw", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    yield lambda name, size=3: client.put_object(Bucket="raw", Key=name, Body=b"x" * size)
    for one in client.list_objects_v2(Bucket="raw").get("Contents", []):
        client.delete_object(Bucket="raw", Key=one["Key"])
    client.delete_bucket(Bucket="raw")


@pytest.fixture(params=["folder", "s3"])
def place(request, tmp_path):
    """Where files arrive, and how to put one there."""
    if request.param == "folder":
        (tmp_path / "in").mkdir()

        def put(name, size=3):
            path = tmp_path / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * size)

        return str(tmp_path / "in"), put
    bucket = request.getfixturevalue("bucket")
    return "s3://raw/trips", lambda name, size=3: bucket(f"trips/{name}", size)


def probe(place, complete, before=None, files=ROWS):
    return Source(place, files, complete, "lake").probe(DAYS, BATCH, before)


def test_a_marker_completes_its_own_batch(place):
    where, put = place
    put("rows_2024-01-31_a.csv")
    put("rows_2024-01-30.done")
    seen = probe(where, MARKER)
    assert not seen.complete
    assert "rows_2024-01-31.done" in seen.why
    put("rows_2024-01-31.done")
    assert probe(where, MARKER).complete


def test_a_marker_may_stand_in_the_folder_of_its_batch(place):
    where, put = place
    put("2024-01-31/part-0.csv")
    put("2024-01-30/_SUCCESS")
    files = "{batch:%Y-%m-%d}/part*.csv"
    assert not probe(where, {"marker": "_SUCCESS"}, files=files).complete
    put("2024-01-31/_SUCCESS")
    assert probe(where, {"marker": "_SUCCESS"}, files=files).complete


def test_a_count_counts_the_files_of_the_batch(place):
    where, put = place
    put("rows_2024-01-31_a.csv")
    put("rows_2024-01-30_a.csv")
    assert probe(where, {"count": 2}).why == "1 of 2 files"
    put("rows_2024-01-31_b.csv")
    assert probe(where, {"count": 2}).complete


def test_sizes_must_be_seen_twice(place):
    where, put = place
    put("rows_2024-01-31.csv", 3)
    first = probe(where, {})
    assert not first.complete
    put("rows_2024-01-31.csv", 4)
    second = probe(where, {}, first)
    assert not second.complete
    third = probe(where, {}, second)
    assert third.complete
    assert third.sizes == (("rows_2024-01-31.csv", 4),)


def test_nothing_there_says_where_it_was_looked_for(place):
    where, _ = place
    seen = probe(where, {})
    assert not seen.complete
    assert ROWS in seen.why
    assert where in seen.why


def test_a_prefix_is_a_folder_and_not_the_beginning_of_a_name(bucket):
    bucket("trips_old/rows_2024-01-31.csv")
    bucket("trips/rows_2024-01-30.csv")
    assert probe("s3://raw/trips", {"count": 1}).sizes == ()


def test_a_whole_bucket_is_a_place_too(bucket):
    bucket("rows_2024-01-31.csv")
    assert probe("s3://raw", {"count": 1}).complete


def test_a_bucket_that_is_not_there_is_an_outage_that_names_place_and_connection(bucket):
    with pytest.raises(Outage, match=r"s3://other/trips by connection lake.*NoSuchBucket"):
        probe("s3://other/trips", {})


def test_an_s3_that_does_not_answer_is_an_outage(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    extra = {
        "endpoint_url": f"http://127.0.0.1:{port}",
        "region_name": "eu-central-1",
        "config_kwargs": {"retries": {"total_max_attempts": 1}},
    }
    connection = {"conn_type": "aws", "login": "key", "password": "secret", "extra": json.dumps(extra)}
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", json.dumps(connection))
    with pytest.raises(Outage, match="s3://raw/trips by connection lake"):
        probe("s3://raw/trips", {})


SQL = "select done from loads where day = '2024-01-31'"


@pytest.mark.parametrize(
    ("value", "complete"), [("1", True), ("17", True), ("0", False), ("null", False), ("''", False), ("'yes'", True)]
)
def test_a_query_is_complete_once_its_first_value_is_true(value, complete, database):
    database(f"insert into loads values ('2024-01-31', {value})")
    seen = Source(conn_id="warehouse", sql=SQL).probe(DAYS, BATCH, None)
    assert seen.complete is complete
    assert "connection warehouse" in seen.why


def test_a_query_without_a_row_is_not_complete(database):
    assert not Source(conn_id="warehouse", sql=SQL).probe(DAYS, BATCH, None).complete


@pytest.mark.parametrize(
    ("sql", "told"), [("select done from nowhere", "no such table: nowhere"), ("selct 1", 'near "selct": syntax error')]
)
def test_a_query_with_a_typo_is_refused_and_not_tried_again(database, sql, told):
    with pytest.raises(Refused, match=f"connection warehouse, {sql}: the database refuses it: {told}; mend the query"):
        Source(conn_id="warehouse", sql=sql).probe(DAYS, BATCH, None)


def test_a_database_that_cannot_be_opened_is_an_outage(database, monkeypatch, tmp_path):
    connection = {"conn_type": "sqlite", "host": str(tmp_path / "gone" / "x.db")}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(connection))
    with pytest.raises(Outage, match=r"connection warehouse, select .*: unable to open database file"):
        Source(conn_id="warehouse", sql=SQL).probe(DAYS, BATCH, None)


def test_a_connection_of_a_kind_that_nobody_knows_is_told(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "teradata", "host": "x"}))
    with pytest.raises(ExtraMissing, match='Unknown hook type "teradata"; pip install the provider of teradata'):
        Source(conn_id="warehouse", sql=SQL).probe(DAYS, BATCH, None)


def test_a_connection_that_is_not_there_is_told():
    with pytest.raises(AirflowNotFoundException, match="warehouse"):
        Source(conn_id="warehouse", sql=SQL).probe(DAYS, BATCH, None)


def test_a_folder_that_is_not_there_is_waited_for_and_one_that_cannot_be_read_is_an_outage(tmp_path):
    """Its location may be a folder of the batch's own, which comes with its files."""
    seen = probe(str(tmp_path / "2024-01-31"), MARKER)
    assert (seen.complete, seen.absent) == (False, True)
    (tmp_path / "2024-01-31").write_text("a file in its place")
    with pytest.raises(Outage, match="2024-01-31 cannot be read: Not a directory"):
        probe(str(tmp_path / "2024-01-31"), MARKER)
