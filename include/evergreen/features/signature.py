"""What MLflow's own users see of a packed model: which columns it takes, and a made-up row that it predicts for."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import AnyType

from evergreen.config.expectations_config import ExpectationsConfig
from evergreen.config.fields import ColumnType

# What stands in a column of which no expectation says more: text that is a number too, as codes often are.
_EXAMPLES = {
    "string": "1",
    "category": "1",
    "boolean": True,
    "timestamp": "2000-01-01 12:00:00",
    "date": "2000-01-01",
}
_BETWEEN = tuple(f"expect_column_{what}_to_be_between" for what in ("values", "median", "mean", "min", "max"))


def signature_of(columns: Mapping[str, ColumnType]) -> ModelSignature:
    """The signature: the declared columns of a row in, one prediction out.

    Columns are of any type: MLflow would refuse whole numbers for a float, which config.yaml takes. The packed model
    holds them against what is declared. None is required: a key that no feature uses need not be made up.
    """
    any_type = AnyType()  # type: ignore[no-untyped-call]
    inputs: list[ColSpec | TensorSpec] = [ColSpec(any_type, name, required=False) for name in columns]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema([ColSpec(DataType.double, "prediction")]))


def example_of(columns: Mapping[str, ColumnType], expectations: ExpectationsConfig) -> pd.DataFrame:
    """One made-up row within the ranges and values that are expected of rows: nobody's data."""
    return pd.DataFrame({name: [_example(name, column, expectations)] for name, column in columns.items()})


def _example(name: str, column: ColumnType, expectations: ExpectationsConfig) -> Any:
    about = [one for one in expectations.rows if one.arguments.get("column") == name]
    for one in about:
        if one.type == "expect_column_values_to_be_in_set" and one.arguments.get("value_set"):
            return next(iter(one.arguments["value_set"]))
    if column.type in ("float", "integer"):
        bounds = [one.arguments for one in about if one.type in _BETWEEN]
        return _number_between(column, bounds)
    return column.yes[0] if column.yes else _EXAMPLES[column.type]


def _number_between(column: ColumnType, bounds: list[dict[str, Any]]) -> float | int:
    """The middle of what all bounds leave, or near the only end."""
    lows = [float(one["min_value"]) for one in bounds if isinstance(one.get("min_value"), int | float)]
    highs = [float(one["max_value"]) for one in bounds if isinstance(one.get("max_value"), int | float)]
    low = max(lows) if lows else min(highs, default=2.0) - 2
    high = min(highs) if highs else low + 2
    middle = (low + high) / 2
    return math.floor(middle) if column.type == "integer" and math.floor(middle) >= low else middle
