"""The gate: a challenger against the champion on later labels that neither was trained on."""

import numpy as np
import pandas as pd

from evergreen.config.gate_config import GateConfig, SliceConfig, Task
from evergreen.judging.calibration import calibration_terms
from evergreen.judging.fairness import report_fairness
from evergreen.judging.uncertainty import expect_mean, lower_bound, relative_to
from evergreen.losses import METRICS, Metric
from evergreen.records import CalibrationJudgement, Judgement, SliceJudgement

# Of the rarer class so many labels at least, to learn from and to judge on.
HANDFUL = 5
# A challenger of new code may be the worse one with a probability of so much.
_NEW_CODE_WORSE = 0.005


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
    new_code: bool = False,
) -> tuple[Judgement, str | None]:
    """Compare two models row by row.

    Passed is: the improvement that is to be expected is above the minimum effect, and neither a declared slice nor the
    calibration is expected to be worse beyond its limit. Improvements are of the loss (for rmse of the squared error),
    relative to the champion's batch by batch. Where ``gate.confidence`` is set, it must be beyond noise too. New code
    must be worse with next to no probability: it may have gone wrong, and what serves has shown that it has not.

    :param against: whom the challenger is judged against, for the record.
    :param target: (n,) outcomes of the holdout.
    :param champion: (n,) the champion's predictions.
    :param challenger: (n,) the challenger's.
    :param blocks: (n,) the batch in which each label became known.
    :param rows: (n, columns) the rows, for slices and sensitive columns.
    :param new_code: whether the challenger is of other code, or settings that shape it, than a champion that learns.
    :returns: the judgement, and why it is a refusal (None if it passed).
    """
    metric = METRICS[gate.metric]
    old, new = metric.row_losses(target, champion), metric.row_losses(target, challenger)
    judgement = _compare_losses(gate, against, metric, old, new, blocks, rows)
    if np.isfinite(champion).all() and np.isfinite(challenger).all() and np.isfinite(judgement.improvement):
        more: dict[str, object] = {
            "proof": _prove(gate, old, new, blocks),
            "calibration": _judge_calibration(gate, metric, target, champion, challenger, blocks),
            "fairness": report_fairness(gate, target, champion, challenger, rows),
        }
        judgement = judgement.model_copy(update=more)
    return judgement, _refusal(gate, metric, judgement, target, new_code)


def _compare_losses(
    gate: GateConfig,
    against: str,
    metric: Metric,
    old: np.ndarray,
    new: np.ndarray,
    blocks: np.ndarray,
    rows: pd.DataFrame,
) -> Judgement:
    """What the losses of two models tell, over all rows and by slice."""
    gain = expect_mean(relative_to(old - new, old, blocks), blocks)
    slices = [
        judged
        for column, limit in sorted(gate.slices.items())
        for judged in _judge_slices(column, limit, metric, old, new, blocks, rows)
    ]
    return Judgement(
        against=against,
        metric=gate.metric,
        rows=len(old),
        blocks=gain.blocks,
        champion=metric.of(old),
        challenger=metric.of(new),
        improvement=gain.mean,
        lower=gain.ends[0],
        upper=gain.ends[1],
        expected=gain.expected,
        worse=gain.negative,
        slices=tuple(slices),
    )


def _prove(gate: GateConfig, old: np.ndarray, new: np.ndarray, blocks: np.ndarray) -> float | None:
    """The lower bound of the improvement; None where nobody asks for one, or one block has none."""
    if gate.confidence is None:
        return None
    lower = lower_bound(relative_to(old - new, old, blocks), blocks, gate.confidence).lower
    return lower if np.isfinite(lower) else None


def too_few_of_a_class(task: Task, target: np.ndarray) -> str | None:
    """Why outcomes tell nothing of the rarer class, None where they do; of a regression they always do.

    :param target: (n,) known outcomes.
    """
    if task != "classification" or not len(target):
        return None
    ones = int(np.sum(target.astype(float) == 1))
    fewest = min(ones, len(target) - ones)
    if fewest >= HANDFUL:
        return None
    return f"{fewest} of {len(target)} labels are {1 if ones == fewest else 0}; {HANDFUL} are needed to tell of them"


