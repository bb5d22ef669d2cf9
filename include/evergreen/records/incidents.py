"""What went wrong or is worth knowing, and who was told."""

from typing import ClassVar, Literal

from evergreen.records.base import Record

Cause = Literal[
    "fault-rows", "fault-labels", "stale-rows", "stale-labels", "unmatched", "drift", "decay", "unscored", "unfit",
    "approval", "moved", "overdue", "paused", "failed-batch", "failed-drift", "failed-retrain", "broken", "late",
]  # fmt: skip


class IncidentRecord(Record):
    """The n-th time that one cause arose.

    :ivar lost: the batch or the run that is not there because of it: the incident is open until it is.
    """

    kind: ClassVar[str] = "incident"
    cause: Cause
    n: int
    text: str
    lost: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The incident's name in later records."""
        return f"{self.cause}.{self.n}"

    @property
    def address(self) -> tuple[str, int]:
        return self.cause, self.n


class SightingRecord(Record):
    """An open incident seen again.

    :ivar lost: all so far that was not there because of it.
    :ivar anew: whether it had not been seen at the batch before: it is news, and no longer the same trouble.
    """

    kind: ClassVar[str] = "sighting"
    incident: str
    n: int
    text: str
    lost: tuple[str, ...] = ()
    anew: bool = False

    @property
    def address(self) -> tuple[str, int]:
        return self.incident, self.n


class ResolutionRecord(Record):
    """An incident that is over.

    :ivar by: who said so; empty where the loop found it.
    """

    kind: ClassVar[str] = "resolution"
    incident: str
    text: str
    by: str = ""

    @property
    def address(self) -> tuple[str, int]:
        return self.incident, 0


class NoticeRecord(Record):
    """What was told of an incident, and to whom."""

    kind: ClassVar[str] = "notice"
    incident: str
    event: str
    sink: str

    @property
    def address(self) -> tuple[str, int]:
        return f"{self.incident}.{self.event}.{self.sink}", 0
