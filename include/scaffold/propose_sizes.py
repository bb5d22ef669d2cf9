"""Window, holdout and thresholds, chosen so that the loop can begin on what there is."""

from dataclasses import dataclass

import numpy as np

from include.batches import Every

# About a season of the data's own rhythm: two days of minutes, a week of hours, a month of days, a quarter of weeks.
_WINDOWS: dict[Every, int] = {"minute": 240, "hour": 168, "day": 28, "week": 13, "month": 12}
_LEAST_TO_LEARN = 1000
_JUDGED = 100
_WIDEST_HOLDOUT = 12


@dataclass(frozen=True)
class Sizes:
    """What config.yaml says in numbers.

    :param window: label batches to learn from.
    :param min_labels: labelled rows to begin with.
    :param holdout: label batches to judge on.
    :param min_rows: labelled rows that a judgement needs.
    :param check_rows: labelled rows that a check of outcomes needs.
    :param training_rows: rows that a window holds, as the data go.
    :param begins_at: label batch, from 1, at which the first challenger can be judged; None where the data end before.
    """

    window: int
    min_labels: int
    holdout: int
    min_rows: int
    check_rows: int
    training_rows: int
    begins_at: int | None


def propose_sizes(labelled: np.ndarray, every: Every) -> Sizes:
    """Sizes for a history.

    :param labelled: (batches,) labelled rows of each batch that has any, in order.
    """
    batches, typical = len(labelled), float(np.median(labelled)) if len(labelled) else 0.0
    holdout = min(4, max(2, batches // 4))
    while holdout * typical < _JUDGED and holdout < min(_WIDEST_HOLDOUT, batches // 3):
        holdout += 1
    min_rows = max(2, min(_JUDGED, int(holdout * typical / 2)))
    longest = max(1, batches - holdout - 1)
    window = min(_WINDOWS[every], longest)
    while window * typical < _LEAST_TO_LEARN and window < longest:
        window += 1
    first = max(1, min(window, (batches - holdout) // 3))
    # A tenth of the first rows may go to quarantine, or their labels be missing.
    min_labels = max(min_rows, int(0.9 * labelled[:first].sum()))
    enough = np.flatnonzero(np.cumsum(labelled) >= min_labels)
    begins = int(enough[0]) + 1 + holdout if len(enough) else batches + 1
    return Sizes(
        window=window,
        min_labels=min_labels,
        holdout=holdout,
        min_rows=min_rows,
        check_rows=max(2, min(200, int(holdout * typical / 2))),
        training_rows=int(window * typical),
        begins_at=begins if begins <= batches else None,
    )
