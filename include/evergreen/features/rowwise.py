"""Models that read nothing but the row: a batch that is large is scored piece by piece."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from evergreen.config.data_schema import DataSchema
from evergreen.features.building import call_features, call_predict, claimed_data, read_history
from evergreen.records import ClaimRecord, Partition
from evergreen.storage.content import in_any_order
from evergreen.storage.frames import naive, piece_to_frame
from evergreen.storage.packed_model import PackedModel
from evergreen.storage.pieces import ROWS
from evergreen.storage.revisions import record_of
from evergreen.storage.stores import Stores


@dataclass(frozen=True)
class Streamable:
    """A claimed batch that can be scored piece by piece.

    :param partition: its clean rows.
    :param rows: how many there are.
    """

    partition: Partition
    rows: int


def find_streamable(today: DataSchema, stores: Stores, packed: PackedModel, claim: ClaimRecord) -> Streamable | None:
    """A claimed batch as what can be streamed; None if its model looks beyond the row, or if it is one piece anyway.

    One piece is read whole, so that the check that follows finds its rows and its features in memory. So is a batch
    that version 0.2.0 has sealed, whose hash rests on the order of its rows.
    """
    partitions = claimed_data(stores, claim).partitions
    if len(partitions) != 1 or not packed.spec.rowwise or not in_any_order(partitions[0].content):
        return None
    record = record_of(stores.ledger, partitions[0])
    if record is None:
        return None
    # Rows that the version has to read under other names are soon past: they are read whole.
    if record.columns and not {*packed.spec.columns, *today.key} <= set(record.columns):
        return None
    return Streamable(partitions[0], record.clean) if record.clean > ROWS else None


def predict_pieces(
    today: DataSchema, stores: Stores, packed: PackedModel, claim: ClaimRecord, partition: Partition
) -> Iterator[pa.Table]:
    """What a version predicts for a partition, piece by piece: key, prediction, model_version, data_version.

    :raises FeaturesInvalid: as scoring the batch whole would.
    :raises SourceChanged: after the last piece, if the rows were not those of the record.
    """
    key, batch = list(today.key), claim.as_of
    history = read_history(packed.spec.data_schema(today), stores, claimed_data(stores, claim), batch)
    pieces = stores.lake.stream(partition)

    def predict(piece: pa.Table) -> pa.Table:
        rows = piece_to_frame(piece.select(list(packed.spec.columns)), pieces.nullable)
        predictions = call_predict(
            packed, call_features(packed, rows, history, batch, given_away=True), batch, given_away=True
        )
        columns = {
            "prediction": pa.array(predictions),
            "model_version": pa.repeat(pa.scalar(claim.version, pa.int64()), len(rows)),
            "data_version": pa.repeat(claim.data, len(rows)),
        }
        keys = naive(piece.select(key))
        return pa.table({**{name: keys.column(name) for name in key}, **columns})

    return map(predict, pieces)
