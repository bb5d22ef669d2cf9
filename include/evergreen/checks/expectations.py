"""What must hold of a batch, asked of Great Expectations."""

import difflib
import functools
import json
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

import great_expectations as gx
import numpy as np
import pandas as pd
from great_expectations.exceptions.exceptions import ExpectationNotFoundError
from great_expectations.expectations import core
from great_expectations.expectations.expectation import (
    ColumnMapExpectation,
    ColumnPairMapExpectation,
    Expectation,
    MulticolumnMapExpectation,
)
from great_expectations.expectations.metadata_types import FailureSeverity
from great_expectations.expectations.registry import get_expectation_impl
from pydantic.v1 import ValidationError as ArgumentError

from evergreen.checks.results import BETWEEN, Result, find_out_of_range, find_way_in, merge_results
from evergreen.config.expectations_config import ExpectationConfig
from evergreen.errors import ConfigInvalid

_ROW_LEVEL = (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation)


# Fields of an expectation that are no arguments of a check.
_OWN_FIELDS = ("id", "meta", "notes", "rendered_content", "batch_id", "windows", "catch_exceptions", "result_format")

_SUITES: dict[tuple[str, Path], tuple[list[Expectation], gx.ExpectationSuite]] = {}


@dataclass(frozen=True)
class Failure:
    """An expectation that did not hold.

    :param expectation: its type and arguments, as text.
    :param column: the column it is about, None for the table.
    :param severity: ``info``, ``warning`` (rows to quarantine) or ``critical`` (batch rejected).
    :param found: what was found.
    :param rows: (failing rows,) positions in the batch; empty where it is about the batch as a whole.
    """

    expectation: str
    column: str | None
    severity: str
    found: str
    rows: np.ndarray


def check_expectations(
    frames: Iterable[pd.DataFrame], expected: tuple[ExpectationConfig, ...], path: Path
) -> list[Failure]:
    """Check rows.

    :param frames: (rows, columns) in declared types, with a plain 0..n-1 index; several only where each row is told by
        itself. The rows of a failure count through all of them.
    :param expected: the expectations.
    :param path: expectations.yaml, for messages.
    :raises ConfigInvalid: if an expectation is unknown, or cannot be asked of these columns.
    """
    built, _ = _build_suite(expected, path)
    found: dict[int, list[Result]] = {}
    start = 0
    for frame in frames:
        for position, result in _ask(frame, start, expected, path):
            found.setdefault(position, []).append(result)
        start += len(frame)
    merged = {
        position: merge_results(results, getattr(built[position], "mostly", 1)) for position, results in found.items()
    }
    failures = [
        _describe(expected[position], built[position], result, path)
        for position, (success, result) in merged.items()
        if not success
    ]
    return in_order(failures, expected)


def in_order(failures: list[Failure], expected: tuple[ExpectationConfig, ...]) -> list[Failure]:
    """Failures by their text; of equal ones first what is about the column that is named first, as the library has it.

    :param expected: all that may be asked, of which some have failed.
    """
    columns = [None if (name := one.arguments.get("column")) is None else str(name) for one in expected]
    return sorted(failures, key=lambda failure: (failure.expectation, columns.index(failure.column)))


def _ask(
    frame: pd.DataFrame, start: int, expected: tuple[ExpectationConfig, ...], path: Path
) -> Iterator[tuple[int, Result]]:
    """What the library says of a frame, by the place of the expectation.

    :param start: the rows before those of the frame.
    """
    asked = list[int]()
    for position, one in enumerate(expected):
        own = find_out_of_range(frame, start, one.arguments) if one.type == BETWEEN else None
        if own is None:
            asked.append(position)
        else:
            yield position, own
    if not asked:
        return
    _, suite = _build_suite(tuple(expected[position] for position in asked), path)
    for outcome in _whole_frame().get_batch({"dataframe": frame}).validate(suite, result_format="COMPLETE").results:
        # Results come back in another order than asked; the position travels in meta.
        position = asked[outcome.expectation_config.meta["position"]]
        _raise_if_unresulted(outcome.exception_info, expected[position], path)
        yield position, Result(start, bool(outcome.success), outcome.result)


def find_holding(batch: pd.DataFrame, expected: tuple[ExpectationConfig, ...], path: Path) -> set[int]:
    """Which of the expectations hold of a batch, by their places; one that cannot be computed does not."""
    suite = _build_suite(expected, path)[1]
    result = _whole_frame().get_batch({"dataframe": batch}).validate(suite, result_format="BOOLEAN_ONLY")
    return {one.expectation_config.meta["position"] for one in result.results if one.success}


def require_known(expected: tuple[ExpectationConfig, ...], path: Path) -> None:
    """Refuse expectations of which one is unknown, or has arguments that it cannot have.

    :raises ConfigInvalid: naming it.
    """
    _build_suite(expected, path)


def _build_suite(expected: tuple[ExpectationConfig, ...], path: Path) -> tuple[list[Expectation], gx.ExpectationSuite]:
    """The expectations as Great Expectations has them; building them costs as much as asking them, so they are kept."""
    text = json.dumps([one.model_dump() for one in expected], default=str)
    if (text, path) not in _SUITES:
        built = [_build(i, one, path) for i, one in enumerate(expected)]
        _SUITES[text, path] = built, gx.ExpectationSuite(name="evergreen", expectations=built)
    return _SUITES[text, path]


