"""Retrain when the inputs have moved."""

from include.policies.situation import Situation


class InputDriftPolicy:
    """Retrain when an input lies beyond its calibrated threshold, whether or not that matters to the outcomes."""

    def find_reason(self, situation: Situation) -> str | None:
        """``drift`` or nothing."""
        return "drift" if situation.inputs.state in ("warn", "bad") else None
