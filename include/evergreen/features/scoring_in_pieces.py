"""Models that read nothing but the row: a batch that is large is scored shard by shard, each piece by piece."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from evergreen.config.data_schema import DataSchema
from evergreen.errors import CodeUnsafe, FeaturesInvalid
from evergreen.features.building import call_features, call_predict, claimed_data, read_history
from evergreen.records import ClaimRecord, Partition
from evergreen.storage.content import ContentHash, in_any_order
from evergreen.storage.frames import naive, piece_to_frame
from evergreen.storage.packed_model import PackedModel
from evergreen.storage.pieces import ROWS, PartitionPieces, Shard, StoredRows
from evergreen.storage.revisions import record_of
from evergreen.storage.stores import Stores


@dataclass(frozen=True, eq=False)
class ScoredShards:
    """What scoring any shard of a claimed batch needs to know beside the model; it can go to another machine.

    :param stored: the batch's clean rows.
    :param key: the columns by which predictions are told.
    :param history: (0, columns) what a rowwise model is given as the past.
    :param claim: who scores it, from which data.
    """

    stored: StoredRows
    key: tuple[str, ...]
    history: pd.DataFrame
    claim: ClaimRecord

    @property
    def schema(self) -> pa.Schema:
        """Of what is predicted: key, prediction, model_version, data_version."""
        keys = naive(self.stored.schema.empty_table().select(list(self.key))).schema
        beside = {"prediction": pa.float64(), "model_version": pa.int64(), "data_version": pa.string()}
        return pa.schema([*keys, *beside.items()])

    def predict(self, packed: PackedModel, shard: Shard, content: ContentHash | None) -> Iterator[pa.Table]:
        """What a version predicts for a shard, piece by piece.

        :param content: takes in the rows that pass.
        :raises FeaturesInvalid: as scoring the batch whole would, naming the row at fault.
        """
        first = shard.first - min(one.first for one in self.stored.shards if one.path == shard.path)
        for piece in self.stored.read(shard, content):
            try:
                yield self._predict(packed, piece)
            except CodeUnsafe:
                # It has taken too long as it is.
                raise
            except FeaturesInvalid as error:
                raise FeaturesInvalid(f"{error} ({self._find_fault(packed, piece, first)} of {shard.path})") from error
            first += piece.num_rows

    def _predict(self, packed: PackedModel, piece: pa.Table) -> pa.Table:
        batch = self.claim.as_of
        rows = piece_to_frame(piece.select(list(packed.spec.columns)), self.stored.nullable)
        features = call_features(packed, rows, self.history, batch, given_away=True)
        beside = [
            pa.array(call_predict(packed, features, batch, given_away=True)),
            pa.repeat(pa.scalar(self.claim.version, pa.int64()), len(rows)),
            pa.repeat(self.claim.data, len(rows)),
        ]
        return pa.table([*naive(piece.select(list(self.key))).columns, *beside], schema=self.schema)

    def _find_fault(self, packed: PackedModel, piece: pa.Table, first: int) -> str:
        """The place of the first row on which the model fails by itself; of several rows where none does.

        Its key would stand in the ledger, from which nobody is forgotten.

        :param first: rows of the file before the piece.
        """
        while piece.num_rows > 1:
            half = -(-piece.num_rows // 2)
            if self._fails(packed, piece.slice(0, half)):
                piece = piece.slice(0, half)
            elif self._fails(packed, piece.slice(half)):
                piece, first = piece.slice(half), first + half
            else:
                return f"rows {first + 1} to {first + piece.num_rows} together"
        return f"row {first + 1}"

    def _fails(self, packed: PackedModel, piece: pa.Table) -> bool:
        try:
            self._predict(packed, piece)
        except FeaturesInvalid:
            return True
        return False


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


def find_shards(
    today: DataSchema, stores: Stores, packed: PackedModel, claim: ClaimRecord, partition: Partition
) -> tuple[PartitionPieces, ScoredShards]:
    """The rows of a claimed batch as shards, and what scoring one of them needs to know."""
    history = read_history(packed.spec.data_schema(today), stores, claimed_data(stores, claim), claim.as_of)
    pieces = stores.lake.stream(partition)
    return pieces, ScoredShards(pieces.stored, today.key, history, claim)


def predict_pieces(
    today: DataSchema, stores: Stores, packed: PackedModel, claim: ClaimRecord, partition: Partition
) -> Iterator[pa.Table]:
    """What a version predicts for a partition, piece by piece: key, prediction, model_version, data_version.

    :raises FeaturesInvalid: as scoring the batch whole would, naming the row at fault.
    :raises SourceChanged: after the last piece, if the rows were not those of the record.
    """
    pieces, scored = find_shards(today, stores, packed, claim, partition)
    return pieces.map(lambda shard, content: scored.predict(packed, shard, content))
