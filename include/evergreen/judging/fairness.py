"""How champion and challenger treat the groups of a sensitive column: told, never judged."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from evergreen.config.gate_config import GateConfig
from evergreen.errors import needs_extra
from evergreen.losses import METRICS, Metric
from evergreen.records import FairnessReport, GroupReport

# From this probability on a row counts as selected.
_SELECTED = 0.5
Measure = Callable[[np.ndarray, np.ndarray], float]


def report_fairness(
    gate: GateConfig, target: np.ndarray, champion: np.ndarray, challenger: np.ndarray, rows: pd.DataFrame
) -> tuple[FairnessReport, ...]:
    """What each model does for each group of each sensitive column, and the largest gap between groups.

    The numbers by group are those of Fairlearn's MetricFrame (Weerts and others, Fairlearn: Assessing and Improving
    Fairness of AI Systems, Journal of Machine Learning Research 24, 2023): the metric and the mean residual; for
    classification the metric and the rates of selection, true positives and false positives.

    :param target: (n,) known outcomes; 0 or 1 for classification.
    :param champion: (n,) the champion's predictions, finite.
    :param challenger: (n,) the challenger's.
    :param rows: (n, columns) the rows, with the sensitive columns.
    :returns: one report a column. Groups with fewer than ``gate.min_rows`` rows are left out and counted.
    """
    return tuple(_report(column, gate, target, champion, challenger, rows) for column in gate.sensitive)


def _report(
    column: str,
    gate: GateConfig,
    target: np.ndarray,
    champion: np.ndarray,
    challenger: np.ndarray,
    rows: pd.DataFrame,
) -> FairnessReport:
    # Half a second that models without sensitive columns need not wait for.
    with needs_extra("fairness", "gate.sensitive"):
        from fairlearn.metrics import MetricFrame

    values = rows[column].astype("string").fillna("missing").to_numpy(dtype=object)
    named, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    large = counts >= gate.min_rows
    left_out = {"left_out_groups": int((~large).sum()), "left_out_rows": int(counts[~large].sum())}
    if not large.any():
        return FairnessReport(column=column, groups=(), champion_gap={}, challenger_gap={}, **left_out)
    kept = large[index]

    def measure(prediction: np.ndarray) -> Any:
        return MetricFrame(
            metrics=_measures(METRICS[gate.metric]),
            y_true=target[kept],
            y_pred=prediction[kept],
            sensitive_features=values[kept],
        )

    old, new = measure(champion), measure(challenger)
    groups = dict(zip(named[large], counts[large], strict=True))
    return FairnessReport(
        column=column,
        groups=tuple(_tell_group(str(name), int(count), old, new) for name, count in groups.items()),
        champion_gap=_numbers(old.difference(method="between_groups")),
        challenger_gap=_numbers(new.difference(method="between_groups")),
        **left_out,
    )


def _tell_group(name: str, rows: int, old: Any, new: Any) -> GroupReport:
    """What two frames of measures say of a group."""
    champion, challenger = (_numbers(frame.by_group.loc[name]) for frame in (old, new))
    return GroupReport(value=name, rows=rows, champion=champion, challenger=challenger)


def _measures(metric: Metric) -> dict[str, Measure]:
    """What is measured of each group, by name."""
    common: dict[str, Measure] = {metric.name: lambda true, predicted: metric.of(metric.row_losses(true, predicted))}
    if metric.task == "regression":
        return common | {"mean_residual": lambda true, predicted: float(np.mean(true - predicted))}
    return common | {
        "selection_rate": lambda true, predicted: _rate(predicted),
        "true_positive_rate": lambda true, predicted: _rate(predicted[true == 1]),
        "false_positive_rate": lambda true, predicted: _rate(predicted[true == 0]),
    }


def _rate(predicted: np.ndarray) -> float:
    """The share that is selected; Fairlearn's own rates say 0 where there is nobody to select."""
    return float(np.mean(predicted >= _SELECTED)) if len(predicted) else float("nan")


def _numbers(measured: "pd.Series[float]") -> dict[str, float]:
    """By name; what a group has no rows for is left out."""
    return {str(name): float(value) for name, value in measured.items() if np.isfinite(value)}
