"""What takes connections and never answers is an outage in our words, within a time that somebody can wait for."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from deltalake import DeltaTable
from mlflow import MlflowClient

from evergreen.batches import Calendar
from evergreen.config.feeds_config import QueryConfig
from evergreen.config.locations import Locations
from evergreen.errors import Outage
from evergreen.records import PromotionRecord
from evergreen.replay.status import describe_status
from evergreen.sinks import HttpSink, Message
from evergreen.sources.querying import probe_query
from evergreen.storage import answer_soon
from evergreen.storage.model_store import ModelStore
from evergreen.storage.objects import delta_options, find_object, holds_anything, open_store
from evergreen.storage.online_redis import RedisStore
from evergreen.storage.stores import Stores
from evergreen.storage.tracking import answered
from evergreen.storage.version_evidence import read_packed_file
from tests.short_loop import lay_registry
from tests.silent_server import as_http, silent_server
from tests.unit.small_loop import SmallLoop

_CALENDAR = Calendar("day", datetime(2024, 1, 1, tzinfo=UTC))
_SETTINGS = ("TIMEOUT", "MAX_RETRIES", "BACKOFF_FACTOR")


@pytest.fixture
def ours(monkeypatch):
    """The bounds of this package, which are undone afterwards; a second each, for these tests."""
    for name in _SETTINGS:
        variable = f"MLFLOW_HTTP_REQUEST_{name}"
        monkeypatch.setenv(variable, os.environ[variable])
    monkeypatch.setattr("evergreen.storage.SOON", {"MLFLOW_HTTP_REQUEST_TIMEOUT": "1"})


@pytest.fixture
def asking(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return lambda port: ModelStore(f"http://127.0.0.1:{port}", None, "dev", "taxi")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        as_http(200),
        as_http(404),
        as_http(500),
        as_http(502),
        as_http(503, "Retry-After: 3600\r\n"),
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
    ids=["nothing", "a page", "404", "500", "502", "503, to come again in an hour", "another protocol"],
)
def test_mlflow_that_hangs_or_answers_with_a_page_is_an_outage_in_a_few_words(asking, answer):
    with silent_server(answer) as port, pytest.raises(Outage) as told:
        asking(port).champion()
    assert str(told.value).startswith(f"MLflow at http://127.0.0.1:{port} did not answer: ")
    assert told.value.place == f"MLflow at http://127.0.0.1:{port}"
    assert ("<p>nginx</p>" * 3 in str(told.value), "\n" in str(told.value)) == (False, False)
    assert len(str(told.value)) < 800


def test_mlflow_that_asks_to_come_again_in_an_hour_is_asked_again_at_once(asking, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0")
    begun = time.monotonic()
    with silent_server(as_http(503, "Retry-After: 3600\r\n")) as port, pytest.raises(Outage):
        asking(port).champion()
    assert time.monotonic() - begun < 10


def test_a_call_is_bounded_and_what_the_environment_says_stands():
    """Three tries of half a minute: the retries of a task, not one call's, outlast a server that is restarted."""
    asks = "import os, evergreen.storage as s; v = os.environ; "
    said = [f"v['MLFLOW_HTTP_REQUEST_{name}']" for name in _SETTINGS]
    code = f"{asks}print({', '.join(said)}); s.answer_soon(); print({', '.join(said)})"

    def run(**given):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")}
        done = subprocess.run(
            [sys.executable, "-c", code], env=kept | given, capture_output=True, text=True, check=True
        )
        return done.stdout.split("\n")[:2]

    assert run() == ["30 2 1", "5 0 1"]
    assert run(MLFLOW_HTTP_REQUEST_TIMEOUT="600") == ["600 2 1", "600 0 1"]


