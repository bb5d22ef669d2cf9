"""The statistics of batches, merged, to be held against a reference."""

from typing import Any

import numpy as np
import pandas as pd

from evergreen.checks.reference import Reference
from evergreen.features.batch_statistics import EvenSample, Statistics
from evergreen.features.histograms import Categories, Numbers
from evergreen.storage.frames import to_frame


class Tallies:
    """What is known of some rows, to be held against a reference.

    :param reference: what it describes is counted.
    :param event_time: column of the event time; None where the rows have none.
    :ivar rows: that were added.
    :ivar columns: by the reference's columns that the rows have.
    """

    def __init__(self, reference: Reference, event_time: str | None = None) -> None:
        self.rows = 0
        self.columns: dict[str, Numbers | Categories] = {}
        self._reference, self._event_time = reference, event_time
        self._sizes: dict[str, int] = {}
        self._followed = [name for name, described in reference.columns.items() if described.get("follows")]
        self._some = EvenSample()

    def add(self, counted: Statistics, batch: str = "") -> None:
        """Add rows of one batch."""
        for name in self._reference.columns:
            if name in counted.columns:
                column: Any = counted.columns[name]
                self.columns.setdefault(name, type(column)()).merge(column)
        if self._followed and self._event_time in counted.columns:
            followed = [name for name in self._followed if name in counted.columns]
            self._some.add(counted.sample.rows.select([self._event_time, *followed]))
        self._sizes[batch] = self._sizes.get(batch, 0) + counted.rows
        self.rows += counted.rows

    @property
    def some_rows(self) -> pd.DataFrame:
        """Event time and the columns that follow it, of at most 10,000 rows."""
        return to_frame(self._some.rows)

    def share_missing(self, name: str) -> float:
        """The share of rows without a value, an infinite number being none."""
        return self.columns[name].missing / self.rows if self.rows else 0.0

    @property
    def batches(self) -> float:
        """So many batches of equal size average out as much (Kish 1965, Survey Sampling, 11.7)."""
        sizes = np.array(list(self._sizes.values()))
        return float(sizes.sum() ** 2 / (sizes**2).sum()) if sizes.sum() else 1.0
