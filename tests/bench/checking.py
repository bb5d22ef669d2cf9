"""Validating and checking a large batch of twenty columns: CPU beside that of reading it, and peak memory.

``make bench`` takes 100,000 and 1,000,000 rows; ``python -m tests.bench.checking 100000 10000000`` is the long form.
Each figure is taken in a process of its own. Reading is what the lake takes for the rows in pieces, held against
their hash. Validated is a Parquet file by thirty-two expectations, statistics and tables included. Checked are inputs
and predictions: from statistics, and from the rows as where there are none.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from evergreen.checks.sections import check_inputs, check_predictions
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder, load_model_folder
from evergreen.features.reading import published
from evergreen.judging.promotions import promotion_decided
from evergreen.steps.ingest_batch import ingest_batch
from evergreen.steps.score_batch import score_batch
from evergreen.steps.validate_batch import validate_batch
from evergreen.storage.lake import Lake
from evergreen.storage.stores import open_stores
from tests.large_batch import make_model, make_rows, promote

MEMORY, SECONDS = 1.2, 1.0
# What validating is to cost one day: at most so many times reading, and so many MB.
READINGS, PEAK = 2.5, 1_000
MORE = [f"sensor_{n}" for n in range(8)]
NUMBERS = ["distance", "fare", "tolls", "surcharge", "temperature", *MORE]
CATEGORIES = {"pickup_zone": 264, "dropoff_zone": 264, "payment": 6}


def expect() -> list[dict[str, object]]:
    """Thirty-two expectations, each of which holds."""
    asked: list[tuple[str, dict[str, object]]] = [
        *(("values_to_be_between", {"column": name, "min_value": 0, "max_value": 500}) for name in NUMBERS),
        *(("mean_to_be_between", {"column": name, "min_value": 5, "max_value": 7}) for name in NUMBERS[:6]),
        *(("values_to_not_be_null", {"column": name}) for name in NUMBERS[:5]),
        *(
            ("values_to_be_in_set", {"column": name, "value_set": [str(n) for n in range(most)]})
            for name, most in CATEGORIES.items()
        ),
        ("values_to_match_regex", {"column": "trip_id", "regex": "^trip-[0-9]+$"}),
        ("values_to_be_unique", {"column": "trip_id"}),
        ("median_to_be_between", {"column": "fare", "min_value": 4, "max_value": 8}),
        ("values_to_be_between", {"column": "passengers", "min_value": 1, "max_value": 6}),
    ]
    rows: list[dict[str, object]] = [{f"expect_column_{name}": arguments} for name, arguments in asked]
    return [*rows, {"expect_table_row_count_to_be_between": {"min_value": 1}}]


def model_of(place: Path) -> ModelFolder:
    """The model of twenty columns."""
    folder = make_model(place, iterations=10).path
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["source"]["files"] = "trips_{batch:%Y-%m-%d}.parquet"
    config["rows"]["columns"] |= dict.fromkeys(MORE, "float")
    config["check"] = {"ignore": MORE}
    config["limits"] = {"rows": 100_000_000, "unpacked_mb": 100_000, "file_mb": 100_000}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "expectations.yaml").write_text(yaml.safe_dump({"rows": expect()}))
    return load_model_folder(folder)


def prepare(place: Path, sizes: list[int]) -> None:
    """Let a batch of each size arrive, and put a champion in force."""
    model, at = model_of(place), Locations.under(place)
    promote(model, at, checked=True)
    landing = Path(at.landing) / model.id
    landing.mkdir(parents=True)
    for number, count in enumerate(sizes):
        rows, draw = make_rows(count), np.random.default_rng(number)
        for name in MORE:
            rows = rows.append_column(name, pa.array(np.round(draw.gamma(2, 3, count), 2)))
        pq.write_table(rows, landing / f"trips_{model.config.calendar.name(number)}.parquet")


def validate(model: ModelFolder, at: Locations, batch: str) -> int:
    """Take a batch in and validate it."""
    ingest_batch(model, at, batch)
    record = validate_batch(model, at, batch)
    assert record is not None
    assert (record.state, record.quarantined) == ("published", 0), record.reasons
    return record.clean


def score(model: ModelFolder, at: Locations, batch: str) -> int:
    """Score a batch."""
    return score_batch(model, at, batch).rows


def check(model: ModelFolder, at: Locations, batch: str) -> int:
    """Check a batch from its statistics."""
    stores = open_stores(at, model.id)
    promotion = promotion_decided(stores.ledger, batch)
    assert promotion is not None
    sections = [one(model.config, stores, [batch], promotion) for one in (check_inputs, check_predictions)]
    assert [section.state for section in sections] == ["ok", "ok"], sections
    return int(sections[0].numbers["rows"])


def check_rows(model: ModelFolder, at: Locations, batch: str) -> int:
    """Check a batch that has no statistics."""
    Lake.get_statistics = lambda lake, partition: None  # type: ignore[method-assign]
    return check(model, at, batch)


def read(model: ModelFolder, at: Locations, batch: str) -> int:
    """Read the rows in pieces."""
    stores = open_stores(at, model.id)
    (partition,) = published(stores, "rows", [batch])
    return sum(piece.num_rows for piece in stores.lake.stream(partition))


WORK = {"validate": validate, "score": score, "read": read, "check": check, "check_rows": check_rows}


def work(place: Path, what: str, batch: str) -> None:
    """Do one thing; print peak memory in MB, CPU seconds, seconds of the clock, and rows."""
    model, at = load_model_folder(place / "models" / "trips"), Locations.under(place)
    if promotion := promotion_decided(open_stores(at, model.id).ledger, batch):
        open_stores(at, model.id).models.load_promoted(promotion)
    begun, clock = time.process_time(), time.perf_counter()
    rows = WORK[what](model, at, batch)
    spent, lasted = time.process_time() - begun, time.perf_counter() - clock
    found = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(int(found.split()[1]) / 1024, spent, lasted, rows)


def measure(sizes: list[int]) -> bool:
    """Run and print; returns whether a check stays flat in time and memory."""
    seen: dict[str, list[tuple[float, ...]]] = {what: [] for what in WORK}
    with tempfile.TemporaryDirectory() as place:

        def apart(*told: str) -> tuple[float, ...]:
            command = [sys.executable, "-m", "tests.bench.checking", "--", place, *told]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            return tuple(float(number) for number in done.stdout.split())

        apart("prepare", *map(str, sizes))
        for number, _ in enumerate(sizes):
            for what, times in seen.items():
                times.append(apart(what, f"2024-01-{number + 1:02d}"))
    print("a batch of twenty columns, thirty-two expectations")
    for number, _ in enumerate(sizes):
        reading = seen["read"][number][1]
        for what, times in seen.items():
            peak, spent, lasted, rows = times[number]
            ratio = f"{spent / reading:6.2f} times reading"
            print(f"  {what:10} {rows:12,.0f} rows  peak {peak:6,.0f} MB  {spent:7.2f} CPU s {lasted:7.2f} s {ratio}")
    peak, spent = seen["validate"][-1][:2]
    ratio = spent / seen["read"][-1][1]
    print(f"validate: {ratio:.1f} times reading (goal {READINGS}), {peak:,.0f} MB (goal {PEAK:,})")
    memory, spent = seen["check"][-1][0] / seen["check"][0][0], seen["check"][-1][1]
    print(f"check: memory {memory:.2f} times (limit {MEMORY}), {spent:.2f} CPU s (limit {SECONDS})")
    return memory <= MEMORY and spent <= SECONDS


if __name__ == "__main__":
    if sys.argv[1:2] == ["--"]:
        place, what, *told = sys.argv[2:]
        if what == "prepare":
            prepare(Path(place), [int(count) for count in told])
        else:
            work(Path(place), what, told[0])
    else:
        sys.exit(0 if measure([int(count) for count in sys.argv[1:]] or [100_000, 1_000_000]) else 1)
