"""A large batch scored on a Spark cluster comes to what this process comes to, or to nothing."""

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from evergreen import engine
from evergreen.config.locations import Locations
from evergreen.errors import ConfigInvalid, ExtraMissing, Outage, Refused, SourceChanged
from evergreen.features import scoring_on_spark
from evergreen.features.batch_statistics import Statistics
from evergreen.features.scoring_in_pieces import find_streamable
from evergreen.features.scoring_on_spark import SparkScoring
from evergreen.records import ClaimRecord, Partition
from evergreen.steps.score_batch import score_batch
from evergreen.storage.delta_log import write_file
from evergreen.storage.pieces import ROWS
from evergreen.storage.revisions import scored_partition
from evergreen.storage.stores import open_stores
from tests.large_batch import FEATURES, make_model, make_rows, promote, seal_rows
from tests.short_loop import lay_registry, load_version
from tests.spark_server import apache_server, sail_server

pytest.importorskip("pysail", reason="no Spark Connect server is installed")
DAY, COUNT = "2024-01-01", ROWS + 3_000
FILES = (1_000, 40_000, COUNT - 41_000)
FAULTY = '    pickup = batch["pickup"]\n'
FAULTY = FEATURES.replace(
    FAULTY,
    '    if (batch["distance"] == -1).any():\n        raise ValueError("a distance of -1")\n'
    '    import os\n\n    if "DIE" in os.environ and (batch["distance"] == -2).any():\n'
    "        os.kill(os.getpid(), 9)\n" + FAULTY,
)


@pytest.fixture(scope="module", params=["sail", pytest.param("apache", marks=pytest.mark.long)])
def server(request):
    with (sail_server if request.param == "sail" else apache_server)() as remote:
        yield remote


@pytest.fixture(scope="module")
def rows():
    return make_rows(COUNT)


@pytest.fixture(scope="module")
def champion(tmp_path_factory):
    """A place with a champion and no batch."""
    place = tmp_path_factory.mktemp("champion")
    model, at = make_model(place, iterations=5, features=FAULTY), Locations.under(place)
    lay_registry(at)
    promote(model, at, learnt=500)
    return model, at


@pytest.fixture
def begin(champion, tmp_path, rows, server):
    """A lake of its own with a large batch in several files: the model, and its place, which names the server."""

    def make(name, stored=rows):
        model, at = champion
        at = replace(at, lake=str(tmp_path / name), spark=server)
        shutil.copytree(champion[1].lake, at.lake)
        seal_rows(model, at, DAY, stored)
        lay_files(open_stores(at, model.id).lake, stored)
        return model.replace(model.config.model_copy(update={"engine": "spark"})), at

    return make


def lay_files(lake, rows):
    """Store a batch in several files, in the order of the rows."""
    lake.replace("clean", DAY, 0, rows.slice(0, FILES[0]), {})
    for first, count in ((FILES[0], FILES[1]), (FILES[0] + FILES[1], rows.num_rows)):
        part = rows.slice(first, count)
        part = part.append_column("batch", pa.repeat(DAY, part.num_rows))
        part = part.append_column("revision", pa.repeat(pa.scalar(0, pa.int32()), part.num_rows))
        write_deltalake(lake.table_uri("clean"), part, mode="append")


def locally(model):
    return model.replace(model.config.model_copy(update={"engine": "local"}))


def with_distance(rows, value):
    """Rows of which one in the last file has another distance."""
    distance = rows.column("distance").to_numpy().copy()
    distance[COUNT - 7] = value
    return rows.set_column(rows.column_names.index("distance"), "distance", pa.array(distance))


def left(model, at):
    """What scoring has left: the claim, predictions by key, their statistics, the table's columns."""
    stores = open_stores(at, model.id)
    claim = stores.ledger.last(ClaimRecord, DAY)
    predicted = stores.lake.read_any("predictions", DAY, claim.revision).sort_by("trip_id")
    schema = DeltaTable(stores.lake.table_uri("predictions")).schema().to_json()
    return claim, predicted, stores.lake.get_statistics(scored_partition(claim)), schema


def is_empty(model, at):
    return open_stores(at, model.id).lake.read_any("predictions", DAY, 0).num_rows == 0


