"""What the champion of a batch predicts for labelled rows, and what that costs."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from evergreen.config.data_schema import DataSchema
from evergreen.errors import FeaturesInvalid, ModelIncompatible, NotReady
from evergreen.features.building import build_features, call_predict
from evergreen.features.generations import unpredicted
from evergreen.features.label_batches import last_label_batches
from evergreen.features.labelled import LabelledRows, match_labels, standing_claim
from evergreen.features.reading import key_objects, sort_order
from evergreen.losses import Metric
from evergreen.records import ClaimRecord, DataRecord, Partition, PromotionRecord
from evergreen.storage.cache import ByteCache
from evergreen.storage.columns import read_as
from evergreen.storage.frames import to_frame
from evergreen.storage.packed_model import PackedModel
from evergreen.storage.pieces import ROWS
from evergreen.storage.removals import require_kept
from evergreen.storage.revisions import scored_partition, sealed_batch
from evergreen.storage.stores import Stores


@dataclass(frozen=True)
class _Predicted:
    """What a version predicts for the rows of a batch.

    :param keys: (n,) the keys, each as one object, with a table to find them by.
    :param values: (n,) the predictions.
    """

    keys: pd.Index
    values: np.ndarray

    @classmethod
    def of(cls, rows: pd.DataFrame, key: list[str]) -> "_Predicted":
        """From a frame of key and prediction."""
        keys = pd.Index(key_objects(rows, key), tupleize_cols=False)
        return cls(keys, rows["prediction"].to_numpy(dtype=float))

    def find(self, keys: np.ndarray) -> np.ndarray:
        """The predictions for some keys, NaN where there is none."""
        return np.append(self.values, np.nan)[self.keys.get_indexer(pd.Index(keys, tupleize_cols=False))]


# Where labels come late, each check meets the same batches again. A key takes some two hundred bytes with its table.
_PREDICTED: ByteCache[_Predicted] = ByteCache(128 * 1024 * 1024, lambda predicted: 208 * len(predicted.values))


def arrived_labels(
    schema: DataSchema, stores: Stores, promotion: PromotionRecord, as_of: str, window: int
) -> LabelledRows | None:
    """Rows whose labels became known in the last batches that brought any, none of which the champion was trained on.

    :param window: how many batches, a bulk as many as it brings; those up to the promotion do not count.
    :returns: None where no labels have come since.
    """
    batches = last_label_batches(schema, stores, as_of, window, after=promotion.as_of)
    return match_labels(schema, stores, batches[0], as_of) if batches else None


def champion_losses(
    schema: DataSchema,
    metric: Metric,
    stores: Stores,
    promotion: PromotionRecord,
    labelled: LabelledRows,
    refreshes: Collection[int] = (),
) -> np.ndarray:
    """The champion's loss on each labelled row.

    :param refreshes: versions of its recipe, of which counts what they scored.
    :raises FeaturesInvalid: if it cannot score them, or if their mean loss is beyond all numbers: that is a fault.
    """
    assert schema.labels is not None
    predicted = predict_labelled(schema, stores, promotion, labelled, refreshes)
    target = labelled.rows[schema.labels.column].to_numpy(dtype=float)
    with np.errstate(over="ignore"):
        losses = metric.row_losses(target, predicted)
        is_finite = np.isfinite(losses.sum())
    if not is_finite:
        raise FeaturesInvalid(
            f"{metric.name} cannot be told: {schema.labels.column} lies between {target.min():.4g} and "
            f"{target.max():.4g}; give labels a range in expectations.yaml"
        )
    return losses


def predict_labelled(
    schema: DataSchema,
    stores: Stores,
    promotion: PromotionRecord,
    labelled: LabelledRows,
    refreshes: Collection[int] = (),
) -> np.ndarray:
    """What a promoted version predicts for labelled rows.

    Rows that it scored are read from the predictions table; rows that an earlier champion scored, or that stand in a
    later revision than was scored, are scored afresh, from the same cut.

    :param refreshes: versions of its recipe, whose predictions stand for its own where they scored the rows.
    :returns: (n,) aligned with the labelled rows.
    :raises ModelIncompatible: if the version cannot read them.
    """
    key, sources = list(schema.key), labelled.sources
    packed = stores.models.load_promoted(promotion)
    if other := unpredicted(schema, packed.spec.data_schema(schema)):
        raise ModelIncompatible(f"version {promotion.version} does not predict {', '.join(other)}, but another target")
    pieces = []
    for batch, wanted in labelled.rows.groupby("batch", sort=True):
        claim = standing_claim(stores, str(batch))
        data, partition = stores.ledger.get(DataRecord, claim.data), sources[str(batch)]
        if claim.version in (promotion.version, *refreshes) and data is not None and partition in data.partitions:
            predicted = _as_scored(schema, stores, claim)
        else:
            predicted = _afresh(schema, stores, packed, claim, partition)
        predictions = predicted.find(key_objects(wanted, key))
        if np.isnan(predictions).any():
            raise NotReady(f"batch {batch} is claimed but not scored yet; run score_batch for it")
        pieces.append(predictions)
    return np.concatenate(pieces) if pieces else np.array([], dtype=float)


def predictions_of(schema: DataSchema, stores: Stores, claim: ClaimRecord) -> pd.DataFrame:
    """What was predicted for a batch: key, prediction, model_version, data_version.

    :raises NotReady: if the batch is claimed but not scored yet.
    :raises RowsRemoved: if its predictions were all removed since.
    """
    rows = stores.lake.read(scored_partition(claim), sort_order(schema))
    if rows.num_rows == 0:
        raise _not_scored(stores, claim)
    named = read_as(rows, schema.key_columns, {})
    return to_frame(rows.select(["prediction", "model_version", "data_version"])).assign(**to_frame(named))


def predictions_in_pieces(schema: DataSchema, stores: Stores, claim: ClaimRecord) -> Iterator[pa.Table]:
    """The predictions for a batch alone; many of them piece by piece, in a memory that does not grow with them.

    :raises NotReady: if the batch is claimed but not scored yet.
    """
    record = sealed_batch(stores.ledger, "rows", claim.as_of, claim.as_of)
    if record is None or record.clean <= ROWS:
        small = stores.lake.read(scored_partition(claim), sort_order(schema))
        if not small.num_rows:
            raise _not_scored(stores, claim)
        yield small
        return
    rows = 0
    for piece in stores.lake.stream(scored_partition(claim)):
        rows += piece.num_rows
        yield piece
    if not rows:
        raise _not_scored(stores, claim)


def _not_scored(stores: Stores, claim: ClaimRecord) -> NotReady:
    """That a batch has no predictions yet; of one whose predictions were removed, that is raised."""
    require_kept(stores.ledger, [scored_partition(claim)], f"the predictions of batch {claim.as_of} are gone")
    return NotReady(f"batch {claim.as_of} is claimed but not scored yet; run score_batch for it")


def read_losses(
    schema: DataSchema, metric: Metric, stores: Stores, claims: list[ClaimRecord], labelled: pd.DataFrame
) -> pd.DataFrame:
    """Losses of the predictions that were made for batches, whichever version made them.

    :param claims: the batches' claims; each names a version.
    :param labelled: (n, key + target + batch) rows with the labels to count, of a key that arrived twice the first.
    :returns: (m, batch and loss) one row for each prediction whose label is among them.
    :raises NotReady: if a batch is claimed but not scored yet.
    """
    assert schema.labels is not None
    key, target = list(schema.key), schema.labels.column
    positions, pieces = labelled.groupby("batch").indices, []
    for claim in claims:
        wanted = labelled.iloc[positions.get(claim.as_of, [])]
        predicted = _as_scored(schema, stores, claim).find(key_objects(wanted, key))
        made = ~np.isnan(predicted)
        losses = metric.row_losses(wanted[target].to_numpy()[made], predicted[made])
        pieces.append(pd.DataFrame({"batch": claim.as_of, "loss": losses}))
    return pd.concat(pieces, ignore_index=True)


def _as_scored(schema: DataSchema, stores: Stores, claim: ClaimRecord) -> _Predicted:
    """What was predicted for a batch."""
    cache_key = (stores.lake.table_uri("predictions"), schema.key, claim.as_of, claim.revision, claim.data)
    kept = _PREDICTED.get(cache_key)
    if kept is None:
        kept = _Predicted.of(predictions_of(schema, stores, claim), list(schema.key))
        _PREDICTED.put(cache_key, kept)
    return kept


def _afresh(
    schema: DataSchema, stores: Stores, packed: PackedModel, claim: ClaimRecord, partition: Partition
) -> _Predicted:
    """What a version predicts for a whole batch that it has not scored as it stands."""
    # A version's folder is named by its MLflow model.
    table, folder = stores.lake.table_uri("predictions"), str(packed.folder)
    cache_key = (table, folder, schema.key, claim.as_of, claim.data, partition)
    kept = _PREDICTED.get(cache_key)
    if kept is None:
        built = build_features(schema, stores, packed, claim, partition)
        predicted = built.keys.assign(prediction=call_predict(packed, built.features, claim.as_of))
        kept = _Predicted.of(predicted, list(schema.key))
        _PREDICTED.put(cache_key, kept)
    return kept
