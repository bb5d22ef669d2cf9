"""What went wrong or is worth knowing, and who was told."""

from typing import ClassVar, Literal, NamedTuple

from evergreen.records.base import Record

Cause = Literal[
    "fault-rows", "fault-labels", "stale-rows", "stale-labels", "stale-views", "unmatched", "drift", "decay",
    "unscored", "unfit", "approval", "moved", "overdue", "paused", "failed-batch", "failed-drift", "failed-retrain",
    "broken", "late", "taken-back",
]  # fmt: skip
# What is told of several models in one message.
Shared = Literal["outage", "digest"]


class Words(NamedTuple):
    """What is told of an incident.

    :ivar text: what happened, where, with its numbers.
    :ivar done: what the loop has done, or leaves as it is.
    :ivar todo: what a person has to do.
    """

    text: str
    done: str = ""
    todo: str = ""

    @property
    def told(self) -> str:
        """All of it, for a medium that takes one text."""
        return " ".join(filter(None, self))


class Told(Record):
    """Words that were put on record; records of before have all of them in ``text``."""

    text: str
    done: str = ""
    todo: str = ""

    @property
    def told(self) -> str:
        return Words(self.text, self.done, self.todo).told


class IncidentRecord(Told):
    """The n-th time that one cause arose.

    :ivar lost: the batch or the run that is not there because of it: the incident is open until it is.
    :ivar place: the service or place that did not answer, which other models use too; empty where it was another thing.
    """

    kind: ClassVar[str] = "incident"
    cause: Cause | Shared
    n: int
    lost: tuple[str, ...] = ()
    place: str = ""

    @property
    def id(self) -> str:
        """The incident's name in later records."""
        return f"{self.cause}.{self.n}"

    @property
    def address(self) -> tuple[str, int]:
        return self.cause, self.n


class SightingRecord(Told):
    """An open incident seen again.

    :ivar lost: all so far that was not there because of it.
    :ivar anew: whether it had not been seen at the batch before: it is news, and no longer the same trouble.
    """

    kind: ClassVar[str] = "sighting"
    incident: str
    n: int
    lost: tuple[str, ...] = ()
    anew: bool = False
    place: str = ""

    @property
    def address(self) -> tuple[str, int]:
        return self.incident, self.n


class ResolutionRecord(Told):
    """An incident that is over.

    :ivar by: who said so; empty where the loop found it.
    """

    kind: ClassVar[str] = "resolution"
    incident: str
    by: str = ""

    @property
    def address(self) -> tuple[str, int]:
        return self.incident, 0


class SnoozeRecord(Record):
    """That nothing is to be told of an incident for a while.

    :ivar until: the day, in UTC, from which on it is told again if it is open.
    """

    kind: ClassVar[str] = "snooze"
    incident: str
    n: int
    until: str
    by: str
    why: str

    @property
    def address(self) -> tuple[str, int]:
        return self.incident, self.n


class NoticeRecord(Record):
    """What was told of an incident, and to whom."""

    kind: ClassVar[str] = "notice"
    incident: str
    event: str
    sink: str

    @property
    def address(self) -> tuple[str, int]:
        return f"{self.incident}.{self.event}.{self.sink}", 0


class TellingRecord(NoticeRecord):
    """That somebody was about to be told. Without the notice, whether it was accepted is not known."""

    kind: ClassVar[str] = "telling"
