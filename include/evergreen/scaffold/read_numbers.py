"""In which format a column's numbers are written: what its values say, and what the other columns of the file do."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from evergreen.config.fields import NUMBER_MARKS, ColumnType
from evergreen.sources.casting import CastColumn, cast_column
from evergreen.sources.number_text import to_bare

# Dirt in a column of numbers is quarantined; above this share it is no column of numbers.
_MOST = 0.99
_SAMPLES = 12
# What may stand before a fraction and between groups; of those that read the same values the first is taken.
_FORMATS = (
    (".", None), (",", None), (".", ","), (",", "."), (".", " "), (",", " "), (".", "'"), (",", "'"),
)  # fmt: skip
_CURRENCY = r"\p{Sc}|USD|EUR|GBP|CHF|JPY|CNY|INR|CAD|AUD"
# A letter close behind a number is part of a code, such as 174A.
_WITH_UNIT = (
    rf"^\s*[+-]?\s*(?P<before>(?:{_CURRENCY})?)\s*[+-]?\.?\d[\d.,' \x{{a0}}\x{{202f}}]*?"
    r"(?P<behind>(?:\s*[%‰°\p{Sc}][^\d\s]{0,9}|\s+\p{L}[^\d\s.,]{0,9}|\p{L}{2}[^\d\s.,]{0,8})?)\s*$"
)
_LOOK = {".": r"\.", ",": ",", " ": "[ \u00a0\u202f]", "'": "['\u2019]"}


@dataclass(frozen=True)
class NumberReading:
    """A format in which a column reads as numbers.

    :param type: with the format, where it is not the plain one.
    :param decimal: what stands before a fraction in it.
    :param tells: whether a value shows what stands before a fraction, by one or by the other mark between thousands.
    :param odd: whether the values are unlike what anybody writes so: fractions of three digits alone, a last zero among
        them, beside numbers without a fraction.
    :param example: a value with a mark, and what it is read as.
    """

    type: ColumnType
    decimal: str
    tells: bool
    odd: bool
    example: tuple[str, str]

    @property
    def declared(self) -> str:
        """How config.yaml says it."""
        marks = {name: getattr(self.type, name) for name in NUMBER_MARKS}
        return ", ".join(f'{name}: "{mark}"' for name, mark in marks.items() if mark) or "as it is"


def find_numbers(texts: pa.Array, counts: np.ndarray) -> list[NumberReading]:
    """The formats in which nearly all values of a column read as numbers; a leading zero makes a code of a number.

    :param texts: (n,) the different values, nulls left out.
    :param counts: (n,) how many rows hold each.
    :returns: those that read most; more than one where they read other numbers.
    """
    unit = _find_unit(texts, counts)
    if unit:
        texts = pc.fill_null(to_bare(texts, unit), "")
    if not len(texts) or pc.any(pc.match_substring_regex(texts, r"^\s*[+-]?0\d")).as_py():
        return []
    types = [_typed("float", *marks) for marks in _FORMATS if _may_read(texts, *marks)]
    read = [_count(texts, counts, one) for one in types]
    most = max(read, default=0)
    if most < _MOST * counts.sum():
        return []
    values: list[pa.Array] = []
    readings = []
    for declared in (one for one, rows in zip(types, read, strict=True) if rows == most):
        cast = _cast(texts, declared).values
        if not any(cast.equals(other) for other in values):
            values.append(cast)
            readings.append(_describe(texts, counts, declared, most, cast))
    if not unit:
        return readings
    if len(readings) > 1 and pc.match_substring_regex(unit, rf"^({_CURRENCY})$").as_py():
        # Money has no thousandths.
        readings = [one for one in readings if one.type.type == "integer"]
    return [replace(one, type=one.type.model_copy(update={"unit": unit})) for one in readings]


def _find_unit(texts: pa.Array, counts: np.ndarray) -> str | None:
    """The text that stands before or behind the number in nearly all values."""
    if len(texts) < 2:
        return None
    parts = pc.extract_regex(texts, _WITH_UNIT)
    before, behind = (pc.utf8_trim_whitespace(pc.struct_field(parts, side)) for side in ("before", "behind"))
    units = pc.if_else(pc.equal(before, ""), behind, before)
    totals = pd.Series(counts).groupby(units.to_pandas().to_numpy()).sum()
    common = str(totals.idxmax()) if len(totals) else ""
    return common if common and totals[common] >= _MOST * counts.sum() else None


def reads_as_numbers(texts: pa.Array) -> bool:
    """Whether all values of a column read as numbers in one format."""
    types = (_typed("float", *marks) for marks in _FORMATS if _may_read(texts, *marks))
    return len(texts) > 0 and any(not _cast(texts, declared).failed.any() for declared in types)


def find_by_file(readings: Mapping[str, tuple[NumberReading, ...]], delimiter: str) -> dict[str, NumberReading]:
    """The formats of columns whose values do not tell, where the rest of the file does.

    :param readings: of each column of numbers.
    :param delimiter: of the file: between commas, a number of other text is written with a point.
    """
    told = {those[0].decimal for those in readings.values() if len(those) == 1 and those[0].tells}
    usual = next(iter(told)) if len(told) == 1 else "." if not told and delimiter == "," else None
    found = {}
    for name, those in readings.items():
        fits = [one for one in those if one.decimal == usual and not one.odd]
        # Without another column to go by, a comma may as well stand between thousands.
        if len(those) > 1 and len(fits) == 1 and (told or not fits[0].type.writes_numbers):
            found[name] = fits[0]
    return found


def _may_read(texts: pa.Array, decimal: str, thousands: str | None) -> bool:
    """Whether a format's marks are there, and it reads some of a few values, spread over the column."""
    if thousands and not _has(texts, _LOOK[thousands]):
        return False
    if decimal == "," and thousands != "." and not _has(texts, ","):
        return False
    positions = np.unique(np.linspace(0, len(texts) - 1, _SAMPLES).astype(int))
    samples = texts.take(pa.array(positions))
    return not _cast(samples, _typed("float", decimal, thousands)).failed.all()


