"""In which format a column's dates are written, with what speaks for it and what against the others."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evergreen.config.fields import EPOCHS, ColumnType
from evergreen.sources.casting import cast_column

_DATES = (
    "%Y-%m-%d", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%d/%m/%Y", "%m/%d/%Y", "%Y.%m.%d", "%d.%m.%Y", "%m.%d.%Y",
    "%Y%m%d", "%d-%b-%Y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y",
    "%d-%m-%y", "%m-%d-%y", "%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%y-%m-%d",
)  # fmt: skip
_TIMES = ("%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%I:%M %p", "%I:%M:%S %p", "%H%M%S")
_ZONES = ("", "%z", " %z", " %Z")
_FORMATS = (
    *_DATES,
    *(
        f"{date}{between}{time}{zone}"
        for date in _DATES
        for between in (" ", "T")
        for time in _TIMES
        for zone in _ZONES
    ),
)
# What a format has between its parts, by format: reading by each of a thousand formats would take a second a column.
_MARKS = {form: re.sub(r"%.|[\w\s]", "", form) for form in _FORMATS}
_SAMPLES = 12
# Dirt in a column of dates is quarantined; above this share it is no column of dates.
_MOST = 0.99


@dataclass(frozen=True)
class DateReading:
    """A format in which a column reads as dates.

    :param form: None for ISO 8601 in more than one precision.
    :param type: timestamp where the text has a time of day.
    :param read: rows that read so.
    :param rows: rows that hold a value.
    :param rivals: other formats that read at least half of the rows so or otherwise, with the rows each one reads.
    :param order: share of rows that step back in time from the row before.
    """

    form: str | None
    type: Literal["timestamp", "date"]
    read: int
    rows: int
    rivals: tuple[tuple[str, int], ...] = ()
    order: float = 0.0

    @property
    def zoned(self) -> bool:
        """Whether the text names its zone; without one it is read as UTC."""
        return self.form is None or self.form in EPOCHS or "%z" in self.form or "%Z" in self.form

    @property
    def evidence(self) -> str:
        """What speaks for this format, and what against the others."""
        told = f"{self.read:,} of {self.rows:,} values read so"
        for form, read in self.rivals:
            if read == self.rows:
                told += f"; all would read as {form} too"
            else:
                told += (
                    f"; {read:,} ({read / self.rows:.1%}) would read as {form} too, {self.rows - read:,} contradict it"
                )
        return told


def find_readings(texts: pa.Array, counts: np.ndarray, in_order: pa.Array) -> list[DateReading]:
    """The formats in which nearly all values of a column read; several where the values do not tell.

    :param texts: (n,) the different values, nulls left out.
    :param counts: (n,) how many rows hold each.
    :param in_order: (rows,) the values as the file has them.
    :returns: those that read most; more than one where the values do not tell.
    """
    rows = int(counts.sum())
    if not rows or not pc.all(pc.match_substring_regex(texts.slice(0, 1000), r"\d")).as_py():
        return []
    read = {form: _count(texts, counts, form) for form in _fitting(texts)}
    best = [form for form in read if read[form] >= _MOST * rows and read[form] == max(read.values())]
    epoch = find_epoch(texts, counts) if not best else None
    if epoch is not None:
        return [epoch]
    if not best:
        iso = _count(texts, counts, None) if pc.all(pc.match_substring_regex(texts, r"^\d{4}-\d")).as_py() else 0
        return [DateReading(None, "timestamp", iso, rows)] if iso >= _MOST * rows else []
    # The order of the rows is told, not trusted: dates that were sorted as text look right under the wrong format.
    orders = {form: _steps_back(in_order, form) for form in best} if len(best) > 1 else dict.fromkeys(best, 0.0)
    readings = []
    for form in best:
        rivals = tuple((other, n) for other, n in read.items() if other != form and n and not _alike(form, other))
        kind: Literal["timestamp", "date"] = "timestamp" if any(part in form for part in ("%H", "%I")) else "date"
        readings.append(DateReading(form, kind, read[form], rows, rivals, orders[form]))
    return readings


def find_epoch(texts: pa.Array, counts: np.ndarray) -> DateReading | None:
    """The reading of a column that counts from 1970 on, where nearly all of it falls into recent decades.

    :param texts: (n,) the different values, nulls left out.
    :param counts: (n,) how many rows hold each.
    """
    rows = int(counts.sum())
    for form in EPOCHS:
        moments = cast_column(pa.chunked_array([texts]), ColumnType(type="timestamp", format=form), ()).values
        years = pc.fill_null(pc.year(moments), 0).to_numpy(zero_copy_only=False)
        read = int(counts[(years > 1990) & (years < 2100)].sum())
        if rows and read >= _MOST * rows:
            return DateReading(form, "timestamp", read, rows)
    return None


def _alike(one: str, other: str) -> bool:
    """Whether what reads in both formats is the same date: of the months, May has no shorter name."""
    return one.replace("%B", "%b") == other.replace("%B", "%b")


def _fitting(texts: pa.Array) -> list[str]:
    """Formats that read at least one of a few values, spread over the column."""
    positions = np.unique(np.linspace(0, len(texts) - 1, _SAMPLES).astype(int))
    samples = [texts[int(position)].as_py().strip() for position in positions]
    return [form for form in _FORMATS if any(_reads(sample, form) for sample in samples)]


def _reads(text: str, form: str) -> bool:
    marks, zoned = re.sub(r"[\w\s]", "", text), "%z" in form
    # An offset from UTC has marks of its own.
    if not (marks.startswith(_MARKS[form]) if zoned else marks == _MARKS[form]):
        return False
    try:
        moment = datetime.strptime(text, form)
    except ValueError:
        return False
    # Of eight digits that are no date, most read as one of another age.
    return 1900 <= moment.year <= 2200


def _count(texts: pa.Array, counts: np.ndarray, form: str | None) -> int:
    cast = cast_column(pa.chunked_array([texts]), ColumnType(type="timestamp", format=form), ())
    return int(counts[pc.is_valid(cast.values).to_numpy(zero_copy_only=False)].sum())


def _steps_back(in_order: pa.Array, form: str) -> float:
    moments = cast_column(pa.chunked_array([in_order]), ColumnType(type="timestamp", format=form), ("",)).values
    stamps = pc.drop_null(moments).cast(pa.int64()).to_numpy()
    return float(np.mean(np.diff(stamps) < 0)) if len(stamps) > 1 else 0.0