def _refusal(gate: GateConfig, metric: Metric, judgement: Judgement, target: np.ndarray, new_code: bool) -> str | None:
    if not np.isfinite([judgement.champion, judgement.challenger, judgement.improvement]).all():
        return (
            f"{gate.metric} cannot be told: champion {judgement.champion:.4g}, challenger {judgement.challenger:.4g}; "
            "look for labels or predictions beyond all measure in the holdout"
        )
    few = too_few_of_a_class(metric.task, target)
    if few is not None:
        return f"in the holdout {few}"
    improved = f"improvement {judgement.improvement:.1%} on {judgement.rows} rows"
    if judgement.expected <= gate.min_effect:
        return f"{judgement.gain}; not above the minimum effect {gate.min_effect:.1%}"
    if new_code and judgement.worse > _NEW_CODE_WORSE:
        return f"{judgement.gain}; of new code {_NEW_CODE_WORSE:.1%} at most"
    if gate.confidence is not None and judgement.proof is None:
        return f"{improved} is not proven: one batch of labels has no interval"
    if judgement.proof is not None and judgement.proof <= 0:
        confidence = 100 * (gate.confidence or 0)
        return (
            f"{improved} is not beyond noise: its lower bound at {confidence:.4g}% over {judgement.blocks} batches is "
            f"{judgement.proof:.1%}"
        )
    for judged in judgement.slices:
        if not judged.passed:
            return f"slice {judged.column}={judged.value} is worse by {judged.worse_by:.1%} on {judged.rows} rows"
    calibration = judgement.calibration
    if calibration is not None and not calibration.passed:
        unit = f"the champion's {metric.name}" if metric.calibration.is_relative else "probability"
        return (
            f"calibration is worse by {calibration.worse_by:.1%} of {unit} on {calibration.rows} rows: "
            f"{metric.calibration.error} {calibration.challenger:.4g}, the champion's {calibration.champion:.4g}"
        )
    return None


def _judge_calibration(
    gate: GateConfig,
    metric: Metric,
    target: np.ndarray,
    champion: np.ndarray,
    challenger: np.ndarray,
    blocks: np.ndarray,
) -> CalibrationJudgement | None:
    """Both models' calibration; worse counts as a slice does. A constant is calibrated by saying nothing: no match."""
    limit, calibration = gate.calibration, metric.calibration
    if limit is None or len(target) < limit.min_rows or np.ptp(champion) == 0:
        return None
    old, new = (calibration_terms(calibration.bins, target, prediction) for prediction in (champion, challenger))
    scale = 1.0
    if calibration.is_relative:
        scale = metric.of(metric.row_losses(target, champion)) or 1.0
    worse = expect_mean((new - old) / scale, blocks)
    may_worsen = calibration.may_worsen if limit.may_worsen is None else limit.may_worsen
    return CalibrationJudgement(
        rows=len(target),
        champion=float(np.mean(old)),
        challenger=float(np.mean(new)),
        worse_by=worse.mean,
        passed=worse.expected <= may_worsen,
    )


def _judge_slices(
    column: str,
    limit: SliceConfig,
    metric: Metric,
    old: np.ndarray,
    new: np.ndarray,
    blocks: np.ndarray,
    rows: pd.DataFrame,
) -> list[SliceJudgement]:
    """Champion and challenger on each value of a column; worse counts where it is expected beyond the limit."""
    values = rows[column].astype(str).to_numpy()
    judged = []
    for value in sorted(set(values)):
        mask = values == value
        if mask.sum() < limit.min_rows:
            continue
        worse = expect_mean(relative_to(new[mask] - old[mask], old[mask], blocks[mask]), blocks[mask])
        judged.append(
            SliceJudgement(
                column=column,
                value=value,
                rows=int(mask.sum()),
                champion=metric.of(old[mask]),
                challenger=metric.of(new[mask]),
                worse_by=worse.mean,
                passed=worse.expected <= limit.may_worsen,
            )
        )
    return judged
