"""Interval arithmetic: the batches of a schedule and their names."""

import functools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

Every = Literal["minute", "hour", "day", "week", "month"]

_LENGTHS = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}
_FORMS = {"minute": "%Y-%m-%dT%H%M", "hour": "%Y-%m-%dT%H"}
_DIGITS = {
    "%Y": "[0-9]{4}",
    "%m": "(0[1-9]|1[0-2])",
    "%d": "(0[1-9]|[12][0-9]|3[01])",
    "%H": "([01][0-9]|2[0-3])",
    "%M": "[0-5][0-9]",
}
# Three years of days, or of the hours of a month, of some models.
_KEPT = 16_384
_UNITS = {"day": timedelta(days=1), "hour": timedelta(hours=1), "minute": timedelta(minutes=1)}


def tell_duration(span: timedelta) -> str:
    """A length of time in the largest unit of which it is a whole number, such as 2 days or 90 minutes."""
    for unit, length in _UNITS.items():
        if span and not span % length:
            return f"{span // length} {unit}{'s' * (span != length)}"
    seconds = span.total_seconds()
    return f"{seconds:g} second{'s' * (seconds != 1)}"


@dataclass(frozen=True)
class Calendar:
    """The batches of one model, counted from its start.

    A batch is named by its start in UTC, so that names sort as time does: ``2024-01-31``, or ``2024-01-31T05`` where
    batches are hours, ``2024-01-31T0530`` where they are minutes.

    :param every: length of a batch.
    :param start: start of batch 0, in UTC; weeks begin on its weekday, months on its first day.
    """

    every: Every
    start: datetime

    def starts_at(self, index: int) -> datetime:
        """Start of the batch with this index, in UTC."""
        if self.every != "month":
            return self.start + index * _LENGTHS[self.every]
        months = self.start.year * 12 + self.start.month - 1 + index
        return self.start.replace(year=months // 12, month=months % 12 + 1)

    # What is asked most often of all: each is told once.
    @functools.lru_cache(maxsize=_KEPT)  # noqa: B019 - by value: equal calendars share what they have told
    def name(self, index: int) -> str:
        """Name of the batch with this index; negative indices are batches before the start."""
        return self.starts_at(index).strftime(self.form)

    @functools.lru_cache(maxsize=_KEPT)  # noqa: B019
    def moment(self, batch: str) -> datetime:
        """Start of a batch from its name.

        :raises ValueError: if no batch of this calendar has the name.
        """
        try:
            moment = datetime.strptime(batch, self.form).replace(tzinfo=UTC)
        except ValueError:
            raise ValueError(f"{batch!r} is no batch; a {self.every} is named such as {self.name(0)}") from None
        if self.name(self._index_at(moment)) != batch:
            raise ValueError(
                f"{batch!r} is not the start of a {self.every}; the batch that holds it is "
                f"{self.name(self._index_at(moment))}"
            )
        return moment

    def index(self, batch: str) -> int:
        """Position of a batch, 0 at the start."""
        return self._index_at(self.moment(batch))

    def end(self, batch: str) -> datetime:
        """End of a batch (exclusive), in UTC."""
        return self.starts_at(self.index(batch) + 1)

    def shift(self, batch: str, by: int) -> str:
        """Name of the batch that lies ``by`` batches later."""
        return self.name(self.index(batch) + by)

    def between(self, first: str, last: str) -> list[str]:
        """Names of the batches from first to last, both included."""
        return [self.name(i) for i in range(self.index(first), self.index(last) + 1)]

    def containing(self, moment: datetime) -> str:
        """Name of the batch in which a moment lies."""
        return self.name(self._index_at(moment.astimezone(UTC)))

    @property
    def form(self) -> str:
        """How batches are named, in ``strftime``'s terms."""
        return _FORMS.get(self.every, "%Y-%m-%d")

    @property
    def pattern(self) -> str:
        """The same as a regular expression that JSON Schema takes, for forms that people fill in."""
        form = self.form.replace("%d", "01") if self.every == "month" else self.form
        for directive, digits in _DIGITS.items():
            form = form.replace(directive, digits)
        return f"^{form}$"

    def _index_at(self, moment: datetime) -> int:
        if self.every == "month":
            return (moment.year - self.start.year) * 12 + moment.month - self.start.month
        return (moment - self.start) // _LENGTHS[self.every]
