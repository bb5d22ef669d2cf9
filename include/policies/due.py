"""Retrain when the champion is old, or when enough has come that it has not seen."""

from include.policies.situation import Situation


class DuePolicy:
    """Retrain when the champion has reached an age, or enough labels have come since it was promoted.

    Both stay true until another is promoted: where the gate refuses, the next retraining is asked for as soon as one is
    closed. ``retrain.cooldown`` gives it a rest.

    :param age: batches since the promotion, None for no limit.
    :param new_labels: labels since the promotion, None for no limit.
    """

    def __init__(self, age: int | None, new_labels: int | None) -> None:
        self.age, self.new_labels = age, new_labels

    def find_reason(self, situation: Situation) -> str | None:
        """``due`` or nothing."""
        old = self.age is not None and situation.age >= self.age
        fed = self.new_labels is not None and situation.new_labels >= self.new_labels
        return "due" if old or fed else None
