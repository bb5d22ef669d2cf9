"""Names of files with the batch in them."""

import re
import unicodedata
from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

_BATCH = re.compile(r"\{batch:([^}]+)\}")
_DIRECTIVES = {
    "%Y": r"\d{4}",
    "%y": r"\d{2}",
    "%m": r"\d{2}",
    "%d": r"\d{2}",
    "%H": r"\d{2}",
    "%M": r"\d{2}",
    "%j": r"\d{3}",
}


def fill_batch(text: str, moment: datetime) -> str:
    """Put a batch's start into the ``{batch:…}`` of a text."""
    return _BATCH.sub(lambda found: moment.strftime(found[1]), text)


def _composed(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFC", name)


class FilePattern:
    """A file name with the batch in it, such as ``trips_{batch:%Y-%m-%d}*.csv``; ``*`` stands for anything.

    :param text: the pattern as config.yaml writes it.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._seen: dict[str, datetime | None] = {}
        before, self._date, after = _BATCH.split(_composed(text))
        date = re.escape(self._date)
        for directive, digits in _DIRECTIVES.items():
            date = date.replace(directive, digits)
        if "%" in date or any(self._date.count(directive) > 1 for directive in _DIRECTIVES):
            raise ValueError(f"valid in {{batch:…}}: {' '.join(_DIRECTIVES)}, each once")
        fixed = [re.escape(part).replace(r"\*", "[^/]*") for part in (before, after)]
        self._regex = re.compile(rf"{fixed[0]}({date}){fixed[1]}\Z")
        parts = f"{re.escape(before)}{date}{re.escape(after)}".split("/")
        above = ["/".join(parts[:depth]).replace(r"\*", "[^/]*") for depth in range(1, len(parts))]
        self._above = [re.compile(rf"{folder}\Z") for folder in above]

    def moment_of(self, name: str) -> datetime | None:
        """The date that a file name carries (naive), or None where it does not fit the pattern."""
        # A landing folder is listed several times a batch, and may hold years of names.
        if name not in self._seen:
            self._seen[name] = self._read(name)
        return self._seen[name]

    def _read(self, name: str) -> datetime | None:
        # Some systems write an accent apart from its letter, and the name looks the same.
        found = self._regex.match(_composed(name))
        if not found:
            return None
        try:
            return datetime.strptime(found[1], self._date)
        except ValueError:
            return None

    def leads_below(self, folder: str) -> bool:
        """Whether a file that fits may lie anywhere below a folder of this name."""
        depth = folder.count("/")
        return depth < len(self._above) and self._above[depth].match(_composed(folder)) is not None

    def tells(self, every: str) -> bool:
        """Whether its date is fine enough to tell one batch from the next."""
        said = set(_DIRECTIVES) & {self._date[i : i + 2] for i in range(len(self._date))}
        day = "%j" in said or {"%m", "%d"} <= said
        hour = day and "%H" in said
        fine = {"minute": hour and "%M" in said, "hour": hour, "month": "%m" in said or "%j" in said}.get(every, day)
        return fine and bool(said & {"%Y", "%y"})

    def name_for(self, moment: datetime) -> str:
        """The plainest file name that stands for a batch: every ``*`` left empty."""
        return fill_batch(self.text, moment).replace("*", "")

    def __repr__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FilePattern) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


def _parse_pattern(value: Any) -> Any:
    if isinstance(value, str):
        if value.startswith("/") or ".." in value.split("/"):
            raise ValueError("valid: a file pattern below the landing folder, without / before it and .. in it")
        if len(_BATCH.findall(value)) != 1:
            raise ValueError("valid: a file pattern with the batch in it once, such as trips_{batch:%Y-%m-%d}*.csv")
        return FilePattern(value)
    if not isinstance(value, FilePattern):
        raise ValueError("valid: a text, a file pattern such as trips_{batch:%Y-%m-%d}*.csv")
    return value


Pattern = Annotated[FilePattern, BeforeValidator(_parse_pattern), PlainSerializer(str)]
