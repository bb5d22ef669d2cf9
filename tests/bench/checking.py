"""Checking the inputs and predictions of a large batch: memory at one size and at ten times as many rows, CPU.

``make bench`` runs it with 2,000,000 rows; ``python -m tests.bench.checking 10000000`` is the long form. Each figure is
taken in a process of its own, as in ``streaming.py``. Beside it what reading the rows from the lake in pieces takes,
which holds them against their hash.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from evergreen.checks.sections import check_inputs, check_predictions
from evergreen.config.locations import Locations
from evergreen.config.model_folder import load_model_folder
from evergreen.features.reading import published
from evergreen.judging.champion import promotion_decided
from evergreen.steps.score_batch import score_batch
from evergreen.storage.stores import open_stores
from tests.large_batch import make_model, make_rows, promote, seal_rows

MEMORY = 1.2
FEW, MANY = "2024-01-01", "2024-01-02"


def prepare(place: Path, rows: int) -> None:
    """Publish and score two batches, the second ten times as large."""
    model, at = make_model(place, iterations=10), Locations.under(place)
    promote(model, at, checked=True)
    for batch, count in ((FEW, rows // 10), (MANY, rows)):
        seal_rows(model, at, batch, make_rows(count))
        score_batch(model, at, batch)


def check(place: Path, batch: str) -> None:
    """Check a batch; print peak memory in MB, CPU seconds and rows."""
    model, at = load_model_folder(place / "models" / "trips"), Locations.under(place)
    stores = open_stores(at, model.id)
    promotion = promotion_decided(stores.ledger, batch)
    assert promotion is not None
    stores.models.load_promoted(promotion)
    begun = time.process_time()
    sections = [one(model.config, stores, [batch], promotion) for one in (check_inputs, check_predictions)]
    spent = time.process_time() - begun
    assert [section.state for section in sections] == ["ok", "ok"], sections
    print(_peak(), spent, sections[0].numbers["rows"])


def read(place: Path, batch: str) -> None:
    """Read the rows in pieces; print peak memory in MB, CPU seconds and rows."""
    model, at = load_model_folder(place / "models" / "trips"), Locations.under(place)
    stores = open_stores(at, model.id)
    (partition,) = published(stores, "rows", [batch])
    begun = time.process_time()
    rows = sum(piece.num_rows for piece in stores.lake.stream(partition))
    print(_peak(), time.process_time() - begun, rows)


def _peak() -> float:
    found = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(found.split()[1]) / 1024


def measure(rows: int) -> bool:
    """Run and print; returns whether memory stays flat."""
    with tempfile.TemporaryDirectory() as place:

        def apart(work: str, what: str) -> list[float]:
            command = [sys.executable, "-m", "tests.bench.checking", work, place, what]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            return [float(number) for number in done.stdout.split()] if work != "prepare" else []

        apart("prepare", str(rows))
        few, many, plain = apart("check", FEW), apart("check", MANY), apart("read", MANY)
    print("inputs and predictions of one batch checked, twelve columns, nine watched")
    for what, (peak, spent, count) in (("checked", few), ("checked", many), ("read in pieces", plain)):
        print(f"  {what:14} {count:12,.0f} rows  peak {peak:6,.0f} MB  {spent:6.1f} CPU s")
    memory = many[0] / few[0]
    print(f"memory {memory:.2f} times (limit {MEMORY}), CPU {many[1] / plain[1]:.1f} times reading")
    return memory <= MEMORY


if __name__ == "__main__":
    if len(sys.argv) > 2:
        work = {"prepare": lambda p, n: prepare(p, int(n)), "check": check, "read": read}[sys.argv[1]]
        work(Path(sys.argv[2]), sys.argv[3])
    else:
        sys.exit(0 if measure(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000) else 1)
