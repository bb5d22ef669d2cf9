"""What went wrong or is worth knowing, and who was told."""

from typing import ClassVar, Literal

from evergreen.records.base import Record

Cause = Literal[
    "fault-rows", "fault-labels", "stale-rows", "stale-labels", "drift", "decay", "unscored", "unfit", "approval",
    "moved", "overdue", "paused", "failed-batch", "failed-drift", "failed-retrain", "broken", "late",
]  # fmt: skip


class IncidentRecord(Record):
    """The n-th time that one cause arose."""

    kind: ClassVar[str] = "incident"
    cause: Cause
    n: int
    text: str

    @property
    def id(self) -> str:
        """The incident's name in later records."""
        return f"{self.cause}.{self.n}"

    @property
    def address(self) -> tuple[str, int]:
        return self.cause, self.n


class SightingRecord(Record):
    """An open incident seen again."""

    kind: ClassVar[str] = "sighting"
    incident: str
    n: int
    text: str

    @property
    def address(self) -> tuple[str, int]:
        return self.incident, self.n


class ResolutionRecord(Record):
    """An incident that is over."""

    kind: ClassVar[str] = "resolution"
    incident: str
    text: str

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
