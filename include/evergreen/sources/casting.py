"""Text to declared types. What does not cast is told apart row by row; what has another type altogether is refused."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from evergreen.config.fields import ColumnType
from evergreen.sources.number_text import EXACT_BITS, exact_limit, find_rounded, to_plain, where, write_number
from evergreen.storage.columns import arrow_type

_NUMBER = r"^\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*$"
_INTEGER = r"^\s*[+-]?\d+(\.0*)?\s*$"
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_ROUNDED = "{} that is read exactly: from 2^{} on {} stands for its neighbours too; write ids as integers or text"
# Microseconds of the years 1 to 9999, beyond which Python has no dates; and how many a unit of a file has.
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999
_MICROSECONDS = {"s": 1_000_000, "ms": 1_000, "us": 1}


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
        if 2 * len(flat.dictionary) < len(flat):
            return _spread(cast_column(flat.dictionary, declared, nulls), flat)
        flat = flat.dictionary_decode()
    if pa.types.is_large_string(flat.type) or pa.types.is_string_view(flat.type):
        flat = flat.cast(pa.string())
    if not pa.types.is_string(flat.type):
        try:
            return _cast_typed(flat, declared)
        except pa.ArrowException as error:
            raise TypeError(f"the file states {flat.type}, with values beyond {declared.type}: {error}") from error
    missing = pc.or_kleene(pc.is_null(flat), pc.is_in(flat, value_set=pa.array(nulls, pa.string())))
    text = pc.if_else(missing, pa.scalar(None, pa.string()), flat)
    plain = to_plain(text, declared) if declared.writes_numbers else text
    cast, expected = _cast_text(plain, declared)
    if declared.writes_numbers:
        expected += f" written as {write_number('1234567.5', declared)}"
    if declared.type in ("integer", "string", "category"):
        rounded = find_rounded(plain)
        if rounded.any():
            cast, expected = _without(cast, pa.array(rounded)), _ROUNDED.format(expected, 53, "a float (.0)")
    failed = pc.and_(pc.is_valid(text), pc.is_null(cast)).to_numpy(zero_copy_only=False)
    return CastColumn(cast, failed, expected)


def _spread(different: CastColumn, coded: pa.DictionaryArray) -> CastColumn:
    """A column whose different values were cast."""
    failed = pc.fill_null(pc.take(pa.array(different.failed), coded.indices), fill_value=False)
    values = pc.take(different.values, coded.indices)
    return CastColumn(values, failed.to_numpy(zero_copy_only=False), different.expected)


def _cast_text(text: pa.Array, declared: ColumnType) -> tuple[pa.Array, str]:
    match declared.type:
        case "string" | "category":
            return text, "text"
        case "float":
            cast = where(text, _NUMBER).cast(pa.float64())
            return _finite(cast), "a finite number"
        case "integer":
            whole = pc.replace_substring_regex(where(text, _INTEGER), r"^\+|\.0*$", "")
            return _within(whole), f"a whole number from {_SMALLEST} to {_LARGEST}"
        case "boolean":
            lower = pc.utf8_lower(pc.utf8_trim_whitespace(text))
            valid = f"{' or '.join(declared.yes)}, {' or '.join(declared.no)}" if declared.yes and declared.no else ""
            truths = declared.truths
            return pa.array([truths.get(v) for v in lower.to_pylist()], pa.bool_()), valid or "true or false"
        case _ if declared.epoch:
            return _since_1970(where(text, _NUMBER).cast(pa.float64()), declared)
        case _:
            form = declared.format or "ISO8601"
            # pandas reads "now" and "today" as the moment of reading.
            dated = pc.if_else(pc.match_substring_regex(text, r"\d"), text, pa.scalar(None, pa.string()))
            moments = pd.to_datetime(dated.to_pandas(), format=form, errors="coerce", utc=True)
            stamps = pa.array(moments, pa.timestamp("us", tz="UTC"), from_pandas=True)
            return stamps.cast(
                arrow_type(declared), safe=False
            ), f"a {declared.type} written as {form}, from 1678 to 2261"


def _cast_typed(values: pa.Array, declared: ColumnType) -> CastColumn:
    given = values.type
    if pa.types.is_null(given):
        return CastColumn(pa.nulls(len(values), arrow_type(declared)), np.zeros(len(values), dtype=bool), "")
    if pa.types.is_float16(given):
        values = values.cast(pa.float32())
    if pa.types.is_floating(given):
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    match declared.type:
        case "float" | "integer" | "string" | "category" if _is_number(given):
            cast, expected = _cast_number(values, declared, given)
        case "boolean" if declared.yes and (_is_number(given) or pa.types.is_boolean(given)):
            # A number is told by its text; 2.0 by that of 2.
            texts = values.cast(pa.string()) if pa.types.is_boolean(given) else _number_text(values)
            cast, expected = _cast_text(texts, declared)
        case "boolean" if pa.types.is_boolean(given):
            cast, expected = values, ""
        case "timestamp" | "date" if declared.epoch and _is_number(given):
            cast, expected = _since_1970(values.cast(pa.float64(), safe=False), declared)
        case "timestamp" | "date" if pa.types.is_timestamp(given) or pa.types.is_date(given):
            cast, expected = _cast_moment(values, declared), f"a {declared.type} of the years 1 to 9999"
        case _:
            raise TypeError(f"the file states {given}; expected {declared.type}")
    failed = pc.and_(pc.is_valid(values), pc.is_null(cast)).to_numpy(zero_copy_only=False)
    return CastColumn(cast, failed, expected)


def _is_number(given: pa.DataType) -> bool:
    return bool(pa.types.is_integer(given) or pa.types.is_floating(given) or pa.types.is_decimal(given))


def _cast_number(values: pa.Array, declared: ColumnType, given: pa.DataType) -> tuple[pa.Array, str]:
    """Numbers as the declared type.

    :param given: the type that the file states, of which halves are read as singles.
    """
    if declared.type == "float":
        # The nearest float, as a text of the same digits would give.
        return _finite(values.cast(pa.float64(), safe=False)), "a finite number"
    expected = f"a whole number from {_SMALLEST} to {_LARGEST}"
    if pa.types.is_integer(given):
        if declared.type in ("string", "category"):
            return values.cast(pa.string()), "text"
        beyond = pc.greater(values, pa.scalar(_LARGEST, given)) if pa.types.is_uint64(given) else None
        return (values if beyond is None else _without(values, beyond)).cast(pa.int64()), expected
    odd = pc.not_equal(pc.floor(values), values)
    if declared.type in ("string", "category") and pc.any(odd).as_py():
        raise TypeError(f"the file states {given} with fractions; expected {declared.type}")
    numbers = values.cast(pa.float64(), safe=False)
    # 2^63 as a float is the first one beyond; -2^63 is held exactly.
    beyond = pc.or_(pc.less(numbers, float(_SMALLEST)), pc.greater_equal(numbers, 2.0**63))
    if pa.types.is_floating(given):
        beyond = pc.greater_equal(pc.abs(numbers), float(exact_limit(given)))
        expected = _ROUNDED.format("a whole number", EXACT_BITS[given.bit_width], given)
    whole = _without(values, pc.or_(odd, beyond)).cast(pa.int64())
    return (whole, expected) if declared.type == "integer" else (whole.cast(pa.string()), expected)


def _number_text(values: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(values.cast(pa.string()), r"\.0*$", "")


def _cast_moment(values: pa.Array, declared: ColumnType) -> pa.Array:
    """Moments in UTC. What Arrow would wrap around to another date is none."""
    given = values.type
    if pa.types.is_date(given):
        values = values.cast(pa.timestamp("s") if pa.types.is_date32(given) else pa.timestamp("ms"))
    unit, zone = values.type.unit, getattr(values.type, "tz", None)
    if unit in _MICROSECONDS:
        stored, each = values.cast(pa.int64()), _MICROSECONDS[unit]
        beyond = pc.or_(pc.less(stored, -(-_FIRST // each)), pc.greater(stored, _LAST // each))
        values = _without(values, beyond)
    stamps = values.cast(pa.timestamp("us", tz=zone), safe=False)
    utc = stamps.cast(pa.timestamp("us", tz="UTC")) if zone else pc.assume_timezone(stamps, "UTC")
    return utc.cast(arrow_type(declared), safe=False)


def _since_1970(counts: pa.Array, declared: ColumnType) -> tuple[pa.Array, str]:
    """Moments from counts of the format's unit; null beyond the years 1 to 9999."""
    stamps = pc.round(pc.multiply(counts, float(declared.epoch or 1)))
    inside = pc.and_(pc.greater_equal(stamps, float(_FIRST)), pc.less_equal(stamps, float(_LAST)))
    moments = _without(stamps, pc.invert(inside)).cast(pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    expected = f"a {declared.type} as a count since 1970, written as {declared.format}"
    return moments.cast(arrow_type(declared), safe=False), expected


def _within(whole: pa.Array) -> pa.Array:
    """Texts of whole numbers as integers; null where they have no room in 64 bits."""
    try:
        return whole.cast(pa.int64())
    except pa.ArrowInvalid:
        # Python refuses to read thousands of digits; beyond nineteen none has room anyway.
        texts = [text if text is not None and len(text.lstrip("-0")) <= 19 else None for text in whole.to_pylist()]
        numbers = [int(text) if text is not None else None for text in texts]
        return pa.array([n if n is not None and _SMALLEST <= n <= _LARGEST else None for n in numbers], pa.int64())


def _without(values: pa.Array, beyond: pa.Array) -> pa.Array:
    return pc.if_else(beyond, pa.scalar(None, values.type), values)


def _finite(values: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_finite(values), values, pa.scalar(None, pa.float64()))
