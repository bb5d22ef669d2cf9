"""What a policy may look at, and what it is."""

from dataclasses import dataclass
from typing import Protocol

from include.records import SectionVerdict


@dataclass(frozen=True)
class Situation:
    """A champion at a check.

    :param age: batches since it was promoted.
    :param idle: batches since it was promoted or the last retraining was closed, whichever is less.
    :param new_labels: labels that came since it was promoted.
    :param inputs: what the check concludes of the inputs.
    :param outcomes: what the check concludes of the outcomes.
    """

    age: int
    idle: int
    new_labels: int
    inputs: SectionVerdict
    outcomes: SectionVerdict


class Policy(Protocol):
    """When to retrain."""

    def find_reason(self, situation: Situation) -> str | None:
        """The reason to retrain, None for no reason."""
