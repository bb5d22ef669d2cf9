"""What a check concludes, and how what it asked for ended."""

from typing import ClassVar, Literal

from evergreen.records.base import Numbers, Part, Record, State


class SectionVerdict(Part):
    """What one section of a check concludes, with its numbers."""

    state: State
    why: str
    numbers: Numbers = {}


class VerdictRecord(Record):
    """What the check at ``as_of`` concludes: four sections, the reasons, and the action.

    ``last_ask`` is the newest verdict that asked for a retraining, this one included, so that the open one is found
    without reading all that came before; ``previous_ask`` is the one before that. ``held`` says why
    nothing is asked for in spite of reasons. ``code`` stands in records of an earlier release alone.
    """

    kind: ClassVar[str] = "verdict"
    n: int
    covers: tuple[str, ...]
    promotion: int | None
    version: int | None
    freshness: SectionVerdict
    inputs: SectionVerdict
    predictions: SectionVerdict
    outcomes: SectionVerdict
    reasons: tuple[str, ...]
    action: Literal["none", "retrain"]
    last_ask: str | None
    previous_ask: str | None
    code: str | None = None
    held: str = ""

    @property
    def id(self) -> str:
        """The verdict's name in later records."""
        return self.id_of(self.as_of, self.n)

    @property
    def sections(self) -> dict[str, SectionVerdict]:
        """The four sections by their names, in the order in which they are told."""
        return {name: getattr(self, name) for name in ("freshness", "inputs", "predictions", "outcomes")}

    @staticmethod
    def id_of(as_of: str, n: int) -> str:
        """The id of the n-th verdict at a batch, 0 being the check's own."""
        return f"{as_of}.{n}"

    @staticmethod
    def address_of(verdict_id: str) -> tuple[str, int]:
        """The address of the verdict with an id."""
        as_of, _, n = verdict_id.rpartition(".")
        return as_of, int(n)

    @property
    def address(self) -> tuple[str, int]:
        return self.as_of, self.n


class WishRecord(Record):
    """A person's wish to retrain, by the name under which it was made, and the verdict that it became."""

    kind: ClassVar[str] = "wish"
    name: str
    verdict: str

    @property
    def address(self) -> tuple[str, int]:
        return self.name, 0


class ClosingRecord(Record):
    """How an asking verdict ended."""

    kind: ClassVar[str] = "closing"
    verdict: str
    outcome: Literal["promoted", "refused", "superseded", "withdrawn", "failed"]
    why: str

    @property
    def address(self) -> tuple[str, int]:
        return self.verdict, 0
