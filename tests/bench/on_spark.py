"""Scoring a large batch on Apache Spark beside raw predict, with one worker and with two.

`python -m tests.bench.on_spark 4000000`; without Java and Spark's programs (`SPARK_HOME`, else from the package
registry) it says so and measures nothing. Rows lie in shards of 262,144. CPU seconds are those of the server, its
workers and this process; each server scores a batch before the one that is measured, for imports.
"""

import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, WriterProperties, write_deltalake

from evergreen.config.locations import Locations
from evergreen.config.model_folder import load_model_folder
from evergreen.steps.score_batch import score_batch
from evergreen.storage.delta_log import where
from evergreen.storage.stores import open_stores
from tests.bench.streaming import FEW, MANY, predict, prepare
from tests.spark_server import apache_server

_SHARD = 262_144


def lay_shards(place: Path, batch: str, most: int) -> None:
    """Store a batch anew in small row groups, for there to be shards enough."""
    lake = open_stores(Locations.under(place), "trips").lake
    rows = lake.read_any("clean", batch, 0)
    keyed = rows.append_column("batch", pa.repeat(batch, rows.num_rows))
    keyed = keyed.append_column("revision", pa.repeat(pa.scalar(0, pa.int32()), rows.num_rows))
    properties = WriterProperties(max_row_group_size=most)
    uri = lake.table_uri("clean")
    write_deltalake(uri, keyed, mode="overwrite", predicate=where(batch, 0), writer_properties=properties)
    groups = [pq.ParquetFile(path.removeprefix("file://")).metadata for path in DeltaTable(uri).file_uris()]
    assert any(one.row_group(0).num_rows == most for one in groups)


def spent() -> float:
    """CPU seconds of this process and of all that it has started and that runs."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(one.cpu_times()[:2]) for one in processes)


def score(place: Path, workers: int) -> tuple[float, float]:
    """Score a batch on so many workers; returns CPU seconds and seconds of the clock."""
    folder = load_model_folder(place / "models" / "trips")
    model = folder.replace(folder.config.model_copy(update={"engine": "spark"}))
    with apache_server(workers) as remote:
        at = replace(Locations.under(place), spark=remote)
        score_batch(model, at, FEW)
        cpu, begun = spent(), time.monotonic()
        score_batch(model, at, MANY)
        return spent() - cpu, time.monotonic() - begun


def measure(rows: int) -> None:
    """Run and print."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        prepare(place, rows)
        # Shards enough for each worker to have one before.
        lay_shards(place, FEW, _SHARD // 8)
        lay_shards(place, MANY, _SHARD)
        print(f"raw predict of {rows:,} rows: CPU s, rows", flush=True)
        begun = time.process_time()
        predict(place, MANY)
        print(f"  with reading and features: {time.process_time() - begun:.1f} CPU s", flush=True)
        clocks = []
        for workers in (1, 2):
            cpu, clock = score(place, workers)
            clocks.append(clock)
            print(f"Spark, {workers} worker(s): {cpu:.1f} CPU s, {clock:.1f} s", flush=True)
    print(f"the second worker adds {clocks[0] / clocks[1] - 1:.2f} of the first")


if __name__ == "__main__":
    try:
        measure(int(sys.argv[1]) if len(sys.argv) > 1 else 4_000_000)
    except pytest.skip.Exception as absent:
        print(f"not measured: {absent}")
