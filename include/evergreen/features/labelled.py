"""Rows with their labels, by the batch in which the label became known."""

import itertools
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from evergreen.config.data_schema import DataSchema
from evergreen.errors import FeaturesInvalid, NotReady
from evergreen.features.building import build_features
from evergreen.features.key_matching import match_keys
from evergreen.features.reading import key_objects, published, read_keys, read_labels, read_rows, superseded
from evergreen.features.sampling import Arrivals, Sample, read_arrivals
from evergreen.features.views import list_values
from evergreen.records import ClaimRecord, DataRecord, Partition
from evergreen.storage.frames import to_frame
from evergreen.storage.packed_model import PackedModel
from evergreen.storage.revisions import record_of
from evergreen.storage.stores import Stores

# Of labels, by how late they were: what came later is no rule.
_NEARLY_ALL = 0.95
# Rows that are read at once, of all columns.
_AT_ONCE = 250_000


@dataclass(frozen=True)
class LabelledRows:
    """Rows whose labels became known in a span of batches.

    :param rows: (n, key + target, batch, known) by batch and key; ``batch`` is the batch of arrival, ``known`` the
        first batch in which both the row and a label of it are known.
    :param unmatched: labels of the span that belong to no row within ``max_delay``.
    :param partitions: what was read.
    :param waiting: (m, key + batch) the rows of the same batches that have no label at the end of the span.
    """

    rows: pd.DataFrame
    unmatched: int
    partitions: tuple[Partition, ...]
    waiting: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def sources(self) -> dict[str, Partition]:
        """By batch, the partition in which its rows stand: the newest revision of those that were read."""
        clean = (p for p in self.partitions if p.table == "clean")
        return {p.batch: p for p in sorted(clean, key=lambda p: p.revision)}


def match_labels(
    schema: DataSchema,
    stores: Stores,
    first: str,
    last: str,
    data: DataRecord | None = None,
    sample: Sample | None = None,
) -> LabelledRows:
    """Match rows and labels that became known from one batch to another.

    A row counts in the batch of its first label (or in its own, if the row came later); its value is the newest one
    known at ``last``. A key that arrives twice counts as its first arrival. A later revision of a batch
    moves no row of an earlier one. Rows and labels that cannot be read under the schema are left out.

    :param first: first batch of the span.
    :param last: last batch of the span; nothing later is read.
    :param data: a recorded data version to read again; by default what is published.
    :param sample: what is wanted of them; by default all.
    """
    calendar = schema.calendar
    if schema.labels is None:
        return _unlabelled(schema, stores, calendar.between(first, last), sample)
    target, delay = schema.labels.column, schema.labels.max_delay
    # Twice the delay: a key whose row or first label lies before the span counts there, not here.
    oldest = calendar.name(max(0, calendar.index(first) - 2 * delay))
    partitions = list_partitions(schema, stores, calendar.between(oldest, last), last, data)
    labels = partitions[2]
    arrivals = read_arrivals(schema, stores, partitions, sample, [one for one in labels if one.batch >= first])
    matches = match_keys([(one.keys, one.batches) for one in arrivals])
    begin, end = calendar.index(first), calendar.index(last)
    # A row whose label came later than that is a new one under an old key.
    matched = matches.is_matched & (matches.batch >= matches.label - delay)
    unmatched = int(np.sum((begin <= matches.label) & (matches.label <= end) & ~matched))
    known_at = np.maximum(matches.label, matches.arrived)
    # In the order in which rows are stored: by batch and key.
    chosen = np.flatnonzero(matched & (begin <= known_at) & (known_at <= end))
    chosen = chosen[np.argsort(matches.row[chosen])]
    unlabelled = (matches.row >= 0) & (matches.value < 0) & np.isin(matches.batch, matches.batch[chosen])
    keys = _name_rows(schema, arrivals[0], np.append(matches.row[chosen], np.sort(matches.row[unlabelled])))
    rows, waiting = keys.iloc[: len(chosen)], keys.iloc[len(chosen) :].reset_index(drop=True)
    wanted = arrivals[2].among_all(matches.value[chosen])
    values = read_labels(schema, stores, labels, wanted, arrivals[2].counts)[target]
    rows = rows.assign(known=_names(schema, known_at[chosen]), **{target: values})
    return LabelledRows(rows, unmatched, tuple(itertools.chain(*partitions)), waiting)


