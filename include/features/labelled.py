"""Rows with their labels, placed by the batch in which the label became known."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from include.config.contract import ModelConfig
from include.errors import NotReady
from include.features.history import build_features, published, read_keys, read_labels, read_rows
from include.records import ClaimRecord, DataRecord, Partition
from include.storage.packed_model import PackedModel
from include.storage.stores import Stores


@dataclass(frozen=True)
class LabelledRows:
    """Rows whose labels became known in a span of batches.

    :param rows: (n, key + target, batch, known) by batch and key; ``batch`` is the batch of arrival, ``known`` the
        batch in which row and first label were both there.
    :param unmatched: labels of the span that belong to no row within ``max_delay``.
    :param partitions: what was read.
    """

    rows: pd.DataFrame
    unmatched: int
    partitions: tuple[Partition, ...]


def match_labels(
    config: ModelConfig, stores: Stores, first: str, last: str, data: DataRecord | None = None
) -> LabelledRows:
    """Match rows and labels that became known from one batch to another.

    A row's place is the batch of its first label (or its own, if the row came later); its value is the newest one
    known at ``last``. A key that arrives twice counts as its first arrival.

    :param first: first batch of the span.
    :param last: last batch of the span; nothing later is read.
    :param data: a recorded data version to read again; by default what is published.
    """
    calendar, key = config.calendar, list(config.rows.key)
    if config.labels == "none":
        return _unlabelled(config, stores, calendar.between(first, last))
    delay = config.labels.max_delay if config.labels.files is not None else 0
    # Twice the delay: a key whose row or first label lies before the span has its place there, not here.
    oldest = calendar.name(max(0, calendar.index(first) - 2 * delay))
    span = calendar.between(oldest, last)
    clean, known = published(stores, "rows", span), published(stores, "labels", span)
    if data is not None:
        clean = [p for p in data.partitions if p.table == "clean" and p.batch in set(span)]
        known = [p for p in data.partitions if p.table == "labels" and p.batch in set(span)]
    labels = read_labels(config, stores, known)
    values = labels.drop_duplicates(key, keep="last").drop(columns="known")
    places = labels.drop_duplicates(key, keep="first")[[*key, "known"]]
    rows = read_keys(config, stores, clean) if clean else labels[key].iloc[:0].assign(batch="")
    rows = rows.drop_duplicates(key, keep="first")
    matched = rows.merge(places, on=key).merge(values, on=key)
    reach = {label: calendar.name(max(0, calendar.index(label) - delay)) for label in set(matched["known"])}
    matched = matched[matched["batch"] >= matched["known"].map(reach).astype(str)]
    in_span = places[places["known"].between(first, last)]
    unmatched = len(in_span) - len(in_span.merge(matched[key], on=key))
    matched["known"] = np.maximum(matched["known"].astype(str), matched["batch"].astype(str))
    matched = matched[matched["known"].between(first, last)].sort_values(["batch", *key]).reset_index(drop=True)
    return LabelledRows(matched, unmatched, tuple(clean + known))


def _unlabelled(config: ModelConfig, stores: Stores, span: list[str]) -> LabelledRows:
    """Where there are no labels, rows count in their place."""
    clean = published(stores, "rows", span)
    rows = read_rows(config, stores, clean)[[*config.rows.key, "batch"]]
    return LabelledRows(rows.assign(known=rows["batch"]), 0, tuple(clean))


def gather_features(
    config: ModelConfig, stores: Stores, packed: PackedModel, labelled: LabelledRows
) -> tuple[pd.DataFrame, tuple[Partition, ...]]:
    """Features of labelled rows, built batch by batch with the cut that each batch's claim recorded.

    :returns: (n, features) aligned with the labelled rows, and the partitions that were read for them.
    """
    pieces, read = [], set(labelled.partitions)
    for batch, wanted in labelled.rows.groupby("batch", sort=True):
        claim = standing_claim(stores, str(batch))
        built = build_features(config, stores, packed, claim)
        data = stores.ledger.get(DataRecord, claim.data)
        read.update(data.partitions if data is not None else ())
        positions = _positions(built.rows, wanted, config.rows.key)
        pieces.append(built.features.iloc[positions])
    return concat_features(pieces), tuple(read)


def gather_rows(config: ModelConfig, stores: Stores, labelled: LabelledRows) -> pd.DataFrame:
    """The clean rows themselves, aligned with the labelled rows."""
    batches = sorted(set(labelled.rows["batch"]))
    rows = read_rows(config, stores, published(stores, "rows", batches))
    return labelled.rows[[*config.rows.key, "batch"]].merge(rows, on=[*config.rows.key, "batch"], how="left")


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
    numbered = rows[list(key)].assign(position=np.arange(len(rows)))
    return wanted[list(key)].merge(numbered, on=list(key), how="left")["position"].to_numpy(dtype=np.int64)
