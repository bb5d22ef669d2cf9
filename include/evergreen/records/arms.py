"""What was answered online, and who else than the champion answers."""

from typing import ClassVar, Literal

from evergreen.records.base import Part, Record
from evergreen.records.feeds import Partition, SourceFile

Arm = Literal["champion", "challenger"]


class AnswersRecord(Record):
    """Files of online answers that were taken into the lake as of a batch; one that took none has no rows.

    :ivar rows: answers that they brought.
    :ivar copies: answers left out because the files have the same row of the same request twice.
    :ivar torn: lines left out because they cannot be read.
    :ivar content: the hash of the rows; empty without any.
    """

    kind: ClassVar[str] = "answers"
    n: int
    files: tuple[SourceFile, ...]
    rows: int
    copies: int
    torn: int
    content: str

    @property
    def address(self) -> tuple[str, int]:
        return "batches", self.n

    @property
    def partition(self) -> Partition:
        """Where the rows stand."""
        return Partition(table="answers", batch=self.as_of, revision=0, content=self.content)


class ArmReport(Part):
    """One arm as its labels came.

    :ivar answered: rows that it has answered.
    :ivar rows: of these, keys whose label is known.
    :ivar error: of these, in the gate's metric; None without any.
    """

    arm: Arm
    answered: int
    rows: int
    error: float | None


class Comparison(Part):
    """The challenger against the champion on the labels so far, to be looked at as often as one likes.

    :ivar rows: that the comparison is worth: of pairs their number, of two arms half their harmonic mean.
    :ivar improvement: relative to the error of both, batch by batch.
    :ivar lower: lower end of an interval that holds at all looks together.
    """

    rows: float
    improvement: float
    lower: float
    upper: float


class ArmLimit(Part):
    """How a challenger keeps one of the gate's limits online.

    :ivar what: the slice or the calibration.
    :ivar comparison: of the losses there; of calibration in its own unit.
    :ivar may_worsen: how much worse it may be, in the comparison's unit.
    """

    what: str
    comparison: Comparison
    may_worsen: float

    @property
    def is_broken(self) -> bool:
        """Whether it is worse beyond the limit, and beyond noise."""
        return self.comparison.upper < -self.may_worsen

    @property
    def seems_broken(self) -> bool:
        """Whether what was seen is beyond the limit, though it may be noise."""
        return self.comparison.improvement < -self.may_worsen

    @property
    def told(self) -> str:
        """What was seen, in words."""
        seen = self.comparison
        interval = f"{-seen.upper:.1%} to {-seen.lower:.1%}"
        return f"{self.what} is worse by {-seen.improvement:.1%} ({interval}), {self.may_worsen:.1%} is allowed"


class ArmsRecord(Record):
    """Who answers online beside the champion from now on; the newest one holds.

    :ivar experiment: number of the record that began it; it salts the keys.
    :ivar challenger: its version, or the attempt whose challenger it is, as text.
    :ivar share: of a hundred keys those that it answers.
    :ivar since: the batch at which it got that share.
    :ivar limits: how it keeps those limits of the gate of which enough was seen.
    :ivar why: what decided, or who and why.
    """

    kind: ClassVar[str] = "arms"
    n: int
    experiment: int
    challenger: str
    state: Literal["running", "taken back", "ended"]
    share: float
    since: str
    arms: tuple[ArmReport, ...] = ()
    comparison: Comparison | None = None
    limits: tuple[ArmLimit, ...] = ()
    why: str

    @property
    def address(self) -> tuple[str, int]:
        return "online", self.n

    @property
    def version(self) -> int | None:
        """The challenger's version; None where it is an attempt's and has none yet."""
        return int(self.challenger) if self.challenger.isdigit() else None
