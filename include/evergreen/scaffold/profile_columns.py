"""What each column holds: its type as the loop itself would read it, and what speaks against using it."""

import re
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from evergreen.config.fields import ColumnType
from evergreen.config.rows_config import RESERVED
from evergreen.scaffold.read_dates import DateReading, find_epoch, find_readings
from evergreen.scaffold.read_files import HistoryFiles
from evergreen.scaffold.read_numbers import NumberReading, find_by_file, find_numbers
from evergreen.scaffold.read_truths import find_truths
from evergreen.sources.casting import cast_column
from evergreen.sources.tables import name_given
from evergreen.storage.frames import to_frame

# Up to here a text column is a category in any case; beyond, if each value stands in as many rows on average.
MOST_CATEGORIES = 100
_ROWS_EACH = 10
# A value in a hundred may be dirt, which validation will keep apart.
_MOST = 0.99
# Numbers under another name may be ids of as many digits as seconds since 1970.
_NAMES_A_TIME = re.compile(r"time|date|epoch|(^|_)ts($|_)|(_|[a-z])at$", re.IGNORECASE)
_ODD_NUMBER = re.compile(r"\s*[-+(]?\s*[€$£%]?\s*\d[\d.,' ]*\s*[€$£%)]?[A-Za-z]{0,3}\s*")


@dataclass(frozen=True)
class LeftOut:
    """Why a column is not proposed.

    :param kind: ``header`` where no column can be declared under its name, ``constant`` where it tells nothing, ``ids``
        where it may still name rows, ``text`` for other text.
    :param why: the same in words.
    """

    kind: Literal["header", "constant", "ids", "text"]
    why: str


@dataclass(frozen=True)
class ColumnFacts:
    """One column.

    :param name: as the files have it.
    :param type: the proposed type; None where the column cannot be declared.
    :param values: (rows,) in that type, as pandas sees it; text where there is none.
    :param rows: how many rows there are.
    :param missing: rows without a value.
    :param failed: rows whose value does not read as the type.
    :param distinct: how many different values there are.
    :param remark: what a reader of the config should know.
    :param left_out: why the column is not proposed; None where it is.
    :param readings: the formats that its dates may have; the first is the proposed one.
    :param numbers: the formats that its numbers may have, the same.
    """

    name: str
    type: ColumnType | None
    values: pd.Series
    rows: int
    missing: int
    failed: int
    distinct: int
    remark: str = ""
    left_out: LeftOut | None = None
    readings: tuple[DateReading, ...] = ()
    numbers: tuple[NumberReading, ...] = ()

    @property
    def is_date(self) -> bool:
        """Whether it holds dates or times."""
        return self.type is not None and self.type.type in ("timestamp", "date")

    @property
    def is_number(self) -> bool:
        """Whether it holds numbers."""
        return self.type is not None and self.type.type in ("integer", "float")

    @property
    def unique(self) -> bool:
        """Whether no value stands twice, and none is missing."""
        return self.distinct == self.rows and not self.missing and not self.failed


def profile_columns(files: HistoryFiles) -> dict[str, ColumnFacts]:
    """All columns of the files, in their order."""
    facts = {name: profile_column(files, name) for name in files.rows.column_names}
    readings = {name: one.numbers for name, one in facts.items() if one.numbers}
    for name, number in find_by_file(readings, files.delimiter).items():
        facts[name] = _read_by_file(files, name, number)
    seen: dict[str, str] = {}
    for name, one in facts.items():
        twin = seen.setdefault(name.lower(), name)
        given = name_given(name)
        if given is not None or not name.strip():
            problem = f"{given!r} stands in the header more than once" if given else "has no name in the header"
        elif name.lower() in RESERVED:
            problem = "is a name of our own; rename it in the files to use it"
        elif twin != name:
            problem = f"differs from {twin!r} in case alone, which the lake's tables do not tell apart; rename one"
        else:
            continue
        facts[name] = replace(one, left_out=LeftOut("header", problem))
    return facts


def _read_by_file(files: HistoryFiles, name: str, number: NumberReading) -> ColumnFacts:
    """A column whose values read as different numbers, in the format that goes with the rest of the file."""
    facts = profile_column(files, name, declared=number.type)
    if not number.type.writes_numbers:
        return facts
    told = f"{number.example[0]!r} is read as {number.example[1]}, by how other columns write a fraction"
    return replace(facts, remark="; ".join(filter(None, (told, facts.remark))))


