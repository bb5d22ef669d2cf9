"""Never retrain: what the others are measured against."""

from include.policies.situation import Situation


class NeverPolicy:
    """Never retrain."""

    def find_reason(self, situation: Situation) -> str | None:
        """Nothing."""
        return None