def _name_rows(schema: DataSchema, arrivals: Arrivals, positions: np.ndarray) -> pd.DataFrame:
    """(positions, key columns and batch) some of the rows that arrived."""
    named = to_frame(arrivals.keys.take(positions))
    return named.assign(batch=_names(schema, arrivals.batches[positions]))


def _names(schema: DataSchema, indices: np.ndarray) -> pd.Series:
    """The names of batches."""
    different, places = np.unique(indices, return_inverse=True)
    names = np.array([schema.calendar.name(n) for n in different.tolist()], dtype=object)
    return pd.Series(names[places], dtype=object)


def list_partitions(
    schema: DataSchema, stores: Stores, span: list[str], last: str, data: DataRecord | None = None
) -> tuple[list[Partition], list[Partition], list[Partition], list[Partition]]:
    """Rows, superseded rows, labels and superseded labels of a span, as known at its last batch."""
    row_columns, label_columns = schema.columns, schema.label_columns
    clean = published(stores, "rows", span, last, row_columns)
    labels = published(stores, "labels", span, last, label_columns)
    if data is not None:
        listed = set(data.partitions)
        clean, labels = [p for p in clean if p in listed], [p for p in labels if p in listed]
    earlier_rows = superseded(stores, "rows", span, last, row_columns)
    return clean, earlier_rows, labels, superseded(stores, "labels", span, last, label_columns)


def _unlabelled(schema: DataSchema, stores: Stores, span: list[str], sample: Sample | None) -> LabelledRows:
    """Where there are no labels, rows count in their own batch."""
    clean = published(stores, "rows", span, span[-1], schema.columns)
    drawn = read_arrivals(schema, stores, [clean], sample, clean)[0].positions if sample is not None else None
    rows = read_keys(schema, stores, clean, drawn)
    return LabelledRows(rows.assign(known=rows["batch"]), 0, tuple(clean), rows.iloc[:0])


def blocks_of(labelled: LabelledRows) -> np.ndarray:
    """What rows go together in: the batch in which their label became known; where that is one, their own (n,)."""
    single = labelled.rows["known"].nunique() == 1
    return labelled.rows["batch" if single else "known"].to_numpy(dtype=str)


def label_delay(schema: DataSchema, labelled: LabelledRows, share: float) -> int:
    """After how many batches such a share of the rows had their label; 0 where there are none."""
    index = {one: schema.calendar.index(one) for one in {*labelled.rows["batch"], *labelled.rows["known"]}}
    delays = labelled.rows["known"].map(index) - labelled.rows["batch"].map(index)
    return int(delays.quantile(share)) if len(delays) else 0


def count_expected(schema: DataSchema, labelled: LabelledRows, last: str, cautious: bool = False) -> int:
    """How many of the rows that wait may still get a label: those younger than nearly all labels were late so far.

    :param last: last batch of the span.
    :param cautious: counts rows up to twice as old, and those of the last batch in any case: while a stream is young
        only its quick labels have been seen.
    """
    if labelled.rows.empty or labelled.waiting.empty:
        return 0
    late = label_delay(schema, labelled, _NEARLY_ALL)
    oldest = schema.calendar.shift(last, -2 * late if cautious else 1 - late)
    return int((labelled.waiting["batch"] >= oldest).sum())


