"""What must hold of a batch, asked of Great Expectations."""

import difflib
import functools
import json
import logging
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
# The library tries to import pyspark, which takes half a second. Where only Spark Connect's client is
# installed, that import ends a process that began with `python -c`, as a spawned worker does. Nothing
# here checks Spark's frames by the library.
_spark = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "pyspark"}
sys.modules["pyspark"] = None  # type: ignore[assignment]

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

from evergreen.config.expectations_config import ExpectationConfig
from evergreen.errors import ConfigInvalid

del sys.modules["pyspark"]
sys.modules.update(_spark)

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
    built, suite = _build_suite(expected, path)
    found: dict[int, list[tuple[int, Any]]] = {}
    start = 0
    for frame in frames:
        for outcome in _whole_frame().get_batch({"dataframe": frame}).validate(suite, result_format="COMPLETE").results:
            # Results come back in another order than asked; the position travels in meta.
            position = outcome.expectation_config.meta["position"]
            _raise_if_unanswered(outcome.exception_info, expected[position], path)
            found.setdefault(position, []).append((start, outcome))
        start += len(frame)
    merged = {position: _merge(built[position], outcomes) for position, outcomes in found.items()}
    failures = [
        _describe(expected[position], built[position], result, path)
        for position, (success, result) in merged.items()
        if not success
    ]
    return sorted(failures, key=lambda failure: failure.expectation)


def _merge(expectation: Expectation, outcomes: list[tuple[int, Any]]) -> tuple[bool, dict[str, Any]]:
    """What the library would have said of all rows at once, from what it said of some each time.

    :param outcomes: each with the rows before those that it is of.
    """
    results = [outcome.result for _, outcome in outcomes]
    if len(results) == 1:
        return bool(outcomes[0][1].success), results[0]
    unexpected = sum(result["unexpected_count"] for result in results)
    # Of an expectation about missing values none is left out.
    considered = sum(result["element_count"] - (result.get("missing_count") or 0) for result in results)
    share = unexpected / considered if considered else 0.0
    merged = {
        "unexpected_percent": share * 100 if considered else None,
        "partial_unexpected_list": [one for result in results for one in result.get("partial_unexpected_list", [])],
        "unexpected_index_list": [
            start + row for start, outcome in outcomes for row in outcome.result.get("unexpected_index_list") or []
        ],
    }
    # As the library reckons: 1 - share may be another float.
    return not considered or (considered - unexpected) / considered >= getattr(expectation, "mostly", 1), merged


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
        found += f"; if this is right, say so in {path.name}: {_way_in(asked, result)}severity: info to note it only"
    limits = ", ".join(f"{name} {value}" for name, value in asked.arguments.items() if name != "column")
    column = asked.arguments.get("column")
    return Failure(
        expectation=f"{asked.type}({limits})",
        column=str(column) if column is not None else None,
        severity=severity,
        found=found,
        rows=rows,
    )


def _way_in(asked: ExpectationConfig, result: dict[str, Any]) -> str:
    """The limit that would have let a batch in, where it is one number; empty where it is not."""
    observed, limits = result.get("observed_value"), asked.arguments
    if isinstance(observed, int | float) and not isinstance(observed, bool):
        if isinstance(limits.get("max_value"), int | float) and observed > limits["max_value"]:
            return f"max_value: {observed:.6g} or more, or "
        if isinstance(limits.get("min_value"), int | float) and observed < limits["min_value"]:
            return f"min_value: {observed:.6g} or less, or "
    if "unexpected_percent" in result and result["unexpected_percent"] is not None:
        return f"mostly: {np.floor(100 - result['unexpected_percent']) / 100:.2f} or less, or "
    return ""


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or value != value


def _raise_if_unanswered(information: dict[str, Any], asked: ExpectationConfig, path: Path) -> None:
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
