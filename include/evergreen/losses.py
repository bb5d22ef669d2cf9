"""Metrics: the loss of a row, and all that follows from which loss it is."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from evergreen.config.gate_config import MetricName, Task

_SMALLEST = 1e-15


@dataclass(frozen=True)
class Calibration:
    """How far predictions lie from what came, on average.

    :param error: what its error is called.
    :param bins: of equally many predictions.
    :param is_relative: whether its growth is told in shares of the champion's metric; else in points of probability.
    :param may_worsen: how much it may grow where config.yaml does not say: on fitted models that refused next to no
        sound improvement, and nearly every gross distortion.
    """

    error: str
    bins: int
    is_relative: bool
    may_worsen: float


_OF_TASK: dict[Task, Calibration] = {
    "regression": Calibration("mean residual", 1, True, 0.15),
    "classification": Calibration("expected calibration error", 10, False, 0.02),
}


@dataclass(frozen=True)
class Metric:
    """A metric: the mean of a row's loss, or its root.

    :param name: as config.yaml says it.
    :param task: of the models that it judges.
    :param loss: of a row.
    :param constant: which statistic of the outcomes has the smallest loss.
    :param is_root: whether it is the root of the mean loss.
    """

    name: MetricName
    task: Task
    loss: Literal["absolute", "squared", "logarithmic"]
    constant: Literal["median", "mean", "share"]
    is_root: bool = False

    @property
    def calibration(self) -> Calibration:
        """How its predictions are calibrated."""
        return _OF_TASK[self.task]

    def row_losses(self, target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        """The loss of each row.

        :param target: (n,) known outcomes; 0 or 1 for classification.
        :param prediction: (n,) expected target, or probability of 1.
        :returns: (n,) absolute error, squared error, or negative log likelihood in nats.
        """
        target, prediction = target.astype(float), prediction.astype(float)
        losses: np.ndarray
        match self.loss:
            case "absolute":
                losses = np.abs(target - prediction)
            case "squared":
                losses = (target - prediction) ** 2
            case "logarithmic":
                sure = np.clip(prediction, _SMALLEST, 1 - _SMALLEST)
                losses = -(target * np.log(sure) + (1 - target) * np.log(1 - sure))
        return losses

    def of(self, losses: np.ndarray) -> float:
        """The metric over rows with these losses; NaN where there are none."""
        return self.of_mean(float(np.mean(losses))) if len(losses) else float("nan")

    def of_mean(self, loss: float) -> float:
        """The metric where the mean loss is this."""
        return float(np.sqrt(loss)) if self.is_root else loss

    def best_constant(self, target: np.ndarray, waiting: int = 0) -> float:
        """The constant with the smallest loss on known outcomes.

        Of a share that is the middle of what it may be once all outcomes are known (the bounds of Manski, Nonparametric
        Bounds on Treatment Effects, American Economic Review 80, 1990), after one outcome more of each kind: what has
        not been seen yet may come (Laplace's rule of succession).

        :param target: (n,) known outcomes.
        :param waiting: rows of the same batches whose outcome is not known yet.
        """
        match self.constant:
            case "median":
                return float(np.median(target))
            case "mean":
                return float(np.mean(target))
            case "share":
                return (float(np.sum(target)) + 1 + waiting / 2) / (len(target) + 2 + waiting)


METRICS: dict[MetricName, Metric] = {
    one.name: one
    for one in (
        Metric("mae", "regression", "absolute", "median"),
        Metric("rmse", "regression", "squared", "mean", is_root=True),
        Metric("logloss", "classification", "logarithmic", "share"),
        Metric("brier", "classification", "squared", "share"),
    )
}
