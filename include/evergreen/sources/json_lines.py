"""JSON Lines: one object a line, its values as the text that the file writes, so that they are cast as those of CSV.

Read line by line rather than in blocks: a reader that infers a type for a block refuses a column in which one line has
a number and another a text, rounds whole numbers beyond 2^53 beside a fraction, and takes the last of two equal keys.
"""

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from evergreen.config.limits_config import DEFAULT_LIMITS, LimitsConfig, megabytes
from evergreen.errors import FileUnreadable
from evergreen.sources.number_text import is_rounded
from evergreen.sources.tables import ParsedFile, TornRow, count_lines

# An exponent beyond it is written out for no column: 1e300 stays as it is.
_LONGEST_WHOLE = 40
# Lines whose objects are in memory at once; they take many times what is made of them.
_BLOCK = 65_536


class Number(str):
    """A number as the file writes it."""


class _Object(dict[str, Any]):
    """An object, and the keys that it names twice."""

    twice: frozenset[str] = frozenset()


def parse_json_lines(
    name: str,
    text: str,
    plain: Collection[str] | None = None,
    decimals: Mapping[str, str] = MappingProxyType({}),
    limits: LimitsConfig = DEFAULT_LIMITS,
) -> ParsedFile:
    """Read JSON Lines. A line that is no object of single values is torn; the rest of the file goes on.

    Numbers are kept as written, but for whole ones (``3.0``, ``1e3``), which become whole numbers: an integer column
    reads them, and a category is the same beside a null as without one. A key that a line lacks is a null there.

    :param text: the file; odd bytes as surrogates, which tear their line.
    :param plain: columns that must hold single values; None for all. In others, objects and lists read as null.
    :param decimals: what stands before the fraction of a number in the texts of a column, where that is no point.
    :returns: numbered by line, with each row's own text.
    :raises FileRefused: if it holds more than its limits allow.
    :raises FileUnreadable: if no line can be read.
    """
    limits.require_table(name, count_lines(text), 1)
    tables, rows = [pa.table({})], list[dict[str, str | None]]()
    names: dict[str, None] = {}
    numbers, texts, torn = [], [], []
    # A line break never stands inside a JSON text; other separators, such as U+2028, may.
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text.removeprefix("\ufeff")), start=1):
        if not line.strip():
            continue
        limits.require("line_mb", len(line), name, f"has a line {number} of {megabytes(len(line))} MB")
        try:
            rows.append(_read_line(line, plain, decimals))
        except (ValueError, RecursionError) as error:
            torn.append(TornRow(number, line.encode(errors="backslashreplace").decode(), _describe(error)))
        else:
            numbers.append(number)
            texts.append(line)
            names.update(dict.fromkeys(rows[-1]))
            limits.require_table(name, len(numbers), len(names))
        if len(rows) == _BLOCK:
            tables.append(_as_table(rows))
            rows = []
    cut = bool(torn) and torn[-1].number > (numbers[-1] if numbers else 0) and not text.endswith(("\n", "\r", "}"))
    if cut and numbers:
        problem = f"its last line {torn[-1].problem}, and has no line end; the file may be cut, deliver it again"
        raise FileUnreadable(name, torn[-1].number, problem)
    if not numbers:
        first = f"; line {torn[0].number} {torn[0].problem}" if torn else ""
        found = "has no line that can be read" if torn else "is empty"
        raise FileUnreadable(name, None, f"{found}{first}; expected JSON Lines: one object a line")
    # A key that a block of lines lacks is a null there.
    whole = pa.concat_tables([*tables, _as_table(rows)], promote_options="default").select(list(names))
    return ParsedFile(name, whole, np.array(numbers, dtype=np.int64), tuple(torn), tuple(texts))


def _as_table(rows: list[dict[str, str | None]]) -> pa.Table:
    names = dict.fromkeys(column for row in rows for column in row)
    return pa.table({column: pa.array([row.get(column) for row in rows], pa.string()) for column in names})


def load_json(text: str | bytes) -> Any:
    """Read JSON; its numbers stay as they are written, for ``as_text``.

    :raises ValueError: if it is no JSON.
    """
    return json.loads(
        text, object_pairs_hook=_read_object, parse_int=Number, parse_float=Number, parse_constant=_refuse_constant
    )


def as_text(value: Any, decimal: str = ".") -> str | None:
    """A value that ``load_json`` has read, as the text that a column is cast from; None for null, list and object.

    :param decimal: what stands before the fraction of a number in the texts of the column.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Number):
        return (_whole(value) or str(value)).replace(".", decimal)
    return value if isinstance(value, str) else None


def _read_line(line: str, plain: Collection[str] | None, decimals: Mapping[str, str]) -> dict[str, str | None]:
    read = load_json(line)
    if not isinstance(read, _Object):
        kind = "a list" if isinstance(read, list) else "a single value"
        raise ValueError(f"is {kind}; expected an object")
    double = sorted(read.twice if plain is None else read.twice.intersection(plain))
    if double:
        raise ValueError(f"names {double[0]!r} twice; expected each column once")
    odd = re.search("[\ud800-\udfff]", line + "".join(v for v in read.values() if isinstance(v, str)) + "".join(read))
    if odd is not None:
        raise ValueError(f"holds {odd[0]!a}, which is no character; expected text in the declared encoding")
    row = {
        column: as_text(value, decimals.get(column, ".")) for column, value in read.items() if column not in read.twice
    }
    nested = [column for column, value in read.items() if isinstance(value, dict | list)]
    refused = [column for column in nested if plain is None or column in plain]
    if refused:
        kind = "a list" if isinstance(read[refused[0]], list) else "an object"
        raise ValueError(f"holds {kind} in column {refused[0]!r}; expected a single value")
    return row


def _read_object(pairs: list[tuple[str, Any]]) -> _Object:
    read = _Object(pairs)
    if len(read) < len(pairs):
        read.twice = frozenset(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
    return read


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"holds {constant}, which is no JSON; expected a number or null")


def _whole(number: str) -> str | None:
    """A whole number without fraction and exponent, but for one that a float may have rounded; None for any other."""
    if not any(sign in number for sign in ".eE"):
        return number
    exact = Decimal(number)
    if exact.adjusted() > _LONGEST_WHOLE or exact != exact.to_integral_value():
        return None
    whole = str(int(exact))
    return f"{whole}.0" if is_rounded(whole) else whole


def _describe(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"is no JSON at character {error.pos + 1}: {error.msg}; expected one whole object"
    return str(error) if isinstance(error, ValueError) else "is nested too deeply; expected one object"
