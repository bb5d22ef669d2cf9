"""The log of a table grows with its commits, not with their square; every commit and every version stays."""

import itertools
import logging
import threading
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from obstore.exceptions import PermissionDeniedError

from evergreen.storage import delta_log
from evergreen.storage.lake import Lake, describe
from tests.s3 import objects, s3, speaking_to

OLDER = [9, 19, 29]


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path), "dev", "taxi")


def commit(lake, *numbers):
    for number in numbers:
        lake.replace("clean", f"b{number:04}", 0, pa.table({"id": [number]}), describe(n=number))


def log_of(lake):
    return Path(lake.table_uri("clean"), "_delta_log")


def checkpoints(lake):
    return sorted(int(path.name[:20]) for path in log_of(lake).glob("*.checkpoint.parquet"))


def ids(lake, version=None):
    rows = pa.table(DeltaTable(lake.table_uri("clean"), version=version).scan())
    return sorted(rows.column("id").to_pylist())


def test_the_log_grows_with_the_commits(lake):
    sizes = []
    for begin, end in itertools.pairwise((0, 80, 160)):
        commit(lake, *range(begin, end))
        sizes.append(sum(path.stat().st_size for path in log_of(lake).iterdir()))
    assert sizes[1] / sizes[0] < 2.2
    assert checkpoints(lake) == [149, 159]
    assert [ids(lake, version) for version in (None, 0, 57, 155)] == [[*range(n)] for n in (160, 1, 58, 156)]
    # Each commit still tells what it was made by.
    told = [int(made["evergreen.n"]) for made in DeltaTable(lake.table_uri("clean")).history()]
    assert told == [*range(159, -1, -1)]


@pytest.fixture
def old_lake(lake, monkeypatch):
    """A table as it was left before checkpoints were deleted."""
    with monkeypatch.context() as before:
        before.setattr(delta_log, "drop_checkpoints", lambda uri: None)
        commit(lake, *range(45))
    assert checkpoints(lake) == [*OLDER, 39]
    return lake


def test_an_older_table_loses_its_checkpoints_with_the_next_one(old_lake):
    commit(old_lake, *range(45, 49))
    assert checkpoints(old_lake) == [*OLDER, 39]
    commit(old_lake, 49)
    assert checkpoints(old_lake) == [39, 49]
    assert ids(old_lake) == [*range(50)]


@pytest.mark.parametrize("gone", [gone for n in range(3) for gone in itertools.combinations(OLDER[:2], n)], ids=str)
def test_who_is_killed_while_deleting_leaves_a_table_that_is_read_and_goes_on(gone, old_lake):
    for version in gone:
        (log_of(old_lake) / f"{version:020}.checkpoint.parquet").unlink()
    assert [ids(old_lake, version) for version in (None, 22, 44)] == [[*range(n)] for n in (45, 23, 45)]
    commit(old_lake, *range(45, 50))
    assert checkpoints(old_lake) == [39, 49]


def test_who_began_to_read_before_goes_on(old_lake):
    hint = (log_of(old_lake) / "_last_checkpoint").read_bytes()
    held = DeltaTable(old_lake.table_uri("clean"))
    commit(old_lake, *range(45, 80))
    assert checkpoints(old_lake) == [69, 79]
    assert pa.table(held.scan()).num_rows == 45
    # Another has read the name of a checkpoint that is gone by now.
    (log_of(old_lake) / "_last_checkpoint").write_bytes(hint)
    assert ids(old_lake) == [*range(80)]


def test_reads_beside_a_writer_miss_nothing(lake):
    commit(lake, 0)
    ended, seen = threading.Event(), []

    def read():
        while not ended.is_set():
            seen.append(len(ids(lake)))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        commit(lake, *range(1, 60))
    finally:
        ended.set()
        reader.join(60)
    assert seen == sorted(seen)
    assert len(seen) > 5


def test_a_store_that_lets_nobody_delete_holds_up_no_commit(lake, monkeypatch, caplog):
    def refuse(store, paths):
        raise PermissionDeniedError("no")

    monkeypatch.setattr(delta_log.obstore, "delete", refuse)
    with caplog.at_level(logging.WARNING):
        commit(lake, *range(30))
    assert "old checkpoints were not deleted" in caplog.text
    assert (ids(lake), checkpoints(lake)) == ([*range(30)], [9, 19, 29])


def test_a_damaged_hint_holds_up_no_commit(lake):
    commit(lake, *range(11))
    (log_of(lake) / "_last_checkpoint").write_text("{")
    commit(lake, 11)
    assert ids(lake) == [*range(12)]


def test_on_s3_the_same_checkpoints_go(monkeypatch):
    # Sooner than every ten commits, for each takes an object store a while.
    monkeypatch.setitem(delta_log._CONFIGURATION, "delta.checkpointInterval", "2")
    with s3() as environment, speaking_to(environment):
        lake = Lake("s3://evergreen/lake", "dev", "taxi")
        commit(lake, *range(7))
        names = [name for name in objects(f"{lake.table_uri('clean')}/_delta_log") if "checkpoint.parquet" in name]
        assert sorted(int(name[:20]) for name in names) == [3, 5]
        assert ids(lake) == [*range(7)]
