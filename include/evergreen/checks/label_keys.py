"""Whether the labels that come are about the rows that came: a feed whose keys match none is a fault of its own.

What is sound has to be told from it. A label may come before its row, or long after it; rows may be in quarantine, or
never have come; labels of rows from before the start, or of rows that this model does not take, match nothing from the
beginning. So a share is held against what it was, as known then, at the checks before; and without any, nothing is said
before every row that a label may be about lies within the stream. Keys that would match in another spelling tell at
once.
"""

import re
import statistics
import unicodedata
from dataclasses import dataclass
from typing import Any

import numpy as np

from evergreen.config.contract import ModelConfig
from evergreen.config.data_schema import DataSchema
from evergreen.config.feeds_config import LabelFeed
from evergreen.features.key_matching import KeyMatches, match_keys, read_arrived_keys
from evergreen.features.label_batches import newest_label_batches
from evergreen.features.labelled import list_partitions
from evergreen.records import Numbers
from evergreen.sources.number_text import is_rounded
from evergreen.storage.revisions import sealed_batches
from evergreen.storage.stores import Stores

# Fewer labels say nothing; of so many checks the shares are kept, and from so few on they are a rule.
_FEWEST = 30
_KEPT, _FEWEST_KEPT = 14, 3
# Shares of the labels: none to speak of, and what is left of the usual where they stopped.
_NONE, _FALLEN = 0.05, 0.2
_NEARLY_ALL = 0.95
_EXAMPLES = 3
# Spellings are looked for among no more of the newest.
_MOST_ROWS, _MOST_LABELS = 100_000, 10_000


@dataclass(frozen=True)
class _Newest:
    """The newest labels, enough of them to tell.

    :param inside: (keys,) the labels that are counted.
    :param matched: (keys,) labels of any time that have their row.
    :param lost: rows that did not pass or did not come, each of which a label may be about.
    """

    matches: KeyMatches
    inside: np.ndarray
    matched: np.ndarray
    lost: int

    @property
    def came(self) -> int:
        """How many labels there are."""
        return int(self.inside.sum())

    @property
    def answered(self) -> int:
        """How many of them have their row."""
        return int((self.inside & self.matched).sum())

    @property
    def share(self) -> float:
        """The share that has a row, of those whose row has come."""
        return self.answered / max(self.came - self.lost, self.answered, 1)

    @property
    def matched_none(self) -> bool:
        """Whether hardly any label has a row, neither of these nor of those before."""
        return self.share <= _NONE and bool(self.matched.sum() <= _NONE * (self.matches.value >= 0).sum())


def check_label_keys(config: ModelConfig, stores: Stores, covers: list[str], before: Numbers) -> Numbers:
    """How many of the newest labels have a row, and whether that is a fault.

    :param covers: batches since the last check.
    :param before: what this said at the check before; empty if there was none.
    :returns: ``state`` (``ok``, ``unmatched`` or ``unknown``), ``why``, the counts, and the ``shares`` of sound checks.
    """
    shares: list[float] = before.get("shares", [])
    schema, as_of, labels = config.data_schema, covers[-1], config.labels
    newest = newest_label_batches(schema, stores, as_of, _FEWEST) if isinstance(labels, LabelFeed) else []
    if not newest or newest[-1] < covers[0] or not isinstance(labels, LabelFeed):
        return {"state": "unknown", "why": "", "shares": shares} if shares else {}
    counted = _count(schema, stores, newest[0], as_of, labels.max_delay)
    usual = statistics.median(shares) if len(shares) >= _FEWEST_KEPT else None
    respelt = _find_respelt(counted)
    stopped = usual is not None and usual > _NONE and counted.share <= _FALLEN * usual
    never = counted.matched_none and config.calendar.index(as_of) >= max(labels.max_delay, _FEWEST_KEPT)
    enough = counted.came >= _FEWEST + counted.lost
    in_other_words = counted.came >= _FEWEST and len(respelt) > _NONE * min(counted.came, _MOST_LABELS)
    state, why = ("ok" if counted.share > _NONE else "unknown") if enough else "unknown", ""
    if in_other_words or (enough and (stopped or never)):
        state, why = "unmatched", _tell(counted, respelt if in_other_words else [], usual)
    elif enough:
        shares = [*shares, counted.share][-_KEPT:]
    counts = {"came": counted.came, "matched": counted.answered, "usual_share": usual, "rows_lost": counted.lost}
    return {**counts, "state": state, "why": why, "shares": shares}


