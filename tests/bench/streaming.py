"""Scoring a large batch of a rowwise model: memory at one size and at ten times as many rows, CPU beside raw predict.

`make bench` runs it with 5,000,000 rows; `python -m tests.bench.streaming 700000` is the small form: a tenth of it is
just more than one piece, and what does not depend on rows weighs more. Each figure is taken in a process of its own:
peak memory is that of the whole process, imports and all; CPU seconds begin when imports are done and the model is
loaded. Raw predict is `estimator.predict` on the finished features in one frame.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

from evergreen.config.locations import Locations
from evergreen.config.model_folder import load_model_folder
from evergreen.features.scoring_in_pieces import find_streamable
from evergreen.steps.score_batch import score_batch
from evergreen.storage.frames import to_frame
from evergreen.storage.stores import open_stores
from tests.large_batch import make_model, make_rows, promote, seal_rows
from tests.short_loop import load_version

MEMORY, CPU = 1.2, 1.25
FEW, MANY = "2024-01-01", "2024-01-02"


def prepare(place: Path, rows: int) -> None:
    """Publish two batches, the second ten times as large, and put a model in force."""
    model, at = make_model(place), Locations.under(place)
    promote(model, at)
    seal_rows(model, at, FEW, make_rows(rows // 10))
    seal_rows(model, at, MANY, make_rows(rows))


def score(place: Path, batch: str) -> None:
    """Score a batch; print peak memory in MB, CPU seconds and rows."""
    model, at = load_model_folder(place / "models" / "trips"), Locations.under(place)
    packed = load_version(open_stores(at, model.id), 1)
    begun = time.process_time()
    scored = score_batch(model, at, batch)
    spent = time.process_time() - begun
    assert find_streamable(model.config.data_schema, open_stores(at, model.id), packed, scored.claim) is not None
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(int(peak.split()[1]) / 1024, spent, scored.rows)


def predict(place: Path, batch: str) -> None:
    """Predict the same rows in one frame; print CPU seconds and rows."""
    model, at = load_model_folder(place / "models" / "trips"), Locations.under(place)
    stores = open_stores(at, model.id)
    packed = load_version(stores, 1)
    rows = to_frame(stores.lake.read_any("clean", batch, 0))
    features = packed.features.build_features(rows, rows.iloc[:0])
    begun = time.process_time()
    packed.estimator.predict(features)
    print(time.process_time() - begun, len(features))


def measure(rows: int) -> bool:
    """Run and print; returns whether both limits hold."""
    with tempfile.TemporaryDirectory() as place:

        def apart(work: str, what: str) -> list[float]:
            command = [sys.executable, "-m", "tests.bench.streaming", work, place, what]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            return [float(number) for number in done.stdout.split()]

        apart("prepare", str(rows))
        few_peak, few_cpu, few = apart("score", FEW)
        # Before and after: on a machine with other work to do, speed drifts.
        before, _ = apart("predict", MANY)
        many_peak, many_cpu, many = apart("score", MANY)
        after, _ = apart("predict", MANY)
    raw = (before + after) / 2
    memory, cpu = many_peak / few_peak, many_cpu / raw
    print("score_batch, rowwise, 12 columns, HistGradientBoosting of 200 iterations, one thread")
    print(f"  {few:12,.0f} rows  peak {few_peak:6,.0f} MB  {few_cpu:6.1f} CPU s")
    print(f"  {many:12,.0f} rows  peak {many_peak:6,.0f} MB  {many_cpu:6.1f} CPU s")
    print(f"  raw predict of as many, before and after: {before:.1f} and {after:.1f} CPU s")
    print(f"memory {memory:.2f} times (limit {MEMORY}), CPU {cpu:.2f} times raw predict (limit {CPU})")
    return memory <= MEMORY and cpu <= CPU


if __name__ == "__main__":
    if len(sys.argv) > 2:
        work = {"prepare": lambda p, n: prepare(p, int(n)), "score": score, "predict": predict}[sys.argv[1]]
        work(Path(sys.argv[2]), sys.argv[3])
    else:
        sys.exit(0 if measure(int(sys.argv[1]) if len(sys.argv) > 1 else 5_000_000) else 1)
