"""Losses row by row, and the metrics that are their means."""

import numpy as np

from evergreen.config.contract import Metric

_SMALLEST = 1e-15


def row_losses(metric: Metric, target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """The loss of each row; a metric is their mean (of rmse its root).

    :param target: (n,) known outcomes; 0 or 1 for classification.
    :param prediction: (n,) expected target, or probability of 1.
    :returns: (n,) absolute error, squared error, or negative log likelihood in nats.
    """
    target, prediction = target.astype(float), prediction.astype(float)
    losses: np.ndarray
    match metric:
        case "mae":
            losses = np.abs(target - prediction)
        case "rmse" | "brier":
            losses = (target - prediction) ** 2
        case "logloss":
            sure = np.clip(prediction, _SMALLEST, 1 - _SMALLEST)
            losses = -(target * np.log(sure) + (1 - target) * np.log(1 - sure))
    return losses


def mean_metric(metric: Metric, losses: np.ndarray) -> float:
    """The metric over rows; NaN where there are none."""
    if not len(losses):
        return float("nan")
    mean = float(np.mean(losses))
    return float(np.sqrt(mean)) if metric == "rmse" else mean


def best_constant(metric: Metric, target: np.ndarray, waiting: int = 0) -> float:
    """The constant with the smallest loss on known outcomes.

    Of a share that is the middle of what it may be once all outcomes are known (the bounds of Manski, Nonparametric
    Bounds on Treatment Effects, American Economic Review 80, 1990), after one outcome more of each kind: what has not
    been seen yet may come (Laplace's rule of succession).

    :param target: (n,) known outcomes.
    :param waiting: rows of the same batches whose outcome is not known yet.
    """
    if metric in ("logloss", "brier"):
        return (float(np.sum(target)) + 1 + waiting / 2) / (len(target) + 2 + waiting)
    return float(np.median(target) if metric == "mae" else np.mean(target))
