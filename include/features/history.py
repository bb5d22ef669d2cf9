"""History and its cut: what may be read for a batch, and the features that come of it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from include.config.contract import ModelConfig
from include.errors import FeaturesInvalid
from include.records import BatchRecord, ClaimRecord, DataRecord, Feed, Partition
from include.storage.cache import ByteCache
from include.storage.lake import to_frame
from include.storage.packed_model import PackedModel
from include.storage.stores import Stores

_TABLE: dict[Feed, Literal["clean", "labels"]] = {"rows": "clean", "labels": "labels"}


@dataclass(frozen=True)
class BatchFeatures:
    """A batch with its features, row by row.

    :param rows: (rows, declared columns) clean rows, sorted by key.
    :param features: (rows, features) in the same order.
    """

    rows: pd.DataFrame
    features: pd.DataFrame

    @property
    def nbytes(self) -> int:
        """Memory that the frames take."""
        return int(self.rows.memory_usage(deep=True).sum() + self.features.memory_usage(deep=True).sum())


_BUILT: ByteCache[BatchFeatures] = ByteCache(256 * 1024 * 1024, lambda built: built.nbytes)


def published(stores: Stores, feed: Feed, batches: list[str]) -> list[Partition]:
    """The partitions of those of the batches that are published and hold rows."""
    records = [stores.ledger.get(BatchRecord, f"{feed}.{batch}") for batch in batches]
    return [
        Partition(table=_TABLE[feed], batch=record.as_of, revision=record.revision, content=record.content)
        for record in records
        if record is not None and record.state == "published" and record.clean > 0
    ]


def readable(config: ModelConfig, stores: Stores, batch: str) -> tuple[DataRecord, str | None]:
    """What may be read to score a batch, as known now: its rows, and the lookback with labels known before it.

    :returns: the data version, and the last batch whose labels are read (None if none are).
    """
    calendar, lookback = config.calendar, config.features.lookback
    first = max(0, calendar.index(batch) - lookback)
    past = [calendar.name(i) for i in range(first, calendar.index(batch))]
    partitions = published(stores, "rows", [*past, batch])
    labels = published(stores, "labels", past) if config.labels != "none" else []
    data = DataRecord.listing(partitions + labels)
    return data, (past[-1] if labels else None)


def build_features(config: ModelConfig, stores: Stores, packed: PackedModel, claim: ClaimRecord) -> BatchFeatures:
    """The features of a batch, from exactly what its claim lists.

    :raises FeaturesInvalid: if the model's code raises, or returns other rows than it was given.
    """
    # Of one claim, the same code gives the same features; a training meets most batches again.
    place = (stores.lake.table_uri("clean"), packed.features.__name__, claim.as_of, claim.data)
    kept = _BUILT.get(place)
    if kept is not None:
        return kept
    data = stores.ledger.get(DataRecord, claim.data)
    if data is None:
        raise FeaturesInvalid(f"data version {claim.data} of batch {claim.as_of} is not in the ledger; restore it")
    rows = read_rows(config, stores, [p for p in data.partitions if p.table == "clean" and p.batch == claim.as_of])
    history = _read_history(config, stores, data, claim.as_of)
    # The columns that the code was written for, in its order, however the contract has grown since.
    known = [name for name in packed.contract["columns"] if name in rows]
    built = BatchFeatures(rows, call_features(packed, rows[known], history, claim.as_of))
    _BUILT.put(place, built)
    return built


def call_features(packed: PackedModel, rows: pd.DataFrame, history: pd.DataFrame, batch: str) -> pd.DataFrame:
    """Call a model's own ``build_features`` on copies, and check what it returns.

    :raises FeaturesInvalid: naming the model, the batch, what was returned and what was expected.
    """
    place = f"model {packed.contract['model']}, features.py, build_features on batch {batch}"
    try:
        features = packed.features.build_features(rows.copy(), history.copy())
    except Exception as error:
        raise FeaturesInvalid(f"{place}: raised {type(error).__name__}: {error}") from error
    if not isinstance(features, pd.DataFrame):
        raise FeaturesInvalid(f"{place}: returned {type(features).__name__}; expected a DataFrame")
    if len(features) != len(rows) or not features.index.equals(rows.index):
        raise FeaturesInvalid(
            f"{place}: returned {len(features)} rows for {len(rows)}, or another index; "
            "expected one row of features for each row of the batch, in its order"
        )
    expected = packed.contract.get("features")
    if expected is not None and list(features.columns) != expected:
        raise FeaturesInvalid(f"{place}: returned columns {list(features.columns)}; it was trained on {expected}")
    return features


def call_predict(packed: PackedModel, features: pd.DataFrame, batch: str) -> np.ndarray:
    """Call a model's estimator, and check what it returns.

    :returns: (rows,) finite predictions.
    :raises FeaturesInvalid: if the estimator raises on these features, or predicts what is not a number.
    """
    place = f"model {packed.contract['model']}, its estimator on batch {batch}"
    try:
        predictions = np.asarray(packed.predict_features(features), dtype=float)
    except Exception as error:
        raise FeaturesInvalid(f"{place}: raised {type(error).__name__}: {error}") from error
    lost = int((~np.isfinite(predictions)).sum())
    if lost:
        raise FeaturesInvalid(
            f"{place}: {lost} of {len(predictions)} predictions are not numbers; expected finite ones"
        )
    return predictions


def read_rows(config: ModelConfig, stores: Stores, partitions: list[Partition]) -> pd.DataFrame:
    """Clean rows with the batch in which they arrived, by batch and key, under a 0..n-1 index."""
    frames = [
        to_frame(stores.lake.read(partition, config.rows.key)).assign(batch=partition.batch)
        for partition in partitions
        if partition.table == "clean"
    ]
    if not frames:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in (*config.rows.columns, "batch")})
    return pd.concat(frames, ignore_index=True)


def read_labels(config: ModelConfig, stores: Stores, partitions: list[Partition]) -> pd.DataFrame:
    """Labels with the batch in which they became known (``known``): key, target, known."""
    assert config.labels != "none"
    names = [*config.rows.key, config.labels.column]
    labels = [partition for partition in partitions if partition.table == "labels"]
    if not labels:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in (*names, "known")})
    return _read_columns(config, stores, labels, names, "known")


def read_keys(config: ModelConfig, stores: Stores, partitions: list[Partition]) -> pd.DataFrame:
    """Keys of clean rows with the batch in which they arrived: key, batch. At least one partition is there."""
    return _read_columns(config, stores, partitions, list(config.rows.key), "batch")


def _read_columns(
    config: ModelConfig, stores: Stores, partitions: list[Partition], names: list[str], place: str
) -> pd.DataFrame:
    """A few columns of many partitions: joined before pandas sees them, whose cost is by frame rather than by row."""
    tables = [stores.lake.read(partition, config.rows.key).select(names) for partition in partitions]
    batches = np.repeat([partition.batch for partition in partitions], [table.num_rows for table in tables])
    return to_frame(pa.concat_tables(tables)).assign(**{place: batches.astype(object)})


def _read_history(config: ModelConfig, stores: Stores, data: DataRecord, batch: str) -> pd.DataFrame:
    """Rows of the lookback with the newest label known for each; NaN where none is known."""
    past = read_rows(config, stores, [p for p in data.partitions if p.batch != batch])
    if config.labels == "none":
        return past
    labels = read_labels(config, stores, list(data.partitions))
    key = list(config.rows.key)
    newest = labels.drop(columns="known").drop_duplicates(key, keep="last")
    if past.empty:
        return past.assign(**{config.labels.column: np.array([], dtype=float)})
    return past.merge(newest, on=key, how="left")
