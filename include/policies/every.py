"""Retrain at a fixed cadence."""

from include.policies.situation import Situation


class EveryPolicy:
    """Retrain when n batches have passed since the last promotion or the last closed retraining.

    :param n: batches.
    """

    def __init__(self, n: int) -> None:
        self.n = n

    def find_reason(self, situation: Situation) -> str | None:
        """``due`` or nothing."""
        return "due" if situation.idle >= self.n else None
