"""The gate: a challenger against the champion on later labels that neither was trained on."""

import numpy as np
import pandas as pd

from include.config.contract import GateConfig, SliceConfig
from include.judging.calibration import calibration_terms
from include.judging.fairness import report_fairness
from include.judging.interval import block_mean, lower_bound
from include.judging.losses import mean_metric, row_losses
from include.records import CalibrationJudgement, Judgement, SliceJudgement

# What a calibration error is called, what its growth is a share of, and how much it may grow by default: by what
# `make bench-gate` measured, next to no sound improvement is then refused, and a gross distortion is.
_CALIBRATION = {
    "mae": ("mean residual", " of the champion's mae", 0.15),
    "rmse": ("mean residual", " of the champion's rmse", 0.15),
    "logloss": ("expected calibration error", " of probability", 0.02),
    "brier": ("expected calibration error", " of probability", 0.02),
}


def attempt_confidence(confidence: float, number: int, attempts: int) -> float:
    """The confidence that one attempt is judged at, so that its whole verdict is judged at ``confidence``.

    Of the error that is allowed the first attempt has half, the others share the other half equally. Holdouts are
    disjoint, but challengers are alike; that the errors add up to no more than the whole holds either way (Bonferroni).

    :param number: the attempt's number, from 1.
    :param attempts: how many a verdict may have.
    """
    error = 1 - confidence
    if attempts <= 1:
        return confidence
    return 1 - (error / 2 if number == 1 else error / 2 / (attempts - 1))


# What overflows is refused in words.
@np.errstate(over="ignore", invalid="ignore")
def judge(
    gate: GateConfig,
    against: str,
    target: np.ndarray,
    champion: np.ndarray,
    challenger: np.ndarray,
    blocks: np.ndarray,
    rows: pd.DataFrame,
    confidence: float | None = None,
) -> tuple[Judgement, str | None]:
    """Compare two models row by row.

    Passed is: the improvement's lower bound lies above 0, its mean is at least the minimum effect, and neither a
    declared slice nor the calibration is worse beyond its limit. Improvements are of the mean loss (for rmse of the
    squared error), relative to the champion's, and each batch counts once.

    :param against: whom the challenger is judged against, for the record.
    :param target: (n,) outcomes of the holdout.
    :param champion: (n,) the champion's predictions.
    :param challenger: (n,) the challenger's.
    :param blocks: (n,) the batch in which each label became known.
    :param rows: (n, columns) the rows, for slices and sensitive columns.
    :param confidence: of the improvement's bound, for one attempt of several; the gate's own by default, at which
        slices and calibration are judged in any attempt.
    :returns: the judgement, and why it is a refusal (None if it passed).
    """
    old, new = row_losses(gate.metric, target, champion), row_losses(gate.metric, target, challenger)
    scale = block_mean(old, blocks) or 1.0
    confidence = gate.confidence if confidence is None else confidence
    interval = lower_bound((old - new) / scale, blocks, confidence)
    slices = [
        judged
        for column, limit in sorted(gate.slices.items())
        for judged in _judge_slices(column, limit, gate, old, new, blocks, rows)
    ]
    sound = bool(np.isfinite(champion).all() and np.isfinite(challenger).all())
    judgement = Judgement(
        against=against,
        metric=gate.metric,
        rows=len(target),
        blocks=interval.blocks,
        champion=mean_metric(gate.metric, old),
        challenger=mean_metric(gate.metric, new),
        improvement=interval.mean,
        lower=interval.lower if np.isfinite(interval.lower) else -1e9,
        confidence=confidence,
        slices=tuple(slices),
        calibration=_judge_calibration(gate, target, champion, challenger, blocks) if sound else None,
        fairness=report_fairness(gate, target, champion, challenger, rows) if sound else (),
    )
    return judgement, _refusal(gate, judgement)


def _refusal(gate: GateConfig, judgement: Judgement) -> str | None:
    if not np.isfinite([judgement.champion, judgement.challenger, judgement.improvement]).all():
        return (
            f"{gate.metric} cannot be told: champion {judgement.champion:.4g}, challenger {judgement.challenger:.4g}; "
            "look for labels or predictions beyond all measure in the holdout"
        )
    if judgement.improvement < gate.min_effect:
        return f"improvement {judgement.improvement:.1%} is below the minimum effect {gate.min_effect:.1%}"
    if judgement.lower <= 0:
        confidence = 100 * (judgement.confidence or gate.confidence)
        return (
            f"improvement {judgement.improvement:.1%} is not beyond noise: its lower bound at {confidence:.4g}% "
            f"over {judgement.blocks} batches is {judgement.lower:.1%}"
        )
    for judged in judgement.slices:
        if not judged.passed:
            return f"slice {judged.column}={judged.value} is worse by {judged.worse_by:.1%} on {judged.rows} rows"
    calibration = judgement.calibration
    if calibration is not None and not calibration.passed:
        what, unit, _ = _CALIBRATION[gate.metric]
        return (
            f"calibration is worse by {calibration.worse_by:.1%}{unit} on {calibration.rows} rows: {what} "
            f"{calibration.challenger:.4g}, the champion's {calibration.champion:.4g}"
        )
    return None


def _judge_calibration(
    gate: GateConfig, target: np.ndarray, champion: np.ndarray, challenger: np.ndarray, blocks: np.ndarray
) -> CalibrationJudgement | None:
    """Both models' calibration; worse counts as a slice does. A constant is calibrated by saying nothing: no match."""
    limit = gate.calibration
    if limit is None or len(target) < limit.min_rows or np.ptp(champion) == 0:
        return None
    old, new = (calibration_terms(gate.metric, target, prediction) for prediction in (champion, challenger))
    scale = 1.0
    if gate.metric in ("mae", "rmse"):
        scale = mean_metric(gate.metric, row_losses(gate.metric, target, champion)) or 1.0
    worse = lower_bound((new - old) / scale, blocks, gate.confidence)
    may_worsen = _CALIBRATION[gate.metric][2] if limit.may_worsen is None else limit.may_worsen
    return CalibrationJudgement(
        rows=len(target),
        champion=float(np.mean(old)),
        challenger=float(np.mean(new)),
        worse_by=worse.mean,
        passed=not (worse.mean > may_worsen and worse.lower > 0),
    )


def _judge_slices(
    column: str,
    limit: SliceConfig,
    gate: GateConfig,
    old: np.ndarray,
    new: np.ndarray,
    blocks: np.ndarray,
    rows: pd.DataFrame,
) -> list[SliceJudgement]:
    """Champion and challenger on each value of a column; worse counts where it is beyond the limit and beyond noise."""
    values = rows[column].astype(str).to_numpy()
    judged = []
    for value in sorted(set(values)):
        mask = values == value
        if mask.sum() < limit.min_rows:
            continue
        scale = block_mean(old[mask], blocks[mask]) or 1.0
        worse = lower_bound((new[mask] - old[mask]) / scale, blocks[mask], gate.confidence)
        judged.append(
            SliceJudgement(
                column=column,
                value=value,
                rows=int(mask.sum()),
                champion=mean_metric(gate.metric, old[mask]),
                challenger=mean_metric(gate.metric, new[mask]),
                worse_by=worse.mean,
                passed=not (worse.mean > limit.may_worsen and worse.lower > 0),
            )
        )
    return judged
