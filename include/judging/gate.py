"""The gate: a challenger against the champion on later labels that neither was trained on."""

import numpy as np
import pandas as pd

from include.config.contract import GateConfig, SliceConfig
from include.judging.interval import lower_bound
from include.judging.losses import mean_metric, row_losses
from include.records import Judgement, SliceJudgement


def judge(
    gate: GateConfig,
    against: str,
    target: np.ndarray,
    champion: np.ndarray,
    challenger: np.ndarray,
    blocks: np.ndarray,
    rows: pd.DataFrame,
) -> tuple[Judgement, str | None]:
    """Compare two models row by row.

    Passed is: the improvement's lower bound lies above 0, its mean is at least the minimum effect, and no declared
    slice is worse beyond its limit. Improvements are of the mean loss (for rmse of the squared error), relative to the
    champion's, and each batch counts once.

    :param against: whom the challenger is judged against, for the record.
    :param target: (n,) outcomes of the holdout.
    :param champion: (n,) the champion's predictions.
    :param challenger: (n,) the challenger's.
    :param blocks: (n,) the batch in which each label became known.
    :param rows: (n, columns) the rows, for the slices.
    :returns: the judgement, and why it is a refusal (None if it passed).
    """
    old, new = row_losses(gate.metric, target, champion), row_losses(gate.metric, target, challenger)
    scale = float(np.mean(old)) or 1.0
    interval = lower_bound((old - new) / scale, blocks, gate.confidence)
    slices = [
        judged
        for column, limit in sorted(gate.slices.items())
        for judged in _judge_slices(column, limit, gate, old, new, blocks, rows)
    ]
    judgement = Judgement(
        against=against,
        metric=gate.metric,
        rows=len(target),
        blocks=interval.blocks,
        champion=mean_metric(gate.metric, old),
        challenger=mean_metric(gate.metric, new),
        improvement=interval.mean,
        lower=interval.lower if np.isfinite(interval.lower) else -1e9,
        slices=tuple(slices),
    )
    return judgement, _refusal(gate, judgement)


def _refusal(gate: GateConfig, judgement: Judgement) -> str | None:
    if judgement.improvement < gate.min_effect:
        return f"improvement {judgement.improvement:.1%} is below the minimum effect {gate.min_effect:.1%}"
    if judgement.lower <= 0:
        return (
            f"improvement {judgement.improvement:.1%} is not beyond noise: its lower bound at {gate.confidence:.0%} "
            f"over {judgement.blocks} batches is {judgement.lower:.1%}"
        )
    for judged in judgement.slices:
        if not judged.passed:
            return f"slice {judged.column}={judged.value} is worse by {judged.worse_by:.1%} on {judged.rows} rows"
    return None


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
        scale = float(np.mean(old[mask])) or 1.0
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
