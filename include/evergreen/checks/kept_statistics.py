"""Statistics of partitions: kept beside large ones when they are written, of all others made of the rows."""

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import pyarrow as pa

from evergreen.config.data_schema import DataSchema
from evergreen.features.batch_statistics import PREDICTED, Statistics
from evergreen.features.reading import Columns, is_large, read_pieces
from evergreen.features.scoring_on_spark import SparkScoring
from evergreen.judging.champion import predictions_in_pieces
from evergreen.records import ClaimRecord, Partition
from evergreen.storage.cache import ByteCache
from evergreen.storage.lake import MakePieces
from evergreen.storage.pieces import ROWS
from evergreen.storage.revisions import record_of, scored_partition, sealed_batch
from evergreen.storage.stores import Stores

Predicted: TypeAlias = pa.Table | MakePieces | SparkScoring
# Neighbouring checks and pages meet the same large batches; of small ones the rows are kept.
_MADE: ByteCache[Statistics] = ByteCache(64, lambda _: 1)


def read_statistics(schema: DataSchema, stores: Stores, partition: Partition, columns: Columns) -> Statistics:
    """The statistics of rows or labels as declared columns.

    :raises SourceChanged: if they have to be made and the rows are not those of the record.
    """
    record = record_of(stores.ledger, partition)
    if record is None or not is_large(record, partition):
        return Statistics.of(read_pieces(schema, stores, partition, columns), columns)
    key = (stores.lake.table_uri(partition.table), partition, repr(columns))
    made = _MADE.get(key)
    if made is None:
        kept = _find(stores, partition)
        made = kept.read_as(columns, record.columns) if kept is not None else None
        made = made or Statistics.of(read_pieces(schema, stores, partition, columns), columns)
        _MADE.put(key, made)
    return made


def read_predicted(schema: DataSchema, stores: Stores, claim: ClaimRecord) -> Statistics:
    """The statistics of what was predicted for a batch.

    :raises NotReady: if the batch is claimed but not scored yet.
    """
    record = sealed_batch(stores.ledger, "rows", claim.as_of, claim.as_of)
    kept = _find(stores, scored_partition(claim)) if record is not None and record.clean > ROWS else None
    return kept or Statistics.of(predictions_in_pieces(schema, stores, claim), PREDICTED)


def keep_statistics(
    stores: Stores,
    partition: Partition,
    rows: Iterable[pa.Table],
    count: int,
    columns: Columns,
    counted: Statistics | None,
) -> None:
    """Keep the statistics of a large partition that was written; of a small one nothing is to be kept.

    :param rows: (rows, columns) what was written, in pieces.
    :param count: how many there are.
    :param counted: their statistics, where they have been made.
    """
    if count > ROWS:
        stores.lake.put_statistics(partition, (counted or Statistics.of(rows, columns)).dump())


def write_predicted(stores: Stores, claim: ClaimRecord, rows: Predicted, count: int, facts: dict[str, str]) -> None:
    """Write what was predicted for a batch, and keep the statistics of many predictions, counted as they pass.

    :param rows: key, prediction and what they come from; what begins to make pieces of them; or what lets others do so.
    :param count: how many there are.
    :param facts: of the commit.
    """
    partition = scored_partition(claim)
    if isinstance(rows, SparkScoring):
        stores.lake.put_statistics(partition, rows.write(facts).dump())
        return
    counted = Statistics(PREDICTED)

    def pass_on() -> Iterator[pa.Table]:
        nonlocal counted
        # The commit may be tried again.
        counted = Statistics(PREDICTED)
        for piece in (rows,) if isinstance(rows, pa.Table) else rows():
            counted.add(piece)
            yield piece

    stores.lake.replace("predictions", partition.batch, partition.revision, pass_on if count > ROWS else rows, facts)
    if count > ROWS:
        stores.lake.put_statistics(partition, counted.dump())


def _find(stores: Stores, partition: Partition) -> Statistics | None:
    kept = stores.lake.get_statistics(partition)
    where = f"{stores.model_id}, {partition.table} of batch {partition.batch}, revision {partition.revision}"
    return Statistics.parse(kept, where) if kept is not None else None
