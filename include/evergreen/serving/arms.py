"""Two versions that answer beside each other: which keys are the challenger's, and what each answers."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evergreen.errors import FeaturesInvalid
from evergreen.foreign_text import one_line
from evergreen.serving.values import Rows

if TYPE_CHECKING:
    from evergreen.serving.champions import ServedVersion

_logger = logging.getLogger(__name__)
_CHAMPION, _CHALLENGER = "champion", "challenger"


@dataclass(frozen=True)
class Answered:
    """What the rows of a request were answered.

    :param predictions: (rows,).
    :param arms: (rows,) to whose share the key belongs: champion or challenger; empty where a version was named.
    :param versions: (rows,) who answered.
    :param failed: whether the challenger could not, and the champion answered in its place.
    """

    predictions: np.ndarray
    arms: list[str]
    versions: list[int | str]
    failed: bool = False

    @classmethod
    def by(cls, served: "ServedVersion", rows: Rows, named: bool = False) -> "Answered":
        """By one version alone.

        :param named: whether it was asked for by its number, and is no arm.
        """
        predictions = served.predict(rows)
        count = len(predictions)
        return cls(predictions, ["" if named else _CHAMPION] * count, [served.version] * count)


@dataclass(frozen=True)
class Arms:
    """A champion and its challenger.

    :param decision: the number of the record that is obeyed.
    :param experiment: the number of its first one, which salts the keys: another experiment draws others.
    :param champion: who answers the other keys, and whatever the challenger cannot.
    :param challenger: who answers a share of the keys.
    :param share: of a hundred keys those that are the challenger's; with 0 nobody sees its answers.
    """

    decision: int
    experiment: int
    champion: "ServedVersion"
    challenger: "ServedVersion"
    share: float

    @property
    def is_shadow(self) -> bool:
        """Whether the challenger answers unseen, after the champion."""
        return not self.share

    def are_challengers(self, keys: Sequence[str]) -> np.ndarray:
        """Which keys are the challenger's: by a hash, the same in each process, and the same as the share grows.

        :param keys: as ``key_texts`` makes them.
        """
        salted = (hashlib.sha256(f"{self.experiment}:{key}".encode()).digest() for key in keys)
        places = [int.from_bytes(digest[:8]) for digest in salted]
        return np.array([100 * place < self.share * 2**64 for place in places], dtype=bool)

    def answer(self, rows: Rows, keys: Sequence[str]) -> Answered:
        """Answer each row by its arm; each version sees all the rows, as it does where it answers alone.

        :raises FeaturesInvalid: if the champion's code fails; where the challenger's does, the champion answers.
        :raises Outage: if a store that either reads does not answer; that is no failure of the challenger's.
        """
        own, failed = self.are_challengers(keys), False
        predictions = self.champion.predict(rows) if not own.all() else np.full(len(own), np.nan)
        versions: list[int | str] = [self.champion.version] * len(own)
        if own.any():
            try:
                predictions = np.where(own, self.challenger.predict(rows), predictions)
                versions = [self.challenger.version if one else self.champion.version for one in own.tolist()]
            except FeaturesInvalid as error:
                _logger.error("challenger %s: %s; the champion answers", self.challenger.version, one_line(str(error)))
                predictions, failed = self.champion.predict(rows), True
        return Answered(predictions, [_CHALLENGER if one else _CHAMPION for one in own.tolist()], versions, failed)
