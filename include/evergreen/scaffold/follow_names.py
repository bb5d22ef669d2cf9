"""Files that are named by their batch: the pattern that later ones will fit."""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from evergreen.batches import Every
from evergreen.config.patterns import FilePattern

# The finest first: a name's whole date is meant. One that begins with the day would read two ways.
_DATES = (
    "%Y-%m-%dT%H%M", "%Y-%m-%dT%H", "%Y-%m-%d_%H%M", "%Y-%m-%d_%H", "%Y-%m-%d-%H", "%Y%m%dT%H%M", "%Y%m%dT%H",
    "%Y%m%d%H%M", "%Y%m%d%H", "%Y%m%d_%H", "%Y-%m-%d", "%Y_%m_%d", "%Y.%m.%d", "%Y/%m/%d", "%Y%m%d",
    "%Y-%m", "%Y_%m", "%Y.%m", "%Y/%m", "%Y%m",
)  # fmt: skip
_DIGITS = {"%Y": r"\d{4}", "%m": r"\d\d", "%d": r"\d\d", "%H": r"\d\d", "%M": r"\d\d"}
_DEEPEST = 4
# A batch of one part may have two next time.
_PART = re.compile(r"\b((?:part|chunk|shard|split)[-_.]?)\d+")


@dataclass(frozen=True)
class NamedFiles:
    """Files named by their batch.

    :param pattern: what they fit.
    :param dates: the date in each one's name, in the files' order.
    """

    pattern: str
    dates: tuple[datetime, ...]


def follow_names(paths: tuple[Path, ...], every: Every) -> NamedFiles | None:
    """The pattern that several files fit; None where their names do not tell one batch from the next."""
    for depth in range(1, _DEEPEST + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        for form in _DATES:
            followed = _fit(names, form)
            if followed is not None and FilePattern(followed.pattern).tells(every) and len(set(followed.dates)) > 1:
                return followed
    return None


def _fit(names: list[str], form: str) -> NamedFiles | None:
    digits = re.sub("%[YmdHM]", lambda part: _DIGITS[part[0]], re.escape(form))
    before, dates, after = [], [], []
    for name in names:
        found = re.search(rf"(?<!\d){digits}(?!\d)", name)
        if found is None:
            return None
        try:
            dates.append(datetime.strptime(found[0], form))
        except ValueError:
            return None
        before.append(name[: found.start()])
        after.append(name[found.end() :])
    start, end = _join(before), _join(after)
    if start is None or end is None or not all(1970 <= date.year <= 2200 for date in dates):
        return None
    return NamedFiles(f"{start}{{batch:{form}}}{end}", tuple(dates))


def _join(texts: list[str]) -> str | None:
    """One text for several, with a star where they differ within a folder's or a file's name."""
    parts = [text.split("/") for text in texts]
    if len({len(one) for one in parts}) > 1:
        return None
    return "/".join(_star(list(names)) for names in zip(*parts, strict=True))


def _star(names: list[str]) -> str:
    if len(set(names)) == 1:
        return _PART.sub(r"\1*", names[0])
    start = _common(names)
    end = _common([name[len(start) :][::-1] for name in names])[::-1]
    # A number that grows may have another digit next time.
    return f"{start.rstrip('0123456789')}*{end.lstrip('0123456789')}"


def _common(names: list[str]) -> str:
    """What all names begin with."""
    low, high = min(names), max(names)
    same = next((i for i, letter in enumerate(low) if letter != high[i]), len(low))
    return low[:same]
