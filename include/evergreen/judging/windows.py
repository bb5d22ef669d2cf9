"""Windows: what a challenger may learn from, told by the losses of models that have learnt from each."""

from collections.abc import Sequence

import numpy as np

from evergreen.config.contract import Window

# Of the labels of a holdout, by how late they were: so many had come after the delay that windows are compared at.
MOST = 0.75
# What an attempt counts of the one after it.
_FADING = 0.8
# By how much a window's loss counts as larger for each time that labels are late by its length.
_AGEING = 0.02


def choose_window(losses: dict[Window, float], before: Sequence[dict[str, float]], late: int) -> Window:
    """The window that has done best over this attempt and those before that tried the same ones.

    Losses are told in shares of the first window's, and older attempts count less and less. On kept losses of real
    streams that cost less than few attempts that count alike, which follow noise, or many, which follow nothing. What
    labels tell is as old as they are late, and a short window's advantage is over the sooner.

    :param losses: by window, the mean loss on this attempt's holdout.
    :param before: the same of earlier attempts, newest first.
    :param late: after how many batches most labels come.
    """
    named = {str(window): loss for window, loss in losses.items()}
    same = [named, *(one for one in before if one.keys() == named.keys())]
    first = next(iter(named))

    def relative(window: Window) -> float:
        ratios = [one[str(window)] / one[first] if one[first] else 1.0 for one in same]
        ageing = 0.0 if window == "all" else _AGEING * late / window
        return float(np.average(ratios, weights=_FADING ** np.arange(len(ratios)))) * (1 + ageing)

    return min(losses, key=relative)
