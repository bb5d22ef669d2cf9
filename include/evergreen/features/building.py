"""History and its cut: what may be read for a batch, and the features that come of it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from evergreen.config.data_schema import DataSchema
from evergreen.config.model_spec import ModelSpec
from evergreen.errors import FeaturesInvalid
from evergreen.features.reading import Columns, is_readable, published, read_keys, read_labels, read_rows
from evergreen.features.views import join_views
from evergreen.records import ClaimRecord, DataRecord, Partition
from evergreen.storage.cache import ByteCache
from evergreen.storage.limit_own_code import own_code
from evergreen.storage.packed_model import PackedModel
from evergreen.storage.revisions import record_of
from evergreen.storage.stores import Stores


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


_BUILT: ByteCache[BatchFeatures] = ByteCache(256 * 1024 * 1024, lambda built: built.nbytes)


def list_readable_data(schema: DataSchema, stores: Stores, batch: str, lookback: int) -> tuple[DataRecord, str | None]:
    """What may be read to score a batch, as known at it: its rows, and the lookback with labels known before it.

    :param lookback: batches.
    :returns: the data version, and the last batch whose labels are read (None if none are).
    """
    calendar = schema.calendar
    first = max(0, calendar.index(batch) - lookback)
    past = [calendar.name(i) for i in range(first, calendar.index(batch))]
    partitions = published(stores, "rows", [*past, batch], batch)
    labels = published(stores, "labels", past, past[-1]) if past and schema.labels is not None else []
    data = DataRecord.listing(partitions + labels)
    return data, (past[-1] if labels else None)


def build_features(
    today: DataSchema, stores: Stores, packed: PackedModel, claim: ClaimRecord, revised: Partition | None = None
) -> BatchFeatures:
    """The features of a batch, from what its claim lists, under the names that the model was made with.

    Of the history it gets what its own lookback reaches: another model may look further back.

    :param today: the schema of config.yaml, under whose names rows are sealed and keys are told.
    :param revised: the batch's rows, where a later revision is to be read with the history that the claim lists.
    :raises FeaturesInvalid: if the model's code raises, or returns other rows than it was given.
    :raises ModelIncompatible: if the rows lack a column that the model reads.
    """
    mine, data = packed.spec.data_schema(today), claimed_data(stores, claim)
    listed = [revised] if revised else [p for p in data.partitions if p.table == "clean" and p.batch == claim.as_of]
    # Of one claim, the same code gives the same features; a training meets most batches again.
    table, code, spec = stores.lake.table_uri("clean"), packed.features.__name__, packed.spec
    beyond = (spec.lookback, *sorted(spec.views.items()))
    cache_key = (table, code, mine.fingerprint, today.key, claim.as_of, claim.data, beyond, *listed)
    kept = _BUILT.get(cache_key)
    if kept is not None:
        return kept
    rows, history = read_inputs(mine, stores, claim, spec, listed)
    built = BatchFeatures(
        read_keys(today, stores, listed).drop(columns="batch"),
        call_features(packed, rows, history, claim.as_of),
    )
    _BUILT.put(cache_key, built)
    return built


def read_inputs(
    mine: DataSchema, stores: Stores, claim: ClaimRecord, spec: ModelSpec, listed: list[Partition]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What ``build_features`` is given for a batch: its rows with the values of views, and the history before it.

    :param mine: the schema of the model, under whose names they are read.
    :param spec: how far it looks back, and which views it reads.
    :param listed: the partitions of the rows.
    """
    first = mine.calendar.shift(claim.as_of, -spec.lookback)
    listing = claimed_data(stores, claim).partitions
    within = DataRecord.listing([partition for partition in listing if partition.batch >= first])
    rows = join_views(read_rows(mine, stores, listed)[list(mine.columns)], mine, stores, spec.views, claim.as_of)
    return rows, read_history(mine, stores, within, claim.as_of)


def claimed_data(stores: Stores, claim: ClaimRecord) -> DataRecord:
    """The data version that a claim lists.

    :raises RecordUnreadable: if it is not in the ledger.
    """
    return stores.ledger.require(DataRecord, claim.data)


def call_features(
    packed: PackedModel, rows: pd.DataFrame, history: pd.DataFrame, batch: str, given_away: bool = False
) -> pd.DataFrame:
    """Call a model's own ``build_features`` on copies, and check what it returns.

    :param given_away: whether the rows are given away, and need not be copied.
    :raises FeaturesInvalid: naming the model, the batch, what was returned and what was expected.
    """
    where = f"model {packed.spec.model}, features.py, build_features on batch {batch}"
    with own_code(where, packed.spec.time_limit):
        features = packed.features.build_features(rows if given_away else rows.copy(), history.copy())
    if not isinstance(features, pd.DataFrame):
        raise FeaturesInvalid(f"{where}: returned {type(features).__name__}; expected a DataFrame")
    if len(features) != len(rows) or not features.index.equals(rows.index):
        raise FeaturesInvalid(
            f"{where}: returned {len(features)} rows for {len(rows)}, or another index; "
            "expected one row of features for each row of the batch, in its order"
        )
    names = list(features.columns)
    if len(set(names)) < len(names):
        raise FeaturesInvalid(f"{where}: returned columns {names}; expected each name once")
    trained = packed.spec.features
    if trained is not None and tuple(names) != trained:
        raise FeaturesInvalid(f"{where}: returned columns {names}; it was trained on {list(trained)}")
    return features


def call_predict(
    packed: PackedModel, features: pd.DataFrame | np.ndarray, batch: str, given_away: bool = False
) -> np.ndarray:
    """Call a model's estimator on a copy, and check what it returns.

    :param given_away: whether the features are given away, and need not be copied.
    :returns: (rows,) finite predictions.
    :raises FeaturesInvalid: if the estimator raises on these features, or predicts what is not a number.
    """
    where = f"model {packed.spec.model}, its estimator on batch {batch}"
    with own_code(where, packed.spec.time_limit):
        predictions = np.asarray(packed.predict_features(features if given_away else features.copy()), dtype=float)
    if predictions.shape != (len(features),):
        found = " x ".join(str(length) for length in predictions.shape) or "one"
        raise FeaturesInvalid(f"{where}: predicted {found} numbers; expected {len(features)}, one for each row")
    lost = int((~np.isfinite(predictions)).sum())
    if lost:
        raise FeaturesInvalid(
            f"{where}: {lost} of {len(predictions)} predictions are not numbers; expected finite ones"
        )
    return predictions


def read_history(schema: DataSchema, stores: Stores, data: DataRecord, batch: str) -> pd.DataFrame:
    """Rows of the lookback, none for a rowwise model, with the newest label known for each; NaN where none is known.

    What was sealed without a column that the schema declares is left out.
    """

    def listed(columns: Columns) -> list[Partition]:
        return [p for p in data.partitions if p.batch != batch and is_readable(record_of(stores.ledger, p), columns)]

    past = read_rows(schema, stores, listed(schema.columns))
    if schema.labels is None:
        return past
    labels = read_labels(schema, stores, listed(schema.label_columns))
    key = list(schema.key)
    newest = labels.drop(columns="known").drop_duplicates(key, keep="last")
    if past.empty:
        return past.assign(**{schema.labels.column: np.array([], dtype=float)})
    return past.merge(newest, on=key, how="left")