def test_status_and_pages_answer_in_seconds_while_mlflow_hangs(tmp_path, ours):
    loop = SmallLoop.begun(tmp_path, 2)
    with silent_server() as port:
        at = replace(loop.at, tracking_uri=f"http://127.0.0.1:{port}", artifacts=None)
        answer_soon()
        begun = time.monotonic()
        lines = list(describe_status(loop.model, at))
        with pytest.raises(Outage):
            read_packed_file(replace(loop.stores, at=at), loop.promotions[-1], "spec.json")
        taken = time.monotonic() - begun
    (trouble,) = (line for line in lines if "did not answer" in line)
    assert trouble.startswith(f"  it cannot be loaded: MLflow at http://127.0.0.1:{port} did not answer: ")
    assert lines[-1] == "  open incidents: none"
    assert taken < 12


def test_a_file_that_mlflow_does_not_hand_over_in_time_is_no_damage(tmp_path, asking):
    """Its registry may answer while the store of its artefacts hangs: nothing has to be restored."""
    at = Locations.under(tmp_path)
    lay_registry(at)
    client = MlflowClient(at.tracking_uri, at.tracking_uri)
    promotion = PromotionRecord(
        as_of="2024-01-05", number=1, version=1, attempt="2024-01-05.0", code="c", data="d",
        trained_on=("2024-01-01", "2024-01-05"), effective_from="2024-01-06", error=1.0,
    )  # fmt: skip
    with silent_server() as port:
        where = f"http://127.0.0.1:{port}/api/2.0/mlflow-artifacts/artifacts"
        model = client.create_logged_model(client.create_experiment("dev/taxi", where), name="model")
        client.create_registered_model("dev.taxi")
        with answered(at.tracking_uri):
            client.create_model_version("dev.taxi", source=f"models:/{model.model_id}", model_id=model.model_id)
        with pytest.raises(Outage, match="did not answer"):
            read_packed_file(Stores(at, "taxi"), promotion, "spec.json")


def speak_to_s3(port, monkeypatch):
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_TIMEOUT": "1s",
    }.items():
        monkeypatch.setenv(name, value)


def test_an_s3_that_hangs_is_an_outage(monkeypatch):
    monkeypatch.setattr("evergreen.storage.objects._RETRYING", timedelta(seconds=1))
    with silent_server() as port:
        speak_to_s3(port, monkeypatch)
        with pytest.raises(Outage, match="s3://hanging/lake did not answer"):
            holds_anything("s3://hanging/lake")
        begun = time.monotonic()
        with pytest.raises(OSError, match="timed out"):
            DeltaTable("s3://hanging/lake/rows", storage_options=delta_options("s3://hanging/lake/rows"))
        assert time.monotonic() - begun < 20


def test_a_database_that_hangs_is_an_outage(monkeypatch):
    query = QueryConfig(sql="SELECT :batch", database="SILENT", complete={"sql": "SELECT 1"})
    with silent_server() as port:
        monkeypatch.setenv("SILENT", f"postgresql://reader:secret@127.0.0.1:{port}/shop?connect_timeout=2")
        with pytest.raises(Outage, match=r"model taxi, rows, complete\.sql of batch 2024-01-01, postgresql database"):
            probe_query(query, _CALENDAR, "2024-01-01", datetime(2024, 1, 3, tzinfo=UTC), "model taxi, rows")


def test_a_redis_that_hangs_is_an_outage(monkeypatch):
    monkeypatch.setattr("evergreen.storage.online_redis._SECONDS", 1.0)
    with silent_server() as port, pytest.raises(Outage, match=r"Redis at 127\.0\.0\.1"):
        RedisStore(f"redis://127.0.0.1:{port}/0").written("fares")


@contextmanager
def ended(within):
    """That what stands in the block has ended by then, in seconds."""
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < within


_HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "said", [_HEADERS + b"X-Slow: ", _HEADERS + b"Content-Length: 900000\r\n\r\n"], ids=["headers", "body"]
)
def test_a_byte_now_and_then_is_no_answer_of_mlflow(asking, said):
    """No timeout of a socket ends it: each is for the next byte."""
    with silent_server(said, drip=b" ") as port, ended(15), pytest.raises(Outage) as told:
        asking(port).champion()
    assert str(told.value) == (
        f"MLflow at http://127.0.0.1:{port} did not answer: it has not said all within 10 seconds"
    )
    assert told.value.place == f"MLflow at http://127.0.0.1:{port}"


