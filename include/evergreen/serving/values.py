"""Values of a request as the declared columns hold them, and rows of them as the frame that feature code gets.

What is written in the plainest way is read here, in microseconds; all else by the casts of files, in milliseconds. Both
come to the same values: the plain way takes nothing that a file would read otherwise.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd

from evergreen.config.fields import ColumnType
from evergreen.sources.json_lines import Number

Value = bool | int | float | str | datetime | None
# By column, a value a row; None where it is missing. Times are in UTC without a zone, dates are midnights.
Rows = Mapping[str, Sequence[Value]]
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
# Digits and sign of these; Python refuses to read thousands of digits.
_LONGEST = 20
_ISO = re.compile(r"(1[7-9]|2[01])\d\d-\d\d-\d\d([T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)?)?")
_ISO_DATE = re.compile(r"(1[7-9]|2[01])\d\d-\d\d-\d\d")
# Directives that pandas and Python read alike, each of a fixed width.
_PLAIN_FORM = re.compile(r"(%[YmdHMS]|[^%\w])+")
_DTYPES: dict[str, str] = {
    "string": "object", "category": "object", "float": "float64", "integer": "int64", "boolean": "bool",
    "timestamp": "datetime64[us]", "date": "datetime64[us]",
}  # fmt: skip
# What pandas makes of a column beside a null.
_BESIDE_NULL = {"int64": "float64", "bool": "object"}


class NotPlain(Exception):
    """A value that is left to the casts of files, which read it or say what is wrong with it."""


Read = Callable[[Any], Value]


def compile_reader(declared: ColumnType, nulls: tuple[str, ...]) -> Read:
    """A function from a value of ``load_json`` to what the column holds.

    It raises ``NotPlain`` for what it does not take.

    :param nulls: texts that stand for a missing value.
    """
    of_kind: Read | None = _READERS.get(declared.type)
    if declared.type in ("timestamp", "date"):
        of_kind = _moment_reader(declared)
    if of_kind is None or declared.writes_numbers or (declared.type == "boolean" and declared.yes):
        return _refuse
    missing = frozenset(nulls)

    def read(value: Any) -> Value:
        if value is None or (isinstance(value, str) and value in missing):
            return None
        return of_kind(value)

    return read


def as_frame(rows: Rows, columns: Mapping[str, tuple[str, str]]) -> pd.DataFrame:
    """Rows as pandas sees stored ones.

    :param rows: by declared column, a value a row.
    :param columns: by the name that the frame has, the column that it is read from and its declared type.
    :returns: (rows, columns) under a 0..n-1 index.
    """
    made = {name: _as_array(rows[source], _DTYPES[kind]) for name, (source, kind) in columns.items()}
    # The arrays are nobody else's.
    return pd.DataFrame(made, copy=False)


def as_value(value: Any) -> Value:
    """A value that a file's cast has made, as it stands in rows."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return datetime(value.year, value.month, value.day) if isinstance(value, date) else value


def _as_array(values: Sequence[Value], dtype: str) -> np.ndarray:
    if None in values:
        dtype = _BESIDE_NULL.get(dtype, dtype)
    if dtype == "object":
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return array
    return np.array(values, dtype=dtype)


def _refuse(value: Any) -> Value:
    raise NotPlain


def _read_float(value: Any) -> float:
    if not isinstance(value, Number) or not math.isfinite(number := float(value)):
        raise NotPlain
    return number


def _read_integer(value: Any) -> int:
    if not isinstance(value, Number) or len(value) > _LONGEST or not _is_whole(value):
        raise NotPlain
    if not _SMALLEST <= (number := int(value)) <= _LARGEST:
        raise NotPlain
    return number


def _read_boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise NotPlain
    return value


def _read_text(value: Any) -> str:
    # A text of digits and .0 may be an id that a float has rounded; other numbers have more than one writing.
    if not isinstance(value, str) or value.endswith(".0") or (isinstance(value, Number) and not _is_whole(value)):
        raise NotPlain
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise NotPlain from None
    return str(value)


def _is_whole(number: str) -> bool:
    return number.lstrip("-").isdigit()


def _moment_reader(declared: ColumnType) -> Read:
    """Moments by the declared format, or as ISO 8601."""
    form, pattern = declared.format, _ISO if declared.type == "timestamp" else _ISO_DATE
    if form is not None and not _PLAIN_FORM.fullmatch(form):
        return _refuse
    width = len(datetime(2000, 1, 1).strftime(form)) if form is not None else 0

    def read(value: Any) -> datetime:
        if not isinstance(value, str) or isinstance(value, Number):
            raise NotPlain
        try:
            if form is None:
                if not pattern.fullmatch(value):
                    raise NotPlain
                moment = datetime.fromisoformat(value)
            elif len(value) != width or not value.isascii():
                raise NotPlain
            else:
                moment = datetime.strptime(value, form)
        except ValueError:
            raise NotPlain from None
        if not 1700 <= moment.year < 2200:
            raise NotPlain
        moment = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
        return moment.replace(hour=0, minute=0, second=0, microsecond=0) if declared.type == "date" else moment

    return read


_READERS: dict[str, Read] = {
    "float": _read_float,
    "integer": _read_integer,
    "boolean": _read_boolean,
    "string": _read_text,
    "category": _read_text,
}
