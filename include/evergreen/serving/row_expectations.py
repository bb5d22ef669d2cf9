"""Expectations of single rows, asked without Great Expectations, which takes a tenth of a second to be asked of one.

What is left out needs a batch: expectations of it as a whole, and those of which only a share must hold (``mostly``).
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from evergreen.config.expectations_config import ExpectationConfig

Holds = Callable[[Any], bool]


@dataclass(frozen=True)
class RowRule:
    """An expectation of one column's values.

    :param column: the column.
    :param holds: whether it holds of a value; like Great Expectations it asks nothing of nulls.
    :param valid: what is expected, as text.
    """

    column: str
    holds: Holds
    valid: str


def compile_rules(expected: Iterable[ExpectationConfig]) -> tuple[tuple[RowRule, ...], tuple[str, ...]]:
    """The expectations that can be asked of one row, and the names of the others.

    :param expected: what expectations.yaml says of rows; what is only noted of a batch is asked of no row.
    """
    rules, others = [], []
    for one in expected:
        if one.severity == "info":
            continue
        compiled = _compile(one)
        if compiled is None:
            others.append(one.type)
        else:
            rules.append(RowRule(str(one.arguments["column"]), *compiled))
    return tuple(rules), tuple(dict.fromkeys(others))


def _compile(one: ExpectationConfig) -> tuple[Holds, str] | None:
    arguments = dict(one.arguments)
    make = _RULES.get(one.type)
    if make is None or arguments.pop("mostly", 1) != 1 or "column" not in arguments:
        return None
    del arguments["column"]
    try:
        return make(**arguments)
    except (TypeError, ValueError, re.error):
        # An argument that is not known here, such as row_condition.
        return None


def _between(
    min_value: Any = None, max_value: Any = None, strict_min: bool = False, strict_max: bool = False
) -> tuple[Holds, str] | None:
    low, high = _bound(min_value), _bound(max_value)

    def holds(value: Any) -> bool:
        if value is None:
            return True
        value = _bound(value)
        above = low is None or (value > low if strict_min else value >= low)
        return above and (high is None or (value < high if strict_max else value <= high))

    parts = [f"{'above' if strict_min else 'at least'} {min_value}"] if low is not None else []
    parts += [f"{'below' if strict_max else 'at most'} {max_value}"] if high is not None else []
    return holds, " and ".join(parts)


def _in_set(value_set: Iterable[Any] = ()) -> tuple[Holds, str]:
    values = list(value_set)
    return lambda value: value is None or value in values, f"one of {', '.join(map(str, values))}"


def _not_in_set(value_set: Iterable[Any] = ()) -> tuple[Holds, str]:
    values = list(value_set)
    return lambda value: value is None or value not in values, f"none of {', '.join(map(str, values))}"


def _not_null() -> tuple[Holds, str]:
    return lambda value: value is not None, "a value, not null"


def _match(regex: str) -> tuple[Holds, str]:
    pattern = re.compile(regex)
    return lambda value: value is None or pattern.search(str(value)) is not None, f"text that matches {regex}"


def _bound(value: Any) -> Any:
    """A moment as stored rows have it, in UTC without a zone; a number as it is."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).replace(tzinfo=None)
    return datetime(value.year, value.month, value.day) if isinstance(value, date) else value


_RULES: dict[str, Callable[..., tuple[Holds, str] | None]] = {
    "expect_column_values_to_be_between": _between,
    "expect_column_values_to_be_in_set": _in_set,
    "expect_column_values_to_not_be_in_set": _not_in_set,
    "expect_column_values_to_not_be_null": _not_null,
    "expect_column_values_to_match_regex": _match,
}