def _describe(texts: pa.Array, counts: np.ndarray, declared: ColumnType, rows: int, values: pa.Array) -> NumberReading:
    decimal, thousands = declared.decimal or ".", declared.thousands
    point = re.escape(decimal)
    fraction = _has(texts, point)
    whole = _typed("integer", decimal, thousands)
    if not fraction and _count(texts, counts, whole) == rows:
        declared = whole
    zero, other = _has(texts, rf"{point}\d\d0\s*$"), _has(texts, rf"{point}(\d{{0,2}}|\d{{4,}})\s*$")
    odd = zero and not other and not pc.all(pc.match_substring_regex(texts, point)).as_py()
    at = pc.index(pc.match_substring_regex(texts, "[., '\u00a0\u202f\u2019]"), value=True).as_py()
    example = (texts[at].as_py(), f"{values[at].as_py() or 0:.15g}") if at >= 0 else ("", "")
    tells = fraction or thousands in (".", ",")
    return NumberReading(declared, decimal, tells, odd, example)


def _typed(kind: str, decimal: str, thousands: str | None) -> ColumnType:
    marks = {"decimal": decimal if decimal == "," else None, "thousands": thousands}
    return ColumnType.model_validate({"type": kind} | {name: mark for name, mark in marks.items() if mark})


def _cast(texts: pa.Array, declared: ColumnType) -> CastColumn:
    return cast_column(pa.chunked_array([texts]), declared, ())


def _count(texts: pa.Array, counts: np.ndarray, declared: ColumnType) -> int:
    return int(counts[~_cast(texts, declared).failed].sum())


def _has(texts: pa.Array, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(texts, pattern)).as_py())
