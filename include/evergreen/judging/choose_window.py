"""Windows: what a challenger may learn from, and whether from features at all, told by the losses of each."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from evergreen.config.contract import Window

# What the best constant is called beside the windows.
BASELINE: Literal["baseline"] = "baseline"
Choice = Window | Literal["baseline"]
# Of the labels of a holdout, by how late they were: so many had come after the delay that windows are compared at.
MOST = 0.75
# What an attempt counts of the one after it.
_FADING = 0.8
# By how much a window's loss counts as larger for each time that labels are late by its length.
_AGEING = 0.02
# How far the baseline counts as worse, or better, than the first window at most: how good a recipe was, it need not be.
_MUCH = 1.2


def choose_window(
    losses: dict[Choice, float], before: Sequence[dict[str, float]], late: int, margin: float = 0.0
) -> Choice:
    """What has done best over this attempt and those before that tried the same: a window, or the baseline.

    Losses are told in shares of the first window's, and older attempts count less and less. On kept losses of real
    streams that cost less than few attempts that count alike, which follow noise, or many, which follow nothing. What
    labels tell is as old as they are late, and a short window's advantage is over the sooner. Over several attempts the
    baseline is no odd week's winner.

    :param losses: by window, and of the baseline where it may serve, the mean loss on this attempt's holdout.
    :param before: the same of earlier attempts, newest first.
    :param late: after how many batches most labels come.
    :param margin: by what share the baseline's loss counts as larger.
    """
    named = {str(window): loss for window, loss in losses.items()}
    same = [named, *(one for one in before if one.keys() == named.keys())]
    first = next(iter(named))

    def relative(window: Choice) -> float:
        ratios = [one[str(window)] / one[first] if one[first] else 1.0 for one in same]
        if window == BASELINE:
            ratios = [float(np.clip(ratio, 1 / _MUCH, _MUCH)) for ratio in ratios]
        handicap = margin if window == BASELINE else 0.0 if window == "all" else _AGEING * late / window
        return float(np.average(ratios, weights=_FADING ** np.arange(len(ratios)))) * (1 + handicap)

    return min(losses, key=relative)
