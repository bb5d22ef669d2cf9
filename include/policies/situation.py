"""What a policy may look at, and what it is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from include.records import SectionVerdict


@dataclass(frozen=True)
class ArrivedLosses:
    """A champion's losses on labels that came since its promotion, by the batch in which they became known.

    Where those of four batches or more came in fewer, in bulk, they are told apart by the batches of their rows too.

    :param ages: how many batches before the check each batch's labels came, oldest first; 0 for the check's own.
    :param losses: of each batch the losses of its rows.
    :param at_promotion: the mean loss on the holdout at promotion; None where nothing was judged.
    :param reach: of how many batches before the check these are the labels: back to the labels before them, or to the
        promotion.
    """

    ages: tuple[int, ...]
    losses: tuple[np.ndarray, ...]
    at_promotion: float | None
    reach: int


def no_losses(memory: int) -> ArrivedLosses | None:
    """No labels have come since the promotion."""
    return None


@dataclass(frozen=True)
class Situation:
    """A champion at a check.

    :param age: batches since it was promoted.
    :param idle: batches since it was promoted or the last retraining was closed, whichever is less.
    :param new_labels: labels that came since it was promoted.
    :param inputs: what the check concludes of the inputs.
    :param outcomes: what the check concludes of the outcomes.
    :param covers: the batches that the check covers, numbered from the schedule's start.
    :param code_changed: whether the folder's code is another than the champion's, and was not asked for yet.
    :param refilled: whether it was promoted for decay or drift, a window of labels has come since, and nothing has
        asked since.
    :param losses: of the newest so many batches that brought labels since the promotion; None where there are none, too
        few by ``check.min_rows``, or rows that the champion cannot score.
    """

    age: int
    idle: int
    new_labels: int
    inputs: SectionVerdict
    outcomes: SectionVerdict
    covers: range = range(0)
    code_changed: bool = False
    refilled: bool = False
    losses: Callable[[int], ArrivedLosses | None] = no_losses


class Policy(Protocol):
    """When to retrain."""

    def find_reason(self, situation: Situation) -> str | None:
        """The reason to retrain, None for no reason."""
