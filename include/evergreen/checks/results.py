"""What comes of asking an expectation of rows: by Great Expectations, by its own arithmetic, and piece by piece."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

BETWEEN = "expect_column_values_to_be_between"
_LIMITS = {"min_value": -np.inf, "max_value": np.inf}
# As many of the values that fail are told.
_TOLD = 20


class Result(NamedTuple):
    """What is said of an expectation by some of the rows.

    :param start: the rows before them.
    :param success: whether it holds of them.
    :param result: the library's own, in the format COMPLETE.
    """

    start: int
    success: bool
    result: dict[str, Any]


def merge_results(parts: list[Result], mostly: float) -> tuple[bool, dict[str, Any]]:
    """What the library would have said of all rows at once, from what it said of some each time."""
    results = [part.result for part in parts]
    if len(results) == 1:
        return parts[0].success, results[0]
    unexpected = sum(result["unexpected_count"] for result in results)
    # Of an expectation about missing values none is left out.
    considered = sum(result["element_count"] - (result.get("missing_count") or 0) for result in results)
    share = unexpected / considered if considered else 0.0
    merged = {
        "unexpected_percent": share * 100 if considered else None,
        "partial_unexpected_list": [one for result in results for one in result.get("partial_unexpected_list", [])],
        "unexpected_index_list": [
            start + row for start, _, result in parts for row in result.get("unexpected_index_list") or []
        ],
    }
    # As the library reckons: 1 - share may be another float.
    return not considered or (considered - unexpected) / considered >= mostly, merged


def find_out_of_range(frame: pd.DataFrame, start: int, arguments: dict[str, Any]) -> Result | None:
    """Whether the numbers of a column are between limits, as the library says it.

    Most of what fails is a number out of its range, and being asked costs the library longer than some 100,000 rows.

    :param frame: (rows, columns) with a plain 0..n-1 index.
    :param start: the rows before them.
    :param arguments: of the expectation.
    :returns: None where the library has to be asked: of anything but numbers, plain limits and ``mostly``.
    """
    column, mostly = frame.get(arguments.get("column")), arguments.get("mostly", 1)
    given = [arguments[name] for name in _LIMITS if arguments.get(name) is not None]
    if not {*arguments} <= {"column", "mostly", *_LIMITS} or not given or column is None:
        return None
    if column.dtype not in (np.int64, np.float64) or not all(map(_is_number, (*given, mostly))):
        return None
    # Floats, as the library has them.
    low, high = (float(arguments[name]) if arguments.get(name) is not None else end for name, end in _LIMITS.items())
    if low > high:
        return None
    known = column.notna()
    outside = known & ~((column >= low) & (column <= high))
    rows, considered = np.flatnonzero(outside), int(known.sum())
    result = {
        "element_count": len(column),
        "missing_count": len(column) - considered,
        "unexpected_count": len(rows),
        "unexpected_percent": len(rows) / considered * 100 if considered else None,
        "unexpected_index_list": rows.tolist(),
        "partial_unexpected_list": column.iloc[rows[:_TOLD]].tolist(),
    }
    return Result(start, not considered or (considered - len(rows)) / considered >= mostly, result)


def find_way_in(limits: dict[str, Any], result: dict[str, Any]) -> str:
    """The limit that would have let a batch in, where it is one number; empty where it is not."""
    observed = result.get("observed_value")
    if isinstance(observed, int | float) and not isinstance(observed, bool):
        if isinstance(limits.get("max_value"), int | float) and observed > limits["max_value"]:
            return f"max_value: {observed:.6g} or more, or "
        if isinstance(limits.get("min_value"), int | float) and observed < limits["min_value"]:
            return f"min_value: {observed:.6g} or less, or "
    if "unexpected_percent" in result and result["unexpected_percent"] is not None:
        return f"mostly: {np.floor(100 - result['unexpected_percent']) / 100:.2f} or less, or "
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and float(value) == value