def test_a_cluster_comes_to_the_bits_of_this_process(begin):
    model, at = begin("spark")
    assert score_batch(model, at, DAY).rows == COUNT
    on_spark = left(model, at)
    other = begin("local")
    assert score_batch(locally(other[0]), other[1], DAY).rows == COUNT
    here = left(*other)
    assert on_spark[0].model_dump(exclude={"meta"}) == here[0].model_dump(exclude={"meta"})
    assert on_spark[1].num_rows == COUNT
    assert on_spark[1].equals(here[1])
    assert on_spark[2:] == here[2:]
    counted = Statistics.parse(on_spark[2], "")
    assert (counted.rows, counted.sample.rows.num_rows) == (COUNT, -(-COUNT // 8))
    table = DeltaTable(open_stores(at, model.id).lake.table_uri("predictions"))
    assert (len(table.file_uris()), table.history()[0]["evergreen.version"]) == (len(FILES), "1")
    # Again on Spark, and then here in its place.
    for again in (model, locally(model)):
        assert score_batch(again, at, DAY).rows == COUNT
        claim, predicted, *beside = left(model, at)
        assert (claim, predicted.equals(on_spark[1]), tuple(beside)) == (on_spark[0], True, on_spark[2:])


def test_a_shard_that_fails_names_the_row_alike_here_and_there(begin, rows):
    spoilt, told = with_distance(rows, -1.0), []
    for name, change in (("spark", lambda model: model), ("local", locally)):
        model, at = begin(name, spoilt)
        result = score_batch(change(model), at, DAY)
        assert (result.rows, result.claim.version, is_empty(model, at)) == (0, None, True)
        told.append(result.claim.why)
    here, there = (re.sub(r"part-\S+\.parquet", "FILE", one) for one in told)
    assert here == there
    assert here.startswith("version 1 failed: model trips, features.py, build_features on batch 2024-01-01: raised")
    assert here.endswith(f"a distance of -1 (row {FILES[2] - 6} of batch={DAY}/revision=0/FILE)")


def test_rows_that_are_not_the_records_are_not_scored(begin, rows):
    model, at = begin("lake")
    lay_files(open_stores(at, model.id).lake, rows.slice(0, COUNT - 1))
    with pytest.raises(SourceChanged, match="restore an earlier table version"):
        score_batch(model, at, DAY)
    assert is_empty(model, at)


@pytest.mark.long
def test_a_server_that_dies_leaves_nothing_and_the_next_run_ends_as_one_left_alone(begin, rows, monkeypatch):
    model, at = begin("lake", with_distance(rows, -2.0))
    monkeypatch.setattr(engine, "_TRIES", 1)
    with (
        sail_server(DIE="1") as dying,
        pytest.raises(Outage, match=r"^model trips, scoring batch 2024-01-01 on Spark: "),
    ):
        score_batch(model, replace(at, spark=dying), DAY)
    claim = open_stores(at, model.id).ledger.last(ClaimRecord, DAY)
    assert (claim.version, is_empty(model, at)) == (1, True)
    assert (score_batch(model, at, DAY).claim, left(model, at)[1].num_rows) == (claim, COUNT)


def test_killed_before_the_commit_it_leaves_nothing(begin, monkeypatch):
    class Killed(BaseException):
        pass

    def die(*arguments):
        raise Killed

    model, at = begin("lake")
    lake = type(open_stores(at, model.id).lake)
    with monkeypatch.context() as patch:
        patch.setattr(lake, "replace_by_files", die)
        with pytest.raises(Killed):
            score_batch(model, at, DAY)
    assert is_empty(model, at)
    assert score_batch(model, at, DAY).rows == COUNT
    assert left(model, at)[1].num_rows == COUNT


def begin_scoring(model, at):
    """What the task would let the workers do for the batch, which is scored here before."""
    stores = open_stores(at, model.id)
    score_batch(locally(model), at, DAY)
    claim, packed = stores.ledger.last(ClaimRecord, DAY), load_version(stores, 1)
    alone = find_streamable(model.config.data_schema, stores, packed, claim)
    return SparkScoring.of(model.config.data_schema, stores, packed, claim, alone.partition)


def test_a_worker_runs_no_file_that_is_not_on_record(begin):
    model, at = begin("lake")
    scoring = begin_scoring(model, at)
    stores = scoring.stores
    content = {**scoring.files.content, "features.py": b"raise SystemExit('run')"}
    version = DeltaTable(stores.lake.table_uri("predictions")).version()
    with pytest.raises(
        Refused, match=r"on a worker of Spark: model trips, .*features\.py has SHA-256 .*Nothing of them was run"
    ):
        replace(scoring, files=replace(scoring.files, content=content)).write({})
    assert DeltaTable(stores.lake.table_uri("predictions")).version() == version


def test_a_lake_that_no_worker_reaches_is_told(begin):
    model, at = begin("lake")
    scoring = begin_scoring(model, at)
    elsewhere = replace(scoring.scored, stored=replace(scoring.scored.stored, uri="/nowhere/clean"))
    told = r"^model trips, version 1 \(promotion 1\): a worker of Spark does not find /nowhere/clean/batch=.*docs/scale"
    with pytest.raises(Refused, match=told):
        replace(scoring, scored=elsewhere).write({})


def test_where_the_server_is_has_to_be_said(begin):
    model, at = begin("lake")
    with pytest.raises(
        ConfigInvalid, match=r"config\.yaml: engine: found spark, and no server; valid: EVERGREEN_SPARK"
    ):
        score_batch(model, replace(at, spark=""), DAY)
    with pytest.raises(Refused, match="no address of Spark Connect"):
        score_batch(model, replace(at, spark="http://127.0.0.1"), DAY)


def length(text):
    return str(len(text)).encode()


def test_a_server_that_does_not_answer_is_an_outage(monkeypatch):
    monkeypatch.setattr(engine, "_PATIENCE", 0.5)
    with pytest.raises(Outage, match=r"^model m, work: Spark Connect at 127\.0\.0\.1:9 did not answer") as raised:
        engine.map_on_spark("sc://127.0.0.1:9", "model m, work", len, ["a"])
    assert raised.value.place == "Spark Connect at 127.0.0.1:9"


def test_the_extra_is_named_where_its_client_is_absent(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark.sql.connect.session", None)
    with pytest.raises(
        ExtraMissing, match=r"model m, work, with engine: spark, needs .*airflow-provider-evergreen\[spark"
    ):
        engine.map_on_spark("sc://127.0.0.1:9", "model m, work", len, ["a"])


def test_a_python_without_our_package_is_told():
    with sail_server(BARE="1") as remote, pytest.raises(Refused, match=r"No module named 'evergreen'.*docs/scale\.md"):
        engine.map_on_spark(remote, "model m, work", scoring_on_spark.score_shard, ["a"])


def test_other_packages_than_here_are_told(server, monkeypatch):
    monkeypatch.setattr(engine, "_installed", lambda: {"numpy": "1.0", "pandas": version("pandas")})
    with pytest.raises(
        Refused, match=rf"^model m, work: a worker has numpy {np.__version__}, expected 1\.0; the workers"
    ):
        engine.map_on_spark(server, "model m, work", scoring_on_spark.score_shard, ["a"])


def test_answers_come_in_the_order_of_the_shards_also_to_a_process_without_a_file(server):
    texts = ["a" * n for n in range(20)]
    code = f"from evergreen.engine import map_on_spark; print(map_on_spark({server!r}, 'm', repr_bytes, {texts!r}))"
    code = code.replace("repr_bytes", "bytes.fromhex").replace(repr(texts), repr([f"{n:02x}" for n in range(20)]))
    environment = {name: value for name, value in os.environ.items() if name != "SPARK_HOME"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == str([bytes([n]) for n in range(20)]), done.stderr


def test_of_writers_that_race_for_a_new_partition_one_has_written_it(begin):
    model, at = begin("lake")
    lake, target = open_stores(at, model.id).lake, Partition(table="predictions", batch=DAY, revision=0, content="")

    def write(number):
        rows = pa.table({"trip_id": ["a", "b"], "prediction": [float(number)] * 2})
        file = write_file(lake.table_uri("predictions"), DAY, 0, [rows])
        lake.replace_by_files(target, [file], rows.schema, {})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    found = lake.read_any("predictions", DAY, 0)
    assert found.num_rows == 2
    assert len(set(found.column("prediction").to_pylist())) == 1
    assert DeltaTable(lake.table_uri("predictions")).version() == 4
