"""Text to declared types. What does not cast is told apart row by row; what has another type altogether is refused."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from include.config.fields import ColumnType
from include.storage.columns import arrow_type

_NUMBER = r"^\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*$"
_INTEGER = r"^\s*[+-]?\d{1,18}(\.0*)?\s*$"
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True)
class CastColumn:
    """A column in its declared type.

    :param values: (rows,) null where the file has a null or a value that does not cast.
    :param failed: (rows,) true where a value is there and does not cast.
    :param expected: what was expected, for the reason.
    """

    values: pa.Array
    failed: np.ndarray
    expected: str


def cast_column(values: pa.ChunkedArray, declared: ColumnType, nulls: tuple[str, ...]) -> CastColumn:
    """Cast one column of a file.

    :param values: (rows,) text, or typed where the file states types.
    :param declared: the type of the contract.
    :param nulls: texts that stand for a missing value.
    :raises TypeError: if the file states a type from which the declared one cannot be read.
    """
    flat = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if pa.types.is_dictionary(flat.type):
        flat = flat.dictionary_decode()
    if pa.types.is_large_string(flat.type) or pa.types.is_string_view(flat.type):
        flat = flat.cast(pa.string())
    if not pa.types.is_string(flat.type):
        try:
            return _cast_typed(flat, declared)
        except pa.ArrowInvalid as error:
            raise TypeError(f"the file states {flat.type}, with values beyond {declared.type}: {error}") from error
    missing = pc.or_kleene(pc.is_null(flat), pc.is_in(flat, value_set=pa.array(nulls, pa.string())))
    text = pc.if_else(missing, pa.scalar(None, pa.string()), flat)
    cast, expected = _cast_text(text, declared)
    failed = pc.and_(pc.is_valid(text), pc.is_null(cast)).to_numpy(zero_copy_only=False)
    return CastColumn(cast, failed, expected)


def _cast_text(text: pa.Array, declared: ColumnType) -> tuple[pa.Array, str]:
    match declared.type:
        case "string" | "category":
            return text, "text"
        case "float":
            cast = _where(text, _NUMBER).cast(pa.float64())
            return _finite(cast), "a finite number"
        case "integer":
            whole = pc.replace_substring_regex(_where(text, _INTEGER), r"^\+|\.0*$", "")
            return whole.cast(pa.int64()), "a whole number of at most 18 digits"
        case "boolean":
            lower = pc.utf8_lower(pc.utf8_trim_whitespace(text))
            return pa.array([_BOOLEANS.get(v) for v in lower.to_pylist()], pa.bool_()), "true or false"
        case _:
            form = declared.format or "ISO8601"
            # pandas reads "now" and "today" as the moment of reading.
            dated = pc.if_else(pc.match_substring_regex(text, r"\d"), text, pa.scalar(None, pa.string()))
            moments = pd.to_datetime(dated.to_pandas(), format=form, errors="coerce", utc=True)
            stamps = pa.array(moments, pa.timestamp("us", tz="UTC"), from_pandas=True)
            return stamps.cast(arrow_type(declared), safe=False), f"a {declared.type} written as {form}"


def _cast_typed(values: pa.Array, declared: ColumnType) -> CastColumn:
    given = values.type
    none = np.zeros(len(values), dtype=bool)
    integral = pa.types.is_integer(given)
    floating = pa.types.is_floating(given)
    if pa.types.is_null(given):
        return CastColumn(pa.nulls(len(values), arrow_type(declared)), none, "")
    if floating:
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, given), values)
    match declared.type:
        case "float" if integral or floating:
            cast = _finite(values.cast(pa.float64()))
        case "integer" if integral:
            cast = values.cast(pa.int64())
        case "integer" if floating:
            whole = pc.equal(pc.floor(values), values)
            cast = pc.if_else(whole, values, pa.scalar(None, given)).cast(pa.int64())
        case "string" | "category" if integral:
            cast = values.cast(pa.string())
        case "string" | "category" if floating and pc.all(pc.equal(pc.floor(values), values)).as_py() is not False:
            cast = values.cast(pa.int64()).cast(pa.string())
        case "boolean" if pa.types.is_boolean(given):
            cast = values
        case "timestamp" | "date" if pa.types.is_timestamp(given) or pa.types.is_date(given):
            stamps = values.cast(pa.timestamp("us", tz=getattr(given, "tz", None)), safe=False)
            utc = stamps.cast(pa.timestamp("us", tz="UTC")) if stamps.type.tz else pc.assume_timezone(stamps, "UTC")
            cast = utc.cast(arrow_type(declared), safe=False)
        case _:
            raise TypeError(f"the file states {given}; expected {declared.type}")
    failed = pc.and_(pc.is_valid(values), pc.is_null(cast)).to_numpy(zero_copy_only=False)
    return CastColumn(cast, failed, f"a {declared.type}")


def _where(text: pa.Array, pattern: str) -> pa.Array:
    """Trimmed text where it fits a pattern, null elsewhere."""
    fits = pc.match_substring_regex(text, pattern)
    return pc.utf8_trim_whitespace(pc.if_else(fits, text, pa.scalar(None, pa.string())))


def _finite(values: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_finite(values), values, pa.scalar(None, pa.float64()))
