"""History and its cut: what may be read for a batch, and the features that come of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from include.config.contract import ModelConfig
from include.config.fields import ColumnType
from include.errors import FeaturesInvalid, ModelIncompatible
from include.features.generations import contract_of
from include.records import BatchRecord, ClaimRecord, DataRecord, Feed, Partition
from include.storage.cache import ByteCache
from include.storage.columns import lacking, read_as
from include.storage.lake import to_frame
from include.storage.packed_model import PackedModel
from include.storage.revisions import known_revisions, record_of, sealed_batches
from include.storage.stores import Stores

Columns = Mapping[str, ColumnType]
_TABLE: dict[Feed, Literal["clean", "labels"]] = {"rows": "clean", "labels": "labels"}


@dataclass(frozen=True)
class BatchFeatures:
    """A batch with its features, row by row.

    :param keys: (rows, key) which rows, sorted by key.
    :param features: (rows, features) in the same order.
    """

    keys: pd.DataFrame
    features: pd.DataFrame

    @property
    def nbytes(self) -> int:
        """Memory that the frames take."""
        return int(self.keys.memory_usage(deep=True).sum() + self.features.memory_usage(deep=True).sum())


# A text of a key takes some eighty bytes beside its place.
_KEYS: ByteCache[np.ndarray] = ByteCache(128 * 1024 * 1024, lambda keys: 100 * len(keys))
_BUILT: ByteCache[BatchFeatures] = ByteCache(256 * 1024 * 1024, lambda built: built.nbytes)


def published(
    stores: Stores, feed: Feed, batches: list[str], as_of: str | None = None, columns: Columns | None = None
) -> list[Partition]:
    """The partitions of those of the batches that are published and hold rows.

    :param as_of: each in the revision that was known at this batch; by default the newest.
    :param columns: leave out what cannot be read as these; by default nothing.
    """
    return [
        partition_of(record)
        for record in sealed_batches(stores.ledger, feed, batches, as_of)
        if record.has_rows and (columns is None or is_readable(record, columns))
    ]


def superseded(stores: Stores, feed: Feed, batches: list[str], as_of: str, columns: Columns) -> list[Partition]:
    """Earlier revisions of those of the batches that are read in a later one."""
    wanted, revisions = set(batches), known_revisions(stores.ledger, feed, as_of)
    records = [
        stores.ledger.get(BatchRecord, f"{feed}.{batch}", n)
        for batch, revision in revisions.items()
        if batch in wanted
        for n in range(revision)
    ]
    return [partition_of(one) for one in records if one is not None and one.has_rows and is_readable(one, columns)]


def is_readable(record: BatchRecord | None, columns: Columns) -> bool:
    """Whether rows can be read as declared columns; of a record that does not tell its own, they are taken to be."""
    return record is None or not record.columns or not lacking(columns, record.columns)


def partition_of(record: BatchRecord) -> Partition:
    """The partition that a published record stands for."""
    table = _TABLE[record.feed]
    return Partition(table=table, batch=record.batch, revision=record.revision, content=record.content)


def readable(config: ModelConfig, stores: Stores, batch: str) -> tuple[DataRecord, str | None]:
    """What may be read to score a batch, as known at it: its rows, and the lookback with labels known before it.

    :returns: the data version, and the last batch whose labels are read (None if none are).
    """
    calendar, lookback = config.calendar, config.features.lookback
    first = max(0, calendar.index(batch) - lookback)
    past = [calendar.name(i) for i in range(first, calendar.index(batch))]
    partitions = published(stores, "rows", [*past, batch], batch)
    labels = published(stores, "labels", past, past[-1]) if past and config.labels != "none" else []
    data = DataRecord.listing(partitions + labels)
    return data, (past[-1] if labels else None)


def build_features(
    config: ModelConfig, stores: Stores, packed: PackedModel, claim: ClaimRecord, own: Partition | None = None
) -> BatchFeatures:
    """The features of a batch, from exactly what its claim lists, under the names that the model was made with.

    :param own: the batch's rows, where a later revision is to be read with the history that the claim lists.
    :raises FeaturesInvalid: if the model's code raises, or returns other rows than it was given.
    :raises ModelIncompatible: if the rows lack a column that the model reads.
    """
    mine, data = contract_of(config, packed.contract), claimed_data(stores, claim)
    owned = [own] if own else [p for p in data.partitions if p.table == "clean" and p.batch == claim.as_of]
    # Of one claim, the same code gives the same features; a training meets most batches again.
    columns = mine.model_dump_json(include={"rows", "labels"})
    code = packed.features.__name__
    place = (stores.lake.table_uri("clean"), code, columns, config.rows.key, claim.as_of, claim.data, *owned)
    kept = _BUILT.get(place)
    if kept is not None:
        return kept
    rows, history = read_rows(mine, stores, owned), read_history(mine, stores, data, claim.as_of)
    built = BatchFeatures(
        read_keys(config, stores, owned).drop(columns="batch"),
        call_features(packed, rows[list(mine.rows.columns)], history, claim.as_of),
    )
    _BUILT.put(place, built)
    return built


def claimed_data(stores: Stores, claim: ClaimRecord) -> DataRecord:
    """The data version that a claim lists.

    :raises FeaturesInvalid: if it is not in the ledger.
    """
    data = stores.ledger.get(DataRecord, claim.data)
    if data is None:
        raise FeaturesInvalid(f"data version {claim.data} of batch {claim.as_of} is not in the ledger; restore it")
    return data


def call_features(
    packed: PackedModel, rows: pd.DataFrame, history: pd.DataFrame, batch: str, own: bool = False
) -> pd.DataFrame:
    """Call a model's own ``build_features`` on copies, and check what it returns.

    :param own: whether the rows are given away, and need not be copied.
    :raises FeaturesInvalid: naming the model, the batch, what was returned and what was expected.
    """
    place = f"model {packed.contract['model']}, features.py, build_features on batch {batch}"
    try:
        features = packed.features.build_features(rows if own else rows.copy(), history.copy())
    except MemoryError:
        raise
    except (Exception, SystemExit) as error:
        raise FeaturesInvalid(f"{place}: raised {type(error).__name__}: {error}") from error
    if not isinstance(features, pd.DataFrame):
        raise FeaturesInvalid(f"{place}: returned {type(features).__name__}; expected a DataFrame")
    if len(features) != len(rows) or not features.index.equals(rows.index):
        raise FeaturesInvalid(
            f"{place}: returned {len(features)} rows for {len(rows)}, or another index; "
            "expected one row of features for each row of the batch, in its order"
        )
    names = list(features.columns)
    if len(set(names)) < len(names):
        raise FeaturesInvalid(f"{place}: returned columns {names}; expected each name once")
    expected = packed.contract.get("features")
    if expected is not None and names != expected:
        raise FeaturesInvalid(f"{place}: returned columns {names}; it was trained on {expected}")
    return features


def call_predict(packed: PackedModel, features: pd.DataFrame, batch: str, own: bool = False) -> np.ndarray:
    """Call a model's estimator on a copy, and check what it returns.

    :param own: whether the features are given away, and need not be copied.
    :returns: (rows,) finite predictions.
    :raises FeaturesInvalid: if the estimator raises on these features, or predicts what is not a number.
    """
    place = f"model {packed.contract['model']}, its estimator on batch {batch}"
    try:
        predictions = np.asarray(packed.predict_features(features if own else features.copy()), dtype=float)
    except MemoryError:
        # A fault of the machine, not of the code: it is tried again.
        raise
    except (Exception, SystemExit) as error:
        raise FeaturesInvalid(f"{place}: raised {type(error).__name__}: {error}") from error
    if predictions.shape != (len(features),):
        found = " x ".join(str(length) for length in predictions.shape) or "one"
        raise FeaturesInvalid(f"{place}: predicted {found} numbers; expected {len(features)}, one for each row")
    lost = int((~np.isfinite(predictions)).sum())
    if lost:
        raise FeaturesInvalid(
            f"{place}: {lost} of {len(predictions)} predictions are not numbers; expected finite ones"
        )
    return predictions


def read_rows(config: ModelConfig, stores: Stores, partitions: list[Partition]) -> pd.DataFrame:
    """Clean rows with the batch in which they arrived, by batch and key, under a 0..n-1 index.

    :raises ModelIncompatible: if rows were sealed without a column that the config declares.
    """
    return _read(config, stores, partitions, config.rows.columns, "clean", "batch")


def read_keys(
    config: ModelConfig, stores: Stores, partitions: list[Partition], positions: np.ndarray | None = None
) -> pd.DataFrame:
    """Of clean rows the key, and the batch in which they arrived.

    :param positions: only these of the rows; by default all.
    """
    columns = {name: config.rows.columns[name] for name in config.rows.key}
    return _read(config, stores, partitions, columns, "clean", "batch", positions)


def read_labels(
    config: ModelConfig, stores: Stores, partitions: list[Partition], positions: np.ndarray | None = None
) -> pd.DataFrame:
    """Labels with the batch in which they became known (``known``): key, target, known.

    :param positions: only these of the labels; by default all.
    """
    return _read(config, stores, partitions, config.label_columns, "labels", "known", positions)


def read_key_objects(config: ModelConfig, stores: Stores, partitions: list[Partition]) -> tuple[np.ndarray, np.ndarray]:
    """The keys of rows or labels, each as one object, and the batches in which they arrived.

    Kept by partition: where labels come late, each check meets the same partitions again.

    :returns: (n,) keys and (n,) indices of batches, in the partitions' order.
    """
    columns = {name: config.rows.columns[name] for name in config.rows.key}
    spec = repr(columns)
    keys, batches = [np.array([], dtype=object)], [np.array([], dtype=np.int64)]
    for partition in partitions:
        place = (stores.lake.table_uri(partition.table), partition, spec)
        own = _KEYS.get(place)
        if own is None:
            frame = _read(config, stores, [partition], columns, partition.table, "batch").drop(columns="batch")
            own = key_objects(frame, list(columns))
            _KEYS.put(place, own)
        keys.append(own)
        batches.append(np.full(len(own), config.calendar.index(partition.batch)))
    return np.concatenate(keys), np.concatenate(batches)


def key_objects(rows: pd.DataFrame, key: list[str]) -> np.ndarray:
    """The key of each row as one object: its value, or the tuple of its values."""
    keys = np.empty(len(rows), dtype=object)
    keys[:] = rows[key[0]] if len(key) == 1 else list(rows[key].itertuples(index=False, name=None))
    return keys


def sort_order(config: ModelConfig) -> list[str]:
    """By what stored rows are sorted: the key, under each name that it had; a partition holds one of them."""
    columns = config.rows.columns
    return [one for name in config.rows.key for one in (name, *columns[name].renamed_from)]


def _read(
    config: ModelConfig,
    stores: Stores,
    partitions: list[Partition],
    columns: Columns,
    table: str,
    arrival: str,
    positions: np.ndarray | None = None,
) -> pd.DataFrame:
    """Partitions of one table as declared columns, and their batch under a name of its own.

    Joined before pandas sees them, whose cost is by frame rather than by row.
    """
    tables, arrivals = [], list[np.ndarray]()
    for partition in partitions:
        if partition.table != table:
            continue
        record = record_of(stores.ledger, partition)
        if not is_readable(record, columns):
            assert record is not None
            raise ModelIncompatible(
                f"{record.feed} of batch {partition.batch}, revision {partition.revision}, were sealed without "
                f"{', '.join(lacking(columns, record.columns))}; they have {', '.join(record.columns)}. Rows from "
                "before a column are read where it has renamed_from or a default in config.yaml"
            )
        rows = stores.lake.read(partition, sort_order(config))
        tables.append(read_as(rows, columns, record.columns if record else {}))
        arrivals.append(np.full(rows.num_rows, partition.batch, dtype=object))
    if not tables:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in (*columns, arrival)})
    whole, batches = pa.concat_tables(tables), np.concatenate(arrivals)
    if positions is not None:
        whole, batches = whole.take(positions), batches[positions]
    return to_frame(whole).assign(**{arrival: pd.Series(batches, dtype=object)})


def read_history(config: ModelConfig, stores: Stores, data: DataRecord, batch: str) -> pd.DataFrame:
    """Rows of the lookback, none for a rowwise model, with the newest label known for each; NaN where none is known.

    What was sealed without a column that the config declares is left out.
    """

    def listed(columns: Columns) -> list[Partition]:
        return [p for p in data.partitions if p.batch != batch and is_readable(record_of(stores.ledger, p), columns)]

    past = read_rows(config, stores, listed(config.rows.columns))
    if config.labels == "none":
        return past
    labels = read_labels(config, stores, listed(config.label_columns))
    key = list(config.rows.key)
    newest = labels.drop(columns="known").drop_duplicates(key, keep="last")
    if past.empty:
        return past.assign(**{config.labels.column: np.array([], dtype=float)})
    return past.merge(newest, on=key, how="left")
