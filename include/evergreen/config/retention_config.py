"""The part of the contract that says how long rows are kept."""

import math
import re
from collections.abc import Collection
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from evergreen.config.fields import Contract, Misfit

# The longest month and year, so that nothing goes before its time.
_DAYS = {"day": 1, "week": 7, "month": 31, "year": 366}
_LENGTHS = {"minute": 1 / 1440, "hour": 1 / 24, "day": 1, "week": 7, "month": 31}
# What is learnt from and judged by; raw files and quarantine are looked at by people alone.
NEEDED = ("clean", "labels", "predictions")


def _parse_age(value: Any) -> Any:
    if value is None or isinstance(value, timedelta):
        return value
    found = re.fullmatch(r"P?(\d{1,5})\s*(d(?:ay)?|w(?:eek)?|month|y(?:ear)?)s?", str(value), re.IGNORECASE)
    if not found or not int(found[1]):
        raise ValueError("valid: an age such as 90 days, 12 weeks, 18 months or 3 years")
    unit = next(name for name in _DAYS if name.startswith(found[2].lower()))
    return timedelta(days=int(found[1]) * _DAYS[unit])


Age = Annotated[timedelta | None, BeforeValidator(_parse_age)]


class RetentionConfig(Contract):
    """How old a batch may be before it is removed, by table; what names no age is kept for good.

    An age is such as `90 days` or `3 years`. It counts from the end of the batch to that of the one that is processed.
    What the serving version was fitted on and an open attempt rests on is kept beyond it.
    """

    raw: Age = Field(default=None, description="Files as they came.")
    quarantine: Age = Field(default=None, description="Rows and labels that did not pass.")
    clean: Age = Field(default=None, description="Rows; at least as long as is learnt from and labels take.")
    labels: Age = Field(default=None, description="Labels; likewise.")
    predictions: Age = Field(default=None, description="Predictions; likewise.")
    answers: Age = Field(default=None, description="Answers given online, where `serving` keeps them.")

    @property
    def ages(self) -> dict[str, timedelta]:
        """By table what is removed, and from which age on."""
        given = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: age for name, age in given.items() if age is not None}

    def require_room(self, windows: Collection[int | str], beside: int, every: str) -> None:
        """Refuse an age that is shorter than what the loop reads back.

        :param windows: batches that are learnt from or judged by; a text stands for all of the past.
        :param beside: batches that it reads before these.
        :param every: length of a batch.
        """
        counts = [one for one in windows if isinstance(one, int)]
        back = max(counts) + beside
        least = math.ceil(back * _LENGTHS[every]) + 1
        for name in NEEDED:
            age = self.ages.get(name)
            if age is not None and name != "predictions" and len(counts) < len(windows):
                raise Misfit(
                    f"retention.{name}: found {age.days} days; valid: none, for all of the past is learnt from; "
                    "`training.window` as a number of batches ends that"
                )
            if age is not None and age.days < least:
                raise Misfit(
                    f"retention.{name}: found {age.days} days; valid: at least {least} days, for window, lookback and "
                    f"label delay reach {back} batches back"
                )
