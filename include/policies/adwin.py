"""Retrain when the error has risen."""

import numpy as np

from include.policies.situation import Situation
from include.policies.spread import FEWEST, find_spread

# Of each batch; enough to tell 3 % apart, and ADWIN takes one value at a time.
_MOST = 1000


class AdwinPolicy:
    """Retrain when the newest change that ADWIN finds in the losses is a rise, above the error at promotion.

    Bifet and Gavalda, Learning from time-changing data with adaptive windowing, SIAM International Conference on Data
    Mining, 2007, as river has it. Its bound takes values from 0 to 1 that are independent. Losses are cut at their 99th
    percentile and divided by it, the error at promotion cut by as much. Means of batches are too few: in 28 of them it
    finds not even a threefold error. Rows are enough, but those of a day share its weather. On 18 streams of 800 rows a
    batch whose model served on unchanged, their days set 0, 5 or 15 % apart, it gave an alarm row by row in 17 within
    36 batches. So of each batch only as many rows are taken as are worth one drawn apart (its size over the design
    effect, see ``find_spread``), moved together so that their mean is the whole batch's, and the error must lie above
    that at promotion. Then it gave none, and an error half as large again was found within four batches, but for two of
    the streams whose days lay 15 % apart.

    A fall after a rise ends it. Computed anew at each check from the last ``memory`` label batches since the promotion;
    a rise that lies further back is forgotten. Silent below four.

    :param delta: level of the test.
    :param memory: label batches.
    """

    def __init__(self, delta: float, memory: int) -> None:
        self.delta, self.memory = delta, memory

    def find_reason(self, situation: Situation) -> str | None:
        """``decay`` or nothing."""
        arrived = situation.losses(self.memory)
        if arrived is None or len(arrived.losses) < FEWEST:
            return None
        # It takes a second to import, and few models need it.
        from river.drift import ADWIN

        detector, risen = ADWIN(delta=self.delta), False
        losses = np.concatenate(arrived.losses)
        most = float(np.quantile(losses, 0.99)) or 1.0
        kept = float(np.minimum(losses, most).mean() / losses.mean()) if losses.any() else 1.0
        _, design = find_spread(arrived.losses)
        for batch in arrived.losses:
            for value in _take(np.minimum(batch, most) / most, design):
                before = detector.estimation
                detector.update(value)
                if detector.drift_detected:
                    risen = detector.estimation > before
        above = arrived.at_promotion is None or detector.estimation * most > kept * arrived.at_promotion
        return "decay" if risen and above else None


def _take(batch: np.ndarray, design: float) -> list[float]:
    """As many rows as are worth one drawn apart, evenly spaced, with the mean of all."""
    n = int(np.clip(len(batch) / design, 1, _MOST))
    taken = batch[np.arange(n) * len(batch) // n]
    values: list[float] = (taken - taken.mean() + batch.mean()).tolist()
    return values
