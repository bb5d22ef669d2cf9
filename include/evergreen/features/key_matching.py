"""Each key followed through rows and labels, in whatever batches they came."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class KeyMatches:
    """Every key that was seen, and where: each (keys,).

    :param keys: the keys themselves.
    :param row: position of its first row, -1 for none.
    :param value: position of its newest label.
    :param batch: batch of that row; of ``arrived`` the first batch in which it came, in whatever revision.
    :param label: batch of its first label.
    """

    keys: np.ndarray
    row: np.ndarray
    value: np.ndarray
    batch: np.ndarray
    arrived: np.ndarray
    label: np.ndarray

    @property
    def is_matched(self) -> np.ndarray:
        """Which keys have both a row and a label."""
        matched: np.ndarray = (self.row >= 0) & (self.value >= 0)
        return matched


def match_keys(arrivals: Sequence[tuple[np.ndarray, np.ndarray]]) -> KeyMatches:
    """Follow each key through rows, superseded rows, labels and superseded labels.

    :param arrivals: of each the (n,) keys and the (n,) batches in which they arrived, ascending.
    """
    codes, unique = pd.factorize(np.concatenate([keys for keys, _ in arrivals]))
    rows, old_rows, labels, old_labels = np.split(codes, np.cumsum([len(keys) for keys, _ in arrivals])[:-1])
    (_, row_batches), (_, old_row_batches), (_, label_batches), (_, old_label_batches) = arrivals
    nowhere = np.iinfo(np.int64).max

    def first(codes: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        earliest = np.full(len(unique), nowhere)
        np.minimum.at(earliest, codes, numbers)
        return earliest

    row, value = first(rows, np.arange(len(rows))), np.full(len(unique), -1)
    np.maximum.at(value, labels, np.arange(len(labels)))
    row = np.where(row == nowhere, -1, row)
    return KeyMatches(
        keys=unique,
        row=row,
        value=value,
        batch=np.append(row_batches, -1)[row],
        arrived=np.minimum(first(rows, row_batches), first(old_rows, old_row_batches)),
        label=np.minimum(first(labels, label_batches), first(old_labels, old_label_batches)),
    )
