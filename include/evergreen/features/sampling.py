"""A sample of the rows to learn from, drawn by their keys: a row and its labels are drawn together, or neither is.

Which keys are drawn depends on nothing but the key, the seed and the share. So a data version gives the same sample
again, and of two windows that overlap the samples do too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa

from evergreen.config.data_schema import DataSchema
from evergreen.config.model_spec import ModelSpec
from evergreen.features.key_matching import read_arrived_keys
from evergreen.records import Partition
from evergreen.storage.content import row_hashes
from evergreen.storage.revisions import record_of
from evergreen.storage.stores import Stores

_NONE = np.array([], dtype=np.int64)


@dataclass(frozen=True)
class Sample:
    """What is wanted.

    :param rows: about how many labelled rows.
    :param seed: that decides which.
    """

    rows: int
    seed: int

    @classmethod
    def of(cls, spec: ModelSpec) -> Self | None:
        """What a version is to learn from; None for all that there is."""
        return cls(spec.rows, spec.seed) if spec.rows is not None else None

    def share(self, stores: Stores, partitions: list[Partition]) -> float:
        """How much of the rows of partitions it is; told by their records, for nothing is read yet."""
        records = [record_of(stores.ledger, one) for one in partitions]
        counted = sum(one.clean for one in records if one is not None)
        return min(1.0, self.rows / counted) if counted else 1.0

    def draw(self, keys: pa.Table, share: float) -> np.ndarray:
        """Which rows of (rows, key columns) are drawn: their positions, ascending.

        :param share: below 1.
        """
        # Under numbers for names: a key that is renamed draws the same rows.
        named = keys.rename_columns([str(n) for n in range(keys.num_columns)])
        return np.flatnonzero(row_hashes(named, f"sample {self.seed}") < np.uint64(int(share * 2.0**64)))


@dataclass(frozen=True)
class Arrivals:
    """Keys that were read, and in which batches they arrived.

    :param keys: (n, key columns).
    :param batches: (n,) indices of their batches.
    :param counts: of each partition its rows, drawn or not.
    :param positions: (n,) of those that were drawn, among all rows; None where all were.
    """

    keys: pa.Table
    batches: np.ndarray
    counts: tuple[int, ...]
    positions: np.ndarray | None = None

    def among_all(self, positions: np.ndarray) -> np.ndarray:
        """What positions among these keys are among all rows."""
        return positions if self.positions is None else self.positions[positions]


def read_arrivals(
    schema: DataSchema,
    stores: Stores,
    partitions: Sequence[list[Partition]],
    sample: Sample | None,
    counted: list[Partition],
) -> list[Arrivals]:
    """The keys of each list of partitions; of a sample those that are drawn, in a memory that grows with them alone.

    :param counted: whose rows are those of which a sample is wanted.
    """
    share = sample.share(stores, counted) if sample is not None else 1.0
    if sample is None or share >= 1:
        every = [read_arrived_keys(schema, stores, one) for one in partitions]
        return [Arrivals(one.keys, one.batches, one.counts) for one in every]
    return [_read_drawn(schema, stores, one, sample, share) for one in partitions]


def _read_drawn(
    schema: DataSchema, stores: Stores, partitions: list[Partition], sample: Sample, share: float
) -> Arrivals:
    none = read_arrived_keys(schema, stores, [])
    keys, batches, positions, counts = [none.keys], [none.batches], [_NONE], list[int]()
    for partition in partitions:
        arrived = read_arrived_keys(schema, stores, [partition])
        drawn = sample.draw(arrived.keys, share)
        keys.append(arrived.keys.take(drawn))
        batches.append(arrived.batches[drawn])
        positions.append(sum(counts) + drawn)
        counts.append(len(arrived.keys))
    return Arrivals(pa.concat_tables(keys), np.concatenate(batches), tuple(counts), np.concatenate(positions))
