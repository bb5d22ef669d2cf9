"""Two arms on live traffic by the gate's own rules: the metric, and the limits of slices and of calibration."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from evergreen.config.gate_config import GateConfig
from evergreen.features.answers import SLICE
from evergreen.judging.arms import ALPHA, compare_groups, compare_pairs
from evergreen.judging.calibration import calibration_terms
from evergreen.losses import METRICS
from evergreen.records import ArmLimit, Comparison


def compare_arms(
    gate: GateConfig, old: pd.DataFrame, new: pd.DataFrame
) -> tuple[Comparison | None, tuple[ArmLimit, ...]]:
    """Compare what two arms have answered, over all rows and by each limit that the gate declares.

    :param old: (n, target, prediction, decision, and a column a slice) of the champion.
    :param new: (m, the same) of the challenger; with the index of ``old`` where both have answered the same rows.
    :returns: the comparison, None where too little was seen; and the limits of which enough was.
    """
    metric = METRICS[gate.metric]
    losses = [metric.row_losses(arm["target"].to_numpy(), arm["prediction"].to_numpy()) for arm in (old, new)]
    compared = _compare(gate, old, new, losses[0], losses[1])
    found = [*_find_slices(gate, old, new, losses), *_find_calibration(gate, old, new)]
    limits = []
    for what, may_worsen, (old_rows, new_rows, old_losses, new_losses), scale in found:
        # All limits together may err as much as the comparison of all rows.
        seen = _compare(gate, old_rows, new_rows, old_losses, new_losses, ALPHA / len(found), scale)
        if seen is not None:
            limits.append(ArmLimit(what=what, comparison=seen, may_worsen=may_worsen))
    return compared, tuple(limits)


def _compare(
    gate: GateConfig,
    old: pd.DataFrame,
    new: pd.DataFrame,
    old_losses: np.ndarray,
    new_losses: np.ndarray,
    alpha: float = ALPHA,
    scale: float | None = None,
) -> Comparison | None:
    blocks, others, tuned = old["decision"].to_numpy(), new["decision"].to_numpy(), gate.min_rows
    if old.index.equals(new.index) and len(old):
        return compare_pairs(old_losses, new_losses, blocks, tuned, alpha, scale)
    return compare_groups(old_losses, blocks, new_losses, others, tuned, alpha, scale)


_Sides = tuple[pd.DataFrame, pd.DataFrame, np.ndarray, np.ndarray]
_Found = tuple[str, float, _Sides, float | None]


def _find_slices(gate: GateConfig, old: pd.DataFrame, new: pd.DataFrame, losses: list[np.ndarray]) -> Iterator[_Found]:
    """Each value of which both arms have answered enough rows."""
    for column, limit in sorted(gate.slices.items()):
        values, others = (arm[SLICE + column].astype(str).to_numpy() for arm in (old, new))
        for value in sorted({*values} & {*others}):
            own, other = values == value, others == value
            if min(own.sum(), other.sum()) >= limit.min_rows:
                sides = (old[own], new[other], losses[0][own], losses[1][other])
                yield f"slice {column}={value}", limit.may_worsen, sides, None


def _find_calibration(gate: GateConfig, old: pd.DataFrame, new: pd.DataFrame) -> Iterator[_Found]:
    """The calibration of both on equally many rows: of fewer it is larger by noise alone."""
    limit, metric = gate.calibration, METRICS[gate.metric]
    count, calibration = min(len(old), len(new)), metric.calibration
    if limit is None or count < limit.min_rows or np.ptp(old["prediction"].to_numpy()) == 0:
        return
    sides = [arm.iloc[np.linspace(0, len(arm) - 1, count).astype(int)] for arm in (old, new)]
    terms = [
        calibration_terms(calibration.bins, side["target"].to_numpy(), side["prediction"].to_numpy()) for side in sides
    ]
    target, predicted = sides[0]["target"].to_numpy(), sides[0]["prediction"].to_numpy()
    scale = (metric.of(metric.row_losses(target, predicted)) or 1.0) if calibration.is_relative else 1.0
    may_worsen = calibration.may_worsen if limit.may_worsen is None else limit.may_worsen
    yield f"calibration ({calibration.error})", may_worsen, (sides[0], sides[1], terms[0], terms[1]), scale
