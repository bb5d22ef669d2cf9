"""The rival of judging by label arrival: judging by batch of scoring, once enough of a batch's labels are known.

Both judges are handed what was known at a check, and both answer with labelled rows: those to take the error over.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

# Of the share of its rows whose labels will ever come, the part that must be there: a batch is then mature.
RIPE = 0.9


@dataclass(frozen=True)
class Past:
    """A champion's rows with the labels that ever came, and how many rows there were.

    :param rows: (n, batch + known + loss, further columns) one row a label; batches are counted from 0; ``known`` is
        the batch in which row and first label were both there.
    :param clean: (batches,) rows of each batch, whether or not their label came.
    :param longest: batches after which no label is waited for.
    """

    rows: pd.DataFrame
    clean: np.ndarray
    longest: int

    def at(self, now: int) -> pd.DataFrame:
        """What was known at a batch."""
        return self.rows[self.rows["known"] <= now]


def eventual_share(past: Past, now: int) -> float:
    """The share of rows whose labels come at last, as the feeds of the last ``longest`` batches tell it.

    A period life table: at each age, labels that came of rows that still waited, over those rows; so a change of the
    delays is learnt as soon as it shows, and no batch has to be waited for (Kaplan and Meier, Nonparametric Estimation
    from Incomplete Observations, Journal of the American Statistical Association 53, 1958, for rows that are censored
    by the check).
    """
    came = np.zeros((now + 1, past.longest + 1))
    known = past.at(now)
    age = (known["known"] - known["batch"]).to_numpy()
    within = age <= past.longest
    np.add.at(came, (known["batch"].to_numpy()[within], age[within]), 1)
    waits = past.clean[: now + 1, None] - np.cumsum(came, axis=1) + came
    feed = np.arange(now + 1)[:, None] + np.arange(past.longest + 1)[None, :]
    seen = (feed <= now) & (feed > now - past.longest - 1)
    at_risk = (waits * seen).sum(axis=0)
    hazard = (came * seen).sum(axis=0) / np.where(at_risk > 0, at_risk, 1)
    return float(1 - np.prod(1 - hazard))


def mature_batches(past: Past, now: int, ripe: float = RIPE) -> np.ndarray:
    """The batches whose labels known at a check are ``ripe`` of those that will come, oldest first."""
    counts = np.bincount(past.at(now)["batch"], minlength=now + 1)[: now + 1]
    clean = past.clean[: now + 1]
    share = counts / np.where(clean > 0, clean, 1)
    return np.flatnonzero((clean > 0) & (share >= ripe * eventual_share(past, now)) & (counts > 0))


def rows_by_batch(past: Past, now: int, since: int, window: int, ripe: float = RIPE) -> pd.DataFrame:
    """Labelled rows of the newest mature batches that were scored after a batch.

    :param since: the promotion's ``as_of``.
    :param window: batches at most.
    """
    mature = mature_batches(past, now, ripe)
    taken = mature[mature > since][-window:]
    known = past.at(now)
    return known[known["batch"].isin(taken)]