def profile_column(
    files: HistoryFiles, name: str, reading: DateReading | None = None, declared: ColumnType | None = None
) -> ColumnFacts:
    """One column.

    :param reading: read it as dates in this format, whatever else it may be.
    :param declared: read it as this type, whatever else it may be.
    """
    column = files.rows.column(name).combine_chunks()
    counted = pc.value_counts(column)
    texts, counts = counted.field("values"), counted.field("counts").to_numpy()
    null = pc.is_in(texts, value_set=pa.array(files.nulls)).to_numpy(zero_copy_only=False)
    missing = int(counts[null].sum())
    texts, counts = texts.filter(pa.array(~null)), counts[~null]
    readings: tuple[DateReading, ...] = (reading,) if reading else ()
    numbers: list[NumberReading] = []
    if reading is not None:
        declared = ColumnType(type=reading.type, format=reading.form)
    elif declared is None:
        declared = _stated_type(files.stated.get(name)) or find_truths(texts, counts)
        if declared is None:
            numbers = find_numbers(texts, counts)
            declared = numbers[0].type if numbers else None
        readings = _find_dates(name, column, texts, counts, declared)
        if readings:
            declared, numbers = ColumnType(type=readings[0].type, format=readings[0].form), []
    kind = declared or ColumnType(type="string")
    cast = cast_column(pa.chunked_array([column]), kind, files.nulls)
    values = to_frame(pa.table({name: cast.values}))[name]
    failed = int(cast.failed.sum())
    facts = ColumnFacts(
        name, kind, values, len(column), missing, failed, len(texts), "", None, readings, tuple(numbers)
    )
    if declared is None:
        facts = _as_text(facts, texts, counts)
    if not len(texts):
        return replace(facts, left_out=LeftOut("constant", "holds no value"))
    if len(texts) == 1 and not missing:
        return replace(facts, left_out=LeftOut("constant", f"holds {texts[0].as_py()!r} alone"))
    if failed:
        remark = f"{failed:,} values do not read so ({_name(column.filter(pa.array(cast.failed)))}): their rows go to "
        return replace(facts, remark=f"{remark}quarantine; a category would keep them")
    return facts


def _find_dates(
    name: str, column: pa.Array, texts: pa.Array, counts: np.ndarray, declared: ColumnType | None
) -> tuple[DateReading, ...]:
    """The formats of its dates, if it is nothing else; or that it counts from 1970 on, under a name that says so."""
    if declared is None:
        return tuple(find_readings(texts, counts, column))
    epoch = find_epoch(texts, counts) if _NAMES_A_TIME.search(name) and declared.type in ("integer", "float") else None
    return (epoch,) if epoch else ()


def read_as_dates(files: HistoryFiles, name: str) -> tuple[DateReading, ...]:
    """The formats in which a column would read as dates, even if its values look like whole numbers."""
    column = files.rows.column(name).combine_chunks()
    counted = pc.value_counts(column.filter(pc.invert(pc.is_in(column, value_set=pa.array(files.nulls)))))
    return tuple(find_readings(counted.field("values"), counted.field("counts").to_numpy(), column))


def _stated_type(stated: pa.DataType | None) -> ColumnType | None:
    """The type that goes with the one that Parquet states; None where the text has to tell."""
    if stated is None or pa.types.is_dictionary(stated):
        return None
    if pa.types.is_boolean(stated):
        return ColumnType(type="boolean")
    if pa.types.is_integer(stated):
        return ColumnType(type="integer")
    if pa.types.is_floating(stated) or pa.types.is_decimal(stated):
        return ColumnType(type="float")
    if pa.types.is_timestamp(stated):
        return ColumnType(type="timestamp")
    return ColumnType(type="date") if pa.types.is_date(stated) else None


def _as_text(facts: ColumnFacts, texts: pa.Array, counts: np.ndarray) -> ColumnFacts:
    """A category where values recur; otherwise ids or free text, from which trees learn nothing."""
    held = int(counts.sum())
    example = texts[0].as_py() if len(texts) else ""
    few = len(texts) <= MOST_CATEGORIES and (len(texts) <= 0.5 * held or held < 20)
    recur = len(texts) * _ROWS_EACH <= held
    remark = _tell_odd_ones(texts, counts)
    length = float(np.average(pc.utf8_length(texts).to_numpy(), weights=counts)) if held else 0.0
    if few or (recur and length <= 30):
        return replace(facts, type=ColumnType(type="category"), remark=remark)
    odd = sum(bool(_ODD_NUMBER.fullmatch(text)) for text in texts.to_pylist()) >= _MOST * len(texts)
    if remark:
        return replace(facts, left_out=LeftOut("text", remark))
    if odd and not _leading_zeros(texts):
        why = f"numbers in a form that is not read, such as {example!r}; write the number alone"
        return replace(facts, left_out=LeftOut("text", why))
    told = f"{len(texts):,} values in {held:,} rows, fewer than {_ROWS_EACH} rows each"
    long = length > 30
    return replace(
        facts, left_out=LeftOut("text", f"free text: {told}") if long else LeftOut("ids", f"ids or names: {told}")
    )


def _tell_odd_ones(texts: pa.Array, counts: np.ndarray) -> str:
    """That most values are numbers, and which are not; empty where that is not so."""
    if not len(texts) or _leading_zeros(texts):
        return ""
    odd = cast_column(pa.chunked_array([texts]), ColumnType(type="float"), ()).failed
    rows = int(counts[odd].sum())
    if not 0 < rows <= 0.5 * counts.sum():
        return ""
    return f"numbers but for {rows:,} of {int(counts.sum()):,} values ({_name(texts.filter(pa.array(odd)))})"


def _name(odd: pa.Array) -> str:
    """Up to three of the values that do not read as the others do."""
    names = odd.unique()
    told = ", ".join(repr(text) for text in names.slice(0, 3).to_pylist())
    return told + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def _leading_zeros(texts: pa.Array) -> bool:
    return bool(pc.any(pc.match_substring_regex(texts, r"^0\d+$")).as_py())
