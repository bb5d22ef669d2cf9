"""A model folder in small, its batches, and what every hostile batch must leave behind it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import yaml

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder, load_model_folder
from evergreen.records import ArrivalRecord, BatchRecord, Feed
from evergreen.steps.ingest_batch import ingest_batch
from evergreen.steps.score_batch import score_batch
from evergreen.steps.validate_batch import validate_batch
from evergreen.steps.wait_for_batch import wait_for_batch
from evergreen.storage.stores import open_stores
from tests.short_loop import lay_registry, records, tables, take_labels

CONFIG: dict[str, Any] = {
    "title": "Trips",
    "schedule": {"every": "day", "start": "2024-01-01"},
    "source": {"files": "rows_{batch:%Y-%m-%d}*", "complete": {"stable": "0s"}, "wait": "0s"},
    "rows": {
        "key": ["id"],
        "event_time": "at",
        "columns": {"id": "integer", "at": "timestamp", "distance": "float", "zone": "category"},
    },
    "labels": {
        "files": "labels_{batch:%Y-%m-%d}*", "key": ["id"], "target": {"minutes": "float"},
        "complete": {"stable": "0s"}, "wait": "0s",
    },
    "features": {"rowwise": True},
    "model": {"task": "regression", "seed": 1},
    "training": {"window": 3, "min_labels": 20},
    "gate": {"metric": "mae", "min_rows": 10},
    "check": {"window": 2, "min_rows": 10, "html": "never"},
    "retrain": {"any": ["decay"]},
}  # fmt: skip
EXPECTATIONS = """\
rows:
  - expect_column_values_to_be_between: {column: distance, min_value: 0, max_value: 1000}
labels:
  - expect_column_values_to_be_between: {column: minutes, min_value: 0, max_value: 600}
"""
FEATURES = "def build_features(batch, history):\n    return batch[['distance']].fillna(0)\n"
ESTIMATOR = """\
from sklearn.linear_model import LinearRegression


def build_estimator(seed):
    return LinearRegression()
"""
HEADER = "id,at,distance,zone"
LATER = datetime(2024, 3, 1, tzinfo=UTC)

Outcome = Literal["fine", "quarantined", "rejected"]


@dataclass(frozen=True)
class Kind:
    """One row of a table: a hostile input and what must come of it.

    :param name: what is wrong.
    :param files: the batch's files, by what follows the date in their names.
    :param outcome: what becomes of the batch.
    :param clean: rows that are published.
    :param quarantined: rows that are kept apart; None where only packed bytes know how many lines they are.
    :param told: what reasons, quarantine and incident must say between them.
    :param config: parts of config.yaml that differ.
    """

    name: str
    files: dict[str, bytes]
    outcome: Outcome
    clean: int
    quarantined: int | None
    told: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def write_model(folder: Path, name: str = "trips", **texts: Any) -> ModelFolder:
    """A model folder; arguments take the place of config's parts (dict), or of a whole file (text or bytes)."""
    path = folder / "models" / name
    path.mkdir(parents=True)
    files: dict[str, Any] = {
        "config": CONFIG, "expectations": EXPECTATIONS, "features": FEATURES, "estimator": ESTIMATOR,
    } | texts  # fmt: skip
    for stem, content in files.items():
        text = yaml.safe_dump(CONFIG | content) if isinstance(content, dict) else content
        target = path / (f"{stem}.yaml" if stem in ("config", "expectations") else f"{stem}.py")
        target.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_model_folder(path)


def batch_of(day: int) -> str:
    return f"2024-01-{day:02d}"


def rows_of(day: int, count: int = 4) -> list[str]:
    """Sound rows of a day, as CSV."""
    return [f"{day * 100 + i},{batch_of(day)}T{i % 24:02d}:00:00,{1.5 + i % 7},{'ab'[i % 2]}" for i in range(count)]


def labels_of(day: int, count: int = 4, whole: bool = False) -> list[str]:
    if whole:
        return [f"{day * 100 + i},{i % 2}" for i in range(count)]
    return [f"{day * 100 + i},{3.0 * (1.5 + i % 7) + i % 3 / 10}" for i in range(count)]


def csv(header: str, *lines: str, end: str = "\n") -> bytes:
    return end.join([header, *lines, ""]).encode()


