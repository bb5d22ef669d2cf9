"""A rowwise model with a champion, and batches of any size for it: for what has to be shown on many rows."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import skops.io

from evergreen.checks.reference import build_reference, watched_columns
from evergreen.config.expectations_config import ExpectationsConfig
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder, load_model_folder
from evergreen.config.model_spec import ModelSpec
from evergreen.features.batch_statistics import PREDICTION
from evergreen.features.packing import packing_folder
from evergreen.features.signature import example_of, signature_of
from evergreen.records import BatchRecord, Partition, PromotionRecord
from evergreen.storage.content import content_hash
from evergreen.storage.logged_model import Evidence
from evergreen.storage.model_from_code import load_module
from evergreen.storage.packed_model import hash_files, read_files, write_spec
from evergreen.storage.stores import open_stores

CONFIG = """\
title: Trips of a large city
schedule: {every: day, start: 2024-01-01}
source: {files: "trips_{batch:%Y-%m-%d}.csv"}
rows:
  key: [trip_id]
  event_time: pickup
  columns:
    trip_id: string
    pickup: timestamp
    pickup_zone: category
    dropoff_zone: category
    payment: category
    passengers: integer
    shared: boolean
    distance: float
    fare: float
    tolls: float
    surcharge: float
    temperature: float
labels: {target: {minutes: float}}
features: {rowwise: true}
model: {task: regression, seed: 7}
training: {min_labels: 100}
gate: {metric: mae}
"""
FEATURES = """\
import pandas as pd


def build_features(batch, history):
    pickup = batch["pickup"]
    return pd.DataFrame(
        {
            "distance": batch["distance"],
            "hour": pickup.dt.hour + pickup.dt.minute / 60,
            "pickup_zone": batch["pickup_zone"].astype(float),
            "dropoff_zone": batch["dropoff_zone"].astype(float),
            "passengers": batch["passengers"].astype(float),
            "shared": batch["shared"].astype(float),
            "fare": batch["fare"],
            "tolls": batch["tolls"],
            "surcharge": batch["surcharge"],
            "temperature": batch["temperature"],
        },
        index=batch.index,
    )
"""
ESTIMATOR = """\
from sklearn.ensemble import HistGradientBoostingRegressor


def build_estimator(seed):
    return HistGradientBoostingRegressor(
        max_iter=ITERATIONS, categorical_features=["passengers"], early_stopping=False, random_state=seed
    )
"""
START = 1_704_067_200_000_000


def make_model(place: Path, iterations: int = 200, features: str = FEATURES) -> ModelFolder:
    """A model folder; the estimator has so many trees."""
    folder = place / "models" / "trips"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "features.py").write_text(features)
    (folder / "estimator.py").write_text(ESTIMATOR.replace("ITERATIONS", str(iterations)))
    return load_model_folder(folder)


def make_rows(count: int, seed: int = 0, nulls: bool = True) -> pa.Table:
    """So many rows in canonical order, twelve columns; a few hold nulls."""
    draw = np.random.default_rng(seed)
    columns = {
        "trip_id": pa.array([f"trip-{number:010d}" for number in range(count)]),
        "pickup": pa.array(START + draw.integers(0, 86_400, count) * 1_000_000, pa.timestamp("us", tz="UTC")),
        "pickup_zone": pa.array(draw.integers(1, 264, count)).cast(pa.string()),
        "dropoff_zone": pa.array(draw.integers(1, 264, count)).cast(pa.string()),
        "payment": pa.array(draw.integers(1, 6, count)).cast(pa.string()),
        "passengers": pa.array(draw.integers(1, 6, count), mask=nulls & (draw.random(count) < 0.01)),
        "shared": pa.array(draw.random(count) < 0.1),
    }
    for name in ("distance", "fare", "tolls", "surcharge", "temperature"):
        columns[name] = pa.array(np.round(draw.gamma(2, 3, count), 2))
    return pa.table(columns)


def seal_rows(model: ModelFolder, at: Locations, batch: str, rows: pa.Table) -> Partition:
    """Publish rows, in canonical order, as a batch."""
    stores = open_stores(at, model.id)
    stores.lake.replace("clean", batch, 0, rows, {})
    content = content_hash(rows)
    count = rows.num_rows
    record = BatchRecord(
        as_of=batch, feed="rows", revision=0, state="published", rows_in=count, clean=count, content=content
    )
    stores.ledger.put(record)
    return Partition(table="clean", batch=batch, revision=0, content=content)


def promote(model: ModelFolder, at: Locations, learnt: int = 50_000, checked: bool = False) -> int:
    """Fit the model on made-up rows, and put it in force from the first batch; returns its version.

    :param checked: whether a check can hold batches against what it learnt from.
    """
    config, stores = model.config, open_stores(at, model.id)
    with packing_folder() as folder:
        for name, text in model.code.items():
            (folder / name).write_text(text)
        rows = make_rows(learnt, seed=1).to_pandas()
        features = load_module(folder / "features.py", "features").build_features(rows, rows.iloc[:0])
        minutes = rows["distance"] * 3 + features["hour"] * rows["fare"] / 10 + features["pickup_zone"] / 50
        estimator = load_module(folder / "estimator.py", "estimator").build_estimator(7).fit(features, minutes)
        skops.io.dump(estimator, folder / "estimator.skops")
        spec = ModelSpec.of(model.id, config, "all").model_copy(update={"features": tuple(features.columns)})
        write_spec(folder, spec)
        if checked:
            described = rows.assign(**{PREDICTION: estimator.predict(features)})
            watched = watched_columns(config.data_schema, config)
            categorical = {name for name in watched if spec.columns[name].type in ("category", "boolean")}
            batches = pd.Series(np.arange(learnt) * 12 // learnt)
            build_reference(described, categorical, [*watched, PREDICTION], batches, learnt // 12, 7).save(folder)
        evidence = Evidence({}, {}, {}, stores.lake.table_uri("clean"), "data")
        example = example_of(spec.columns, ExpectationsConfig())
        hashes = hash_files(read_files(folder))
        run = stores.models.log_model("first", "champion", folder, signature_of(spec.columns), example, evidence)
    version = stores.models.create_version(run, "first", {}, "")
    first = config.calendar.name(0)
    promotion = PromotionRecord(
        as_of=first, number=1, version=version, attempt="first", code="", data="",
        trained_on=(first, first) if checked else ("", ""), effective_from=first, error=None,
        hashes=hashes,
    )  # fmt: skip
    stores.ledger.put(promotion)
    return version


def predictions(model: ModelFolder, at: Locations, batch: str) -> pd.DataFrame:
    """What stands in the table of predictions for a batch, by key."""
    rows = open_stores(at, model.id).lake.read_any("predictions", batch, 0)
    return rows.to_pandas().sort_values("trip_id", ignore_index=True)
