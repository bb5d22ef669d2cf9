"""Retrain when the code is another."""

from include.policies.situation import Situation


class CodeChangedPolicy:
    """Retrain when features, estimator, columns or training settings differ from those that the champion was made with.

    Each code version is asked for once: what was refused with it, or failed by it, is not tried again for its sake. New
    code of a pipeline is followed by its run, as in level 2 of Google's MLOps: Continuous delivery and automation
    pipelines in machine learning, 2023; what comes of it passes the gate as every other challenger does.
    """

    def find_reason(self, situation: Situation) -> str | None:
        """``code_changed`` or nothing."""
        return "code_changed" if situation.code_changed else None
