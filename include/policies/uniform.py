"""Retrain a fixed number of times, evenly spaced."""

from include.policies.situation import Situation


class UniformPolicy:
    """Retrain ``budget`` times in every ``over`` batches, on a grid that nothing moves.

    The grid counts from the schedule's start, whatever was promoted or refused: a check that covers one of its points
    asks. The usual baseline at a given cost, as the periodic policy of Mahadevan and Mathioudakis, Cost-aware
    retraining for machine learning, Knowledge-Based Systems 293, 2024.

    :param budget: retrainings that are asked for.
    :param over: batches.
    """

    def __init__(self, budget: int, over: int) -> None:
        self.budget, self.over = budget, over

    def find_reason(self, situation: Situation) -> str | None:
        """``due`` or nothing."""
        met = self._points(situation.covers.stop) - self._points(situation.covers.start)
        return "due" if met else None

    def _points(self, batches: int) -> int:
        """Points of the grid within the first so many batches."""
        return batches * self.budget // self.over