@pytest.mark.parametrize("said", [_HEADERS + b"X-Slow: ", _HEADERS + b"Content-Length: 900000\r\n\r\n"])
def test_a_byte_now_and_then_is_no_answer_of_s3(monkeypatch, said):
    monkeypatch.setattr("evergreen.storage.objects._RETRYING", timedelta(seconds=1))
    with silent_server(said, drip=b" ") as port:
        speak_to_s3(port, monkeypatch)
        with ended(10), pytest.raises(Outage, match=f"s3://dripping-{len(said)}/lake did not answer"):
            holds_anything(f"s3://dripping-{len(said)}/lake")
        with ended(10), pytest.raises(Outage, match="did not answer"):
            find_object(open_store(f"s3://dripping-{len(said)}"), "a", f"s3://dripping-{len(said)}/a")
        table = f"s3://dripping-{len(said)}/lake/rows"
        with ended(10), pytest.raises(OSError, match="Generic S3 error"):
            DeltaTable(table, storage_options=delta_options(table))


def _welcomed():
    """What PostgreSQL says to somebody whom it lets in."""
    settings = {"client_encoding": "UTF8", "server_version": "18.4", "DateStyle": "ISO", "TimeZone": "UTC"}
    texts = [f"{name}\0{value}\0".encode() for name, value in settings.items()]
    said = b"".join(b"S" + (len(text) + 4).to_bytes(4, "big") + text for text in texts)
    return b"R\x00\x00\x00\x08\x00\x00\x00\x00" + said + b"Z\x00\x00\x00\x05I"


@pytest.mark.parametrize("driver", ["postgresql+psycopg2", "postgresql+psycopg"])
def test_a_byte_now_and_then_is_no_answer_of_a_database(monkeypatch, driver):
    monkeypatch.setattr("evergreen.sources.querying._WHOLE", 2)
    query = QueryConfig(sql="SELECT :batch", database="DRIPPING", complete={"sql": "SELECT 1"})
    # Whoever connects is welcome; to the first query comes a notice that has begun.
    with silent_server(_welcomed() + b"N\x00\x0f\xff\xff", drip=b"x") as port:
        url = f"{driver}://reader:secret@127.0.0.1:{port}/shop?sslmode=disable&gssencmode=disable"
        monkeypatch.setenv("DRIPPING", url)
        with ended(10), pytest.raises(Outage) as told:
            probe_query(query, _CALENDAR, "2024-01-01", datetime(2024, 1, 3, tzinfo=UTC), "model taxi, rows")
    assert str(told.value) == (
        "model taxi, rows, complete.sql of batch 2024-01-01, postgresql database of DRIPPING did not answer: it has "
        "not said all within 2 seconds"
    )
    assert told.value.place == "postgresql database of DRIPPING"


def test_a_byte_now_and_then_is_no_answer_of_redis(monkeypatch):
    monkeypatch.setattr("evergreen.storage.online_redis._WHOLE", 2.0)
    with silent_server(b"$900000\r\n", drip=b"x") as port, ended(10), pytest.raises(Outage, match="has not said all"):
        RedisStore(f"redis://127.0.0.1:{port}/0").written("fares")


def test_a_byte_now_and_then_is_no_yes_of_a_sink(monkeypatch):
    monkeypatch.setattr("evergreen.sinks.TELLING", 2.0)
    with silent_server(_HEADERS + b"X-Slow: ", drip=b" ") as port, ended(10), pytest.raises(Outage) as told:
        HttpSink(f"http://127.0.0.1:{port}").tell(Message("taxi", "late.0", "opened", "2024-01-01", "late", 1))
    assert str(told.value) == "alert late.0: http did not answer: it has not said all within 2 seconds"