def gather_features(
    today: DataSchema, stores: Stores, packed: PackedModel, labelled: LabelledRows
) -> tuple[pd.DataFrame, tuple[Partition, ...]]:
    """Features of labelled rows, built batch by batch with the cut that each batch's claim recorded.

    :returns: (n, features) aligned with the labelled rows, and the partitions that were read for them.
    """
    pieces: list[pd.DataFrame] = []
    read, sources = set(labelled.partitions), labelled.sources
    for batch, wanted in labelled.rows.groupby("batch", sort=True):
        claim = standing_claim(stores, str(batch))
        built = build_features(today, stores, packed, claim, sources[str(batch)])
        data = stores.ledger.get(DataRecord, claim.data)
        read.update(data.partitions if data is not None else ())
        read.update(list_values(stores, packed.spec.views, today.calendar.moment(str(batch))))
        if pieces and list(pieces[0].columns) != list(built.features.columns):
            where = f"model {packed.spec.model}, features.py, build_features on batch {batch}"
            before, now = list(pieces[0].columns), list(built.features.columns)
            raise FeaturesInvalid(
                f"{where}: returned columns {now}, and {before} for batches before; expected the same for every batch"
            )
        positions = _positions(built.keys, wanted, today.key)
        pieces.append(built.features.iloc[positions])
    return concat_features(pieces), tuple(read)


def gather_rows(schema: DataSchema, stores: Stores, labelled: LabelledRows) -> pd.DataFrame:
    """The clean rows themselves, aligned with the labelled rows: of batches that are read no more is kept."""
    wanted, sources, pieces = labelled.rows[[*schema.key, "batch"]], labelled.sources, list[pd.DataFrame]()
    for some in _together(stores, [sources[batch] for batch in sorted(set(wanted["batch"]))]) or [[]]:
        mine = wanted[wanted["batch"].isin([one.batch for one in some])]
        pieces.append(mine.merge(read_rows(schema, stores, some), on=[*schema.key, "batch"], how="left"))
    return pieces[0] if len(pieces) == 1 else pd.concat(pieces, ignore_index=True)


def _together(stores: Stores, partitions: list[Partition]) -> list[list[Partition]]:
    """Partitions that are read at once, up to a quarter of a million rows."""
    together, rows = list[list[Partition]](), _AT_ONCE
    for partition in partitions:
        if rows >= _AT_ONCE:
            together.append([])
            rows = 0
        together[-1].append(partition)
        record = record_of(stores.ledger, partition)
        rows += record.clean if record is not None else 0
    return together


def standing_claim(stores: Stores, batch: str) -> ClaimRecord:
    """The claim in force for a batch.

    :raises NotReady: if nobody has claimed it yet.
    """
    claim = stores.ledger.last(ClaimRecord, batch)
    if claim is None:
        raise NotReady(f"batch {batch} has not been claimed for scoring; score it first")
    return claim


def concat_features(pieces: list[pd.DataFrame]) -> pd.DataFrame:
    """Features of several batches as one frame; categories of a column are united rather than lost."""
    if not pieces:
        return pd.DataFrame()
    whole = pd.concat(pieces, ignore_index=True)
    for name in whole.columns:
        if all(isinstance(piece[name].dtype, pd.CategoricalDtype) for piece in pieces):
            united = union_categoricals([piece[name] for piece in pieces], sort_categories=True)
            whole[name] = pd.Series(united, index=whole.index)
    return whole


def _positions(rows: pd.DataFrame, wanted: pd.DataFrame, key: tuple[str, ...]) -> np.ndarray:
    """(wanted,) positions of keys among rows, in which each key stands once and all of them are."""
    keys = pd.Index(key_objects(rows, list(key)), tupleize_cols=False)
    found: np.ndarray = keys.get_indexer(pd.Index(key_objects(wanted, list(key)), tupleize_cols=False))
    if (found < 0).any():
        raise AssertionError(f"{(found < 0).sum()} of {len(wanted)} labelled rows are not among those of their batch")
    return found
