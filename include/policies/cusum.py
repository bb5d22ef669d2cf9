"""Retrain when the error lies above that at promotion for too long."""

import numpy as np

from include.policies.situation import Situation
from include.policies.spread import FEWEST, find_spread

# The default of gate.holdout.
_HOLDOUT = 4
_SMALLEST = 1e-12


class CusumPolicy:
    """Retrain when the cumulated sum of the error's excess passes its threshold.

    One-sided CUSUM of Page, Continuous inspection schemes, Biometrika 41, 1954: S = max(0, S + z - k) over the label
    batches since the promotion, asking while S > h. z is a batch's mean loss less the holdout's at promotion, in
    standard errors of that difference: from the rows of both, and the design effect of a batch (see ``find_spread``),
    so that a small batch weighs less and correlated rows do not pass for many. The holdout is taken for four batches
    of mean size. S is computed anew at each check from the last ``memory`` batches: nothing is stored, and what lies
    further back is forgotten. Silent below four label batches, and where no error is known at promotion.

    With the textbook's k = 0.5 and h = 5 the average run is 930 batches to a false alarm and 10 to a shift of one
    standard error; less where the error at promotion was itself lucky. The defaults are calmer: they were chosen on
    streams that docs/judgement.md does not score.

    :param k: slack, in standard errors.
    :param h: threshold, in standard errors.
    :param memory: label batches.
    """

    def __init__(self, k: float, h: float, memory: int) -> None:
        self.k, self.h, self.memory = k, h, memory

    def find_reason(self, situation: Situation) -> str | None:
        """``decay`` or nothing."""
        arrived = situation.losses(self.memory)
        if arrived is None or arrived.at_promotion is None or len(arrived.losses) < FEWEST:
            return None
        rows = np.array([len(batch) for batch in arrived.losses])
        excess = np.array([batch.mean() for batch in arrived.losses]) - arrived.at_promotion
        variance, design = find_spread(arrived.losses)
        errors = np.sqrt(design * variance * (1 / rows + 1 / (_HOLDOUT * rows.mean())))
        total = 0.0
        for z in excess / np.maximum(errors, _SMALLEST):
            total = max(0.0, total + float(z) - self.k)
        return "decay" if total > self.h else None