def _count(schema: DataSchema, stores: Stores, first: str, as_of: str, delay: int) -> _Newest:
    """The newest labels with their rows, as known at a batch.

    :param first: a batch that they need not go back behind.
    """
    calendar = schema.calendar
    begin = max(0, calendar.index(first) - delay)
    span = calendar.between(calendar.name(begin), as_of)
    arrived = [read_arrived_keys(schema, stores, one) for one in list_partitions(schema, stores, span, as_of)]
    matches = match_keys([(one.keys, one.batches) for one in arrived])
    matched = matches.is_matched & (matches.batch >= matches.label - delay)
    late = np.maximum(0, matches.label - matches.batch)[matched]
    reach = int(np.quantile(late, _NEARLY_ALL)) if len(late) else delay
    labels = matches.value >= 0
    came = np.bincount(matches.label[labels] - begin, minlength=len(span))[::-1].cumsum()[::-1]
    # Of labels from one batch on, rows may be lost that came as much sooner as labels are late.
    lost = _count_lost(stores, span)[::-1].cumsum()[::-1][np.maximum(0, np.arange(len(span)) - reach)]
    oldest = max(np.flatnonzero(came >= _FEWEST + lost), default=0)
    return _Newest(matches, labels & (matches.label >= begin + oldest), matched, int(lost[oldest]))


def _count_lost(stores: Stores, batches: list[str]) -> np.ndarray:
    """(batches,) rows in quarantine, and those that a batch lacks which brought a fifth of the usual or less."""
    records = {one.batch: one for one in sealed_batches(stores.ledger, "rows", batches, batches[-1])}
    usual = statistics.median([one.rows_in for one in records.values() if one.has_rows] or [0])
    came = np.array([records[batch].rows_in if batch in records else 0 for batch in batches])
    clean = [records[batch].clean if batch in records and records[batch].has_rows else 0 for batch in batches]
    lost: np.ndarray = np.where(came <= _FALLEN * usual, usual, came).astype(int) - np.array(clean)
    return lost


def _find_respelt(counted: _Newest) -> list[tuple[Any, Any]]:
    """Labels without a row that would have one in another spelling, each with the key of that row."""
    if counted.came - counted.answered <= _NONE * counted.came:
        return []
    matches = counted.matches
    waiting = matches.keys((matches.row >= 0) & (matches.value < 0))[-_MOST_ROWS:]
    rows = {spelling: key for key in waiting for spelling in (_bare(key), _bare(key, rounded=True))}
    alone = matches.keys(counted.inside & (matches.row < 0))[-_MOST_LABELS:]
    found = ((key, rows.get(_bare(key), rows.get(_bare(key, rounded=_is_rounded(key))))) for key in alone)
    return [(key, row) for key, row in found if row is not None]


def _bare(key: Any, rounded: bool = False) -> Any:
    """A key without what gets lost on the way: capitals, leading zeros, spaces and signs, the last of many digits, how
    accents are written.
    """
    if isinstance(key, tuple):
        return tuple(_bare(part, rounded) for part in key)
    text = unicodedata.normalize("NFKC", re.sub(r"\.0$", "", str(key).strip()))
    if rounded and text.lstrip("-").isdecimal() and len(text) > 15:
        return float(text)
    return "".join(letter for letter in text.casefold() if letter.isalnum()).lstrip("0")


def _is_rounded(key: Any) -> bool:
    parts = key if isinstance(key, tuple) else (key,)
    return any(str(part).lstrip("-").isdecimal() and is_rounded(str(part)) for part in parts)


def _tell(counted: _Newest, respelt: list[tuple[Any, Any]], usual: float | None) -> str:
    """What does not match, with examples of both sides."""
    matches, inside = counted.matches, counted.inside
    alone = counted.came - counted.answered
    told = f"{alone} of the last {counted.came} labels match no row"
    told += f", where {usual:.0%} matched before" if usual is not None else ""
    too_late = int((inside & matches.is_matched & ~counted.matched).sum())
    told += f"; {too_late} came more than labels.max_delay after their row" if too_late else ""
    if respelt:
        label, row = respelt[0]
        spelt = f"{_show(label)} of the labels and {_show(row)} of the rows"
        return f"{told}; {len(respelt)} would in another spelling, such as {spelt}"
    sides = {
        "labels such as": matches.keys(inside & (matches.row < 0)),
        "rows without a label such as": matches.keys((matches.row >= 0) & (matches.value < 0)),
    }
    told += "".join(f"; {what} {', '.join(map(_show, keys[-_EXAMPLES:]))}" for what, keys in sides.items() if len(keys))
    return told


def _show(key: Any) -> str:
    told = repr(key)
    return (told if unicodedata.is_normalized("NFC", told) else ascii(key))[:60]