def land(model: ModelFolder, at: Locations, feed: str, day: int, files: dict[str, bytes]) -> None:
    lay_registry(at)
    folder = Path(at.landing) / model.id
    folder.mkdir(parents=True, exist_ok=True)
    for ending, content in files.items():
        (folder / f"{feed}_{batch_of(day)}{ending}").write_bytes(content)


def land_sound(model: ModelFolder, at: Locations, day: int, feeds: tuple[str, ...] = ("rows", "labels")) -> None:
    """Sound files, written as the model's config says."""
    form = model.config.rows.columns["at"].format
    rows = [
        row.replace(f"{batch_of(day)}T0{i}:00:00", f"{day:02d}-01-2024") if form else row
        for i, row in enumerate(rows_of(day))
    ]
    target = model.config.labels.column if model.config.labels is not None else ""
    sound = {"rows": csv(HEADER, *rows), "labels": csv(f"id,{target}", *labels_of(day, whole=target == "late"))}
    for feed in feeds:
        source = model.config.source if feed == "rows" else None
        content = sound[feed].decode().replace(",", source.delimiter if source else ",")
        land(model, at, feed, day, {".csv": content.encode(source.encoding if source else "utf-8")})


def take(model: ModelFolder, at: Locations, day: int) -> None:
    """A batch from its files to its sealed labels, by the steps that a runner calls."""
    batch = batch_of(day)
    if _await(model, at, batch, "rows"):
        ingest_batch(model, at, batch)
        validate_batch(model, at, batch)
    score_batch(model, at, batch)
    if model.config.labels is not None and _await(model, at, batch, "labels"):
        take_labels(model, at, batch)


def _await(model: ModelFolder, at: Locations, batch: str, feed: Feed) -> bool:
    seen = wait_for_batch(model, at, batch, LATER, None, feed)
    if seen.state == "waiting":
        seen = wait_for_batch(model, at, batch, LATER, seen.probe, feed)
    return seen.state == "complete"


def check(model: ModelFolder, at: Locations, feed: Feed, kind: Kind, day: int = 2) -> None:
    """Whatever came: it is told, counted, kept; the next batch goes on; a second run changes nothing."""
    stores, table = open_stores(at, model.id), "clean" if feed == "rows" else "labels"
    record = stores.ledger.get(BatchRecord, f"{feed}.{batch_of(day)}")
    assert record is not None
    outcome = "rejected" if record.state == "rejected" else "quarantined" if record.quarantined else "fine"
    kept = stores.lake.read_any(f"quarantine_{feed}", batch_of(day), 0).to_pylist()
    incidents = [text for place, text in records(model, at).items() if place.startswith("incident")]
    told = "\n".join([*(str(reason) for reason in record.reasons), *(str(row) for row in kept), *incidents])
    apart = record.quarantined if kind.quarantined is None else kind.quarantined
    assert (outcome, record.clean, record.quarantined) == (kind.outcome, kind.clean, apart), told
    assert apart or kind.outcome == "fine" or not any(map(len, kind.files.values())) or "no rows in" in told
    for fragment in kind.told:
        assert fragment in told
    # Nothing is lost: each row is published or kept with a reason, and the files themselves are there byte for byte.
    assert record.rows_in == record.clean + record.quarantined
    assert len(kept) == record.quarantined
    assert all(row["file"] and row["reason"] and row["row"] >= 0 for row in kept)
    assert stores.lake.read_any(table, batch_of(day), 0).num_rows == record.clean
    arrival = stores.ledger.get(ArrivalRecord, f"{feed}.{batch_of(day)}")
    assert arrival is not None
    contents = {f"{feed}_{batch_of(day)}{ending}": content for ending, content in kind.files.items()}
    copies = {file.name: stores.lake.get_raw(file.raw) for file in arrival.files if not file.refused}
    refused = {file.name: contents.get(file.name, b"") for file in arrival.files if file.refused}
    assert copies | refused == contents | refused
    if outcome == "rejected":
        assert f"{feed}_{batch_of(day)}" in told, "the message names the file"
        assert "Have the source mended" in told
    # The next batch goes on, and a second run of all changes nothing.
    land_sound(model, at, day + 1)
    take(model, at, day + 1)
    after = stores.ledger.get(BatchRecord, f"{feed}.{batch_of(day + 1)}")
    assert after is not None
    assert (after.state, after.clean, after.quarantined) == ("published", 4, 0)
    before = tables(model, at) | records(model, at)
    for number in range(1, day + 2):
        take(model, at, number)
    assert tables(model, at) | records(model, at) == before
