"""How numbers are written in a file's text, and which of them a float has rounded."""

import re
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evergreen.config.fields import ColumnType

# Bits of a whole number that floats of a width hold: from there on, one stands for its neighbours too.
EXACT_BITS = {16: 11, 32: 24, 64: 53}
_FLOAT_TEXT = r"^\s*[+-]?\d{16,309}\.0\s*$"
# Marks between groups of digits; of those that look alike, any.
_THOUSANDS = {".": r"\.", ",": ",", " ": "[ \u00a0\u202f]", "'": "['\u2019]"}


def write_number(plain: str, declared: ColumnType) -> str:
    """A number in a column's format, from one with a decimal point alone."""
    whole, _, fraction = plain.partition(".")
    if declared.thousands:
        whole = f"{int(whole):,}".replace(",", declared.thousands)
    number = whole if declared.type == "integer" or not fraction else f"{whole}{declared.decimal or '.'}{fraction}"
    return f"{number} {declared.unit}" if declared.unit else number


def to_plain(text: pa.Array, declared: ColumnType) -> pa.Array:
    """Numbers of a format with a decimal point alone; null where they are not written so."""
    text = to_bare(text, declared.unit) if declared.unit else text
    whole, point = r"\d+", re.escape(declared.decimal or ".")
    mark = _THOUSANDS[declared.thousands] if declared.thousands else None
    if mark:
        # No writer groups the zero of 0.125, which is a fraction in another format.
        whole = rf"([1-9]\d{{0,2}}({mark}\d{{3}})+|\d+)"
    plain = where(text, rf"^\s*[+-]?({whole}({point}\d*)?|{point}\d+)([eE][+-]?\d+)?\s*$")
    plain = pc.replace_substring_regex(plain, mark, "") if mark else plain
    return pc.replace_substring(plain, declared.decimal or ".", ".")


def to_bare(text: pa.Array, unit: str) -> pa.Array:
    """Texts without their unit; null where it does not stand there. A sign may stand before it as well: -$5."""
    unit = re.escape(unit)
    held = where(text, rf"^\s*[+-]?\s*{unit}|{unit}\s*$")
    return pc.replace_substring_regex(held, rf"^([+-]?)\s*{unit}\s*|\s*{unit}$", r"\1")


def exact_limit(given: pa.DataType) -> int:
    """The whole number from which on floats of a width do not tell each from the next."""
    return int(2 ** EXACT_BITS[given.bit_width])


def is_rounded(whole: str) -> bool:
    """Whether a float may have been written as this whole number, and have stood for its neighbours too."""
    number = int(whole)
    if abs(number) < 2**53:
        return False
    nearest = float(number)
    return nearest == number or Decimal(repr(nearest)) == number


def find_rounded(text: pa.Array) -> np.ndarray:
    """(rows,) true where a text is a whole number that went through a float, as pandas writes one beside a gap."""
    rounded = pc.fill_null(pc.match_substring_regex(text, _FLOAT_TEXT), fill_value=False)
    found: np.ndarray = rounded.to_numpy(zero_copy_only=False).copy()
    for row in np.flatnonzero(found):
        found[row] = is_rounded(text[int(row)].as_py().strip().removesuffix(".0"))
    return found


def where(text: pa.Array, pattern: str) -> pa.Array:
    """Trimmed text where it fits a pattern, null elsewhere."""
    fits = pc.match_substring_regex(text, pattern)
    return pc.utf8_trim_whitespace(pc.if_else(fits, text, pa.scalar(None, pa.string())))
