"""Retrain once more when a champion's window no longer holds labels from before the change."""

from include.policies.situation import Situation


class RefilledPolicy:
    """Retrain once more after a champion was promoted for decay or drift, as soon as its window can be filled anew.

    Whoever answers a change early has learnt mostly from before it, and is measured by the error of those days: it
    serves, better than the one before and worse than could be, and no measure of its own error tells. So its window is
    the measure: when a window of labels has come since the promotion, a further challenger is tried, once.
    """

    def find_reason(self, situation: Situation) -> str | None:
        """``due`` or nothing."""
        return "due" if situation.refilled else None