def _build(position: int, asked: ExpectationConfig, path: Path) -> Expectation:
    try:
        kind = get_expectation_impl(asked.type)
        bounds = {n: _as_moment(asked.arguments[n]) for n in ("min_value", "max_value") if n in asked.arguments}
        arguments = asked.arguments | bounds
        return kind(**arguments, severity=FailureSeverity(_severity(asked, kind)), meta={"position": position})
    except ExpectationNotFoundError:
        close = difflib.get_close_matches(asked.type, _known(), n=1)
        problem = f"{asked.type}: unknown expectation; valid: {close[0] if close else 'a Great Expectations type'}"
        raise ConfigInvalid(str(path), [problem]) from None
    except ArgumentError as error:
        raise ConfigInvalid(str(path), _describe_arguments(asked, kind, error)) from error
    except (TypeError, ValueError) as error:
        raise ConfigInvalid(str(path), [f"{asked.type}: {' '.join(str(error).split())}"]) from error


def _as_moment(value: Any) -> Any:
    """A bound that is a date, as the midnight that date and timestamp columns are compared with."""
    try:
        text = value if isinstance(value, str) else value.isoformat() if isinstance(value, date) else ""
        return datetime.strptime(text, "%Y-%m-%d")
    except ValueError:
        return value


def _describe_arguments(asked: ExpectationConfig, kind: type[Expectation], error: ArgumentError) -> list[str]:
    """One line an argument that is wrong; Great Expectations names each form that it might have had."""
    told: dict[str, str] = {}
    valid = [name for name in kind.__fields__ if name not in _OWN_FIELDS]
    for mistake in error.errors():
        name = str(mistake["loc"][0])
        if mistake["type"] == "value_error.extra":
            close = difflib.get_close_matches(name, valid, n=1)
            problem = f"unknown argument; {f'did you mean {close[0]}?' if close else 'valid: ' + ', '.join(valid)}"
        elif mistake["type"] == "value_error.missing":
            problem = "missing; this argument is needed"
        elif name == "__root__":
            name, problem = "arguments", f"found {asked.arguments}; {mistake['msg']}"
        else:
            problem = f"found {asked.arguments.get(name)!r}; {mistake['msg']}"
        told[name] = f"{told[name]}, or {mistake['msg']}" if name in told else f"{asked.type}.{name}: {problem}"
    return list(told.values())


def _severity(asked: ExpectationConfig, kind: type[Expectation]) -> str:
    """Great Expectations' own default is critical; ours is a warning for rows, critical for the batch."""
    return asked.severity or ("warning" if issubclass(kind, _ROW_LEVEL) else "critical")


def _describe(asked: ExpectationConfig, expectation: Expectation, result: dict[str, Any], path: Path) -> Failure:
    rows = np.array([], dtype=np.int64)
    if isinstance(expectation, _ROW_LEVEL):
        rows = np.array(sorted(set(result.get("unexpected_index_list") or [])), dtype=np.int64)
        values = [str(value) for value in result.get("partial_unexpected_list", [])[:3] if not _is_missing(value)]
        found = f"{len(rows)} rows, such as {', '.join(values)}" if values else f"{len(rows)} rows"
    else:
        found = f"observed {result.get('observed_value')}"
        if result.get("details"):
            found += f" ({result['details']})"
    severity = _severity(asked, type(expectation))
    if severity == "critical":
        way_in = find_way_in(asked.arguments, result)
        found += f"; if this is right, say so in {path.name}: {way_in}severity: info to note it only"
    limits = ", ".join(f"{name} {value}" for name, value in asked.arguments.items() if name != "column")
    column = asked.arguments.get("column")
    return Failure(
        expectation=f"{asked.type}({limits})",
        column=str(column) if column is not None else None,
        severity=severity,
        found=found,
        rows=rows,
    )


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or value != value


def _raise_if_unresulted(information: dict[str, Any], asked: ExpectationConfig, path: Path) -> None:
    """An expectation that could not be computed is no failure of the data: its settings do not fit the columns."""
    outcomes = [information] if "raised_exception" in information else list(information.values())
    for outcome in outcomes:
        if outcome.get("raised_exception"):
            message = " ".join(str(outcome["exception_message"]).split())
            raise ConfigInvalid(str(path), [f"{asked.type} {asked.arguments}: cannot be computed: {message}"])


def _known() -> list[str]:
    return [kind.expectation_type for kind in vars(core).values() if hasattr(kind, "expectation_type")]


@functools.cache
def _whole_frame() -> Any:
    # It tells of a folder for documentation that nobody asked for.
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.ERROR)
    context = gx.get_context(mode="ephemeral")
    quiet: Any = {"globally": False, "metric_calculations": False}
    context.variables.progress_bars = quiet
    frames = context.data_sources.add_pandas("evergreen")
    return frames.add_dataframe_asset("batch").add_batch_definition_whole_dataframe("whole")
