"""The data of one batch, column by column, beside what the champion had learnt from."""

import functools
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pandas as pd

from evergreen.checks.kept_statistics import read_predicted, read_statistics
from evergreen.checks.reference import REFERENCE_FILE, Reference
from evergreen.config.fields import ColumnType
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import EvergreenError, NotReady
from evergreen.features.batch_statistics import PREDICTION, Statistics
from evergreen.features.histograms import Categories, Moments, Numbers
from evergreen.features.reading import is_readable, partition_of
from evergreen.judging.promotions import promotion_serving
from evergreen.records import BatchRecord, ClaimRecord, PromotionRecord, VerdictRecord
from evergreen.replay.column_bars import Bar, count_bars, describe_numbers
from evergreen.storage.columns import find_column
from evergreen.storage.revisions import sealed_batch
from evergreen.storage.stores import Stores
from evergreen.storage.version_evidence import read_packed_file


@dataclass(frozen=True)
class ColumnProfile:
    """One column of a batch.

    :param kind: its declared type.
    :param missing: share of the rows without a value.
    :param missing_before: the same of the reference; None where it is not in it.
    :param least: the smallest value; of text none.
    :param middle: the median of numbers.
    :param most: the largest value.
    :param distinct: how many values there are; None where they were not told apart.
    :param before: smallest value, median and largest value of the numbers of the reference.
    :param bars: how the values are spread; none for times, text, and where there is no value.
    :param axis: from where to where numbers are drawn.
    :param judged: what the check of the batch has said of it: distance, threshold, drifted, and where it drifted only
        together with the batches before the rows of them all.
    """

    name: str
    kind: str
    missing: float
    missing_before: float | None = None
    least: Any = None
    middle: float | None = None
    most: Any = None
    distinct: int | None = None
    before: tuple[float, float, float] | None = None
    bars: tuple[Bar, ...] = ()
    axis: tuple[float, float] | None = None
    judged: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class BatchProfile:
    """What came as a batch.

    :param columns: the declared ones, then what was predicted, then the label.
    :param lacking: declared columns that its rows were sealed without.
    :param reference: the promotion whose reference it is held against; None before there is one.
    :param problem: why there is no reference, where there should be.
    """

    record: BatchRecord
    columns: tuple[ColumnProfile, ...]
    lacking: tuple[str, ...]
    reference: PromotionRecord | None
    problem: str = ""


def profile_batch(model: ModelFolder, stores: Stores, batch: str) -> BatchProfile | None:
    """Describe the columns of a batch by its statistics; None where it is not sealed.

    :raises SourceChanged: if its rows have to be read and are not those of the record.
    """
    record = sealed_batch(stores.ledger, "rows", batch)
    if record is None:
        return None
    verdict, claim = stores.ledger.get(VerdictRecord, batch), stores.ledger.last(ClaimRecord, batch)
    reference, promotion, problem = _find_reference(stores, batch, verdict)
    schema = model.config.data_schema
    if not record.has_rows:
        return BatchProfile(record, (), (), promotion, problem)
    shown = {name: column for name, column in schema.columns.items() if _is_held(name, column, record)}
    lacking = tuple(name for name in schema.columns if name not in shown)
    counted = read_statistics(schema, stores, partition_of(record), shown)
    judged = _read_judged(verdict.inputs.numbers) if verdict is not None else {}
    found = []
    for name, column in shown.items():
        known = find_column(name, column, reference.columns) if reference is not None else None
        before = reference.columns[known] if reference is not None and known is not None else None
        found.append(_profile(name, column.type, counted, before, judged.get(known or name)))
    found += _profile_made(model, stores, claim, verdict, reference)
    return BatchProfile(record, tuple(found), lacking, promotion, problem)


def _is_held(name: str, column: ColumnType, record: BatchRecord) -> bool:
    """Whether rows were sealed with a column of the type that is declared; an old record does not tell."""
    source = find_column(name, column, record.columns)
    return not record.columns or (source is not None and record.columns[source] == column.kind)


def _find_reference(
    stores: Stores, batch: str, verdict: VerdictRecord | None
) -> tuple[Reference | None, PromotionRecord | None, str]:
    """What the batch was checked against, or would be, and why it cannot be read."""
    number = verdict.promotion if verdict is not None else None
    promotion = (
        stores.ledger.get(PromotionRecord, "champion", number - 1)
        if number is not None
        else promotion_serving(stores.ledger, batch)
    )
    if promotion is None:
        return None, None, ""
    try:
        return _parse(read_packed_file(stores, promotion, REFERENCE_FILE)), promotion, ""
    except EvergreenError as error:
        return None, None, str(error)


def _read_judged(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """What a check has said of each column; of one that drifted with the batches before, what it said of them all."""
    judged, recent = dict(numbers.get("columns", {})), numbers.get("recent") or {}
    for name in numbers.get("drifted", ()):
        if not judged[name]["drifted"]:
            judged[name] = {**recent["columns"][name], "together": recent["rows"]}
    return judged


@functools.lru_cache(maxsize=8)
def _parse(content: bytes) -> Reference:
    return Reference.parse(content)


def _profile_made(
    model: ModelFolder,
    stores: Stores,
    claim: ClaimRecord | None,
    verdict: VerdictRecord | None,
    reference: Reference | None,
) -> list[ColumnProfile]:
    """What was predicted for a batch, and the labels that came with its number."""
    found, schema = [], model.config.data_schema
    if claim is not None and claim.version is not None:
        # It may be claimed and not scored yet.
        with suppress(NotReady):
            counted = read_predicted(schema, stores, claim)
            judged = _read_judged(verdict.predictions.numbers) if verdict is not None else {}
            before = reference.columns.get(PREDICTION) if reference is not None else None
            found.append(_profile(PREDICTION, "float", counted, before, judged.get(PREDICTION)))
    labels = sealed_batch(stores.ledger, "labels", claim.as_of) if claim is not None else None
    if labels is not None and labels.has_rows and is_readable(labels, schema.target):
        counted = read_statistics(schema, stores, partition_of(labels), schema.target)
        found += [_profile(name, column.type, counted, None, None, "label, ") for name, column in schema.target.items()]
    return found


def _profile(
    name: str,
    kind: str,
    counted: Statistics,
    before: Mapping[str, Any] | None,
    judged: Mapping[str, Any] | None,
    role: str = "",
) -> ColumnProfile:
    column = counted.columns[name]
    said: dict[str, Any] = {
        "missing": column.missing / max(counted.rows, 1),
        "missing_before": before["missing"] if before is not None else None,
        "judged": judged,
    }
    if isinstance(column, Categories):
        said["distinct"] = None if column.rest else len(column.counts)
        said["bars"] = count_bars(column, before["counts"] if before is not None else None)
    elif isinstance(column, Numbers):
        said["distinct"] = None if column.shift else len(column.counts)
        said |= describe_numbers(column.points, before["quantiles"] if before is not None else None)
    elif isinstance(column, Moments) and math.isfinite(column.ends[0]):
        least, most = (_tell_time(pd.Timestamp(end, unit="us"), kind) for end in column.ends)
        said |= {"least": least, "most": most}
    return ColumnProfile(name, f"{role}{kind}", **said)


def _tell_time(moment: pd.Timestamp, kind: str) -> str:
    return moment.strftime("%Y-%m-%d" if kind == "date" else "%Y-%m-%d %H:%M")
