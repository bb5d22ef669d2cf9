"""Retrain when keeping the champion has cost what a training costs."""

import numpy as np

from include.policies.situation import Situation


class CaraPolicy:
    """Retrain when the champion's staleness since the last training has reached the price of a training.

    The cost-aware threshold of Mahadevan and Mathioudakis, Cost-aware retraining for machine learning, Knowledge-Based
    Systems 293, 2024 (arXiv 2310.04216): the cost of a stale model is weighed against that of a training, in the same
    unit, and a threshold decides; of their variants this is the one whose staleness adds up until the model is trained
    again. The other, CARA-T, sets its threshold on the staleness of the moment: on measured errors that is ``decay``,
    with ``worse_by`` the price over the batches that a model is to serve. Their staleness is estimated for the queries
    of the moment from similar data, and the threshold tuned on a past stretch of the stream. Ours is measured, on
    labels as they become known, so it is late where they are; and the threshold is the price itself: keep until keeping
    has cost as much as training would have.

    Staleness is the mean loss on labels since the champion was promoted or the last retraining was closed, relative to
    the holdout's at promotion and less 1, times the batches from then to the newest of these labels. Better batches
    count against worse ones. Batches beyond ``memory`` label batches are forgotten.

    :param price: what a training is worth: so many batches of twice the error (of twice the squared error for rmse).
    :param memory: label batches.
    """

    def __init__(self, price: float, memory: int) -> None:
        self.price, self.memory = price, memory

    def find_reason(self, situation: Situation) -> str | None:
        """``decay`` or nothing."""
        arrived = situation.losses(self.memory)
        if arrived is None or not arrived.at_promotion:
            return None
        since = [i for i, age in enumerate(arrived.ages) if age < situation.idle]
        if not since:
            return None
        reach = situation.idle if since[0] else min(arrived.reach, situation.idle)
        batches = reach - arrived.ages[-1]
        mean = float(np.concatenate([arrived.losses[i] for i in since]).mean())
        return "decay" if (mean / arrived.at_promotion - 1) * batches >= self.price else None
