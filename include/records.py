"""The ledger's record classes: what was decided, one small immutable object each.

A record's place is ``<env>/<model id>/<kind>/<id>/<n>``. Wall time and run ids stand in ``meta``, which takes no part
in equality: two runs that decide the same write equal records.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

Feed = Literal["rows", "labels"]
State = Literal["ok", "warn", "bad", "provisional"]
Numbers = dict[str, Any]


class Part(BaseModel):
    """A frozen part of a record."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Record(Part):
    """One decision. ``as_of`` is the last batch whose arrivals it read."""

    kind: ClassVar[str]
    as_of: str
    meta: dict[str, Any] = {}

    @property
    def address(self) -> tuple[str, int]:
        """Id and number below the record's kind."""
        raise NotImplementedError

    def body(self) -> dict[str, Any]:
        """Everything but ``meta``, as JSON values."""
        return self.model_dump(mode="json", exclude={"meta"})

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, Record) and self.body() == other.body()

    def __hash__(self) -> int:
        return hash((self.kind, self.address))


class SourceFile(Part):
    """A file as it arrived; ``raw`` is the path of its copy in the lake."""

    name: str
    size: int
    sha256: str
    raw: str


class Reason(Part):
    """Why rows or a whole batch did not pass."""

    expectation: str
    column: str | None = None
    found: str
    rows: int
    file: str | None = None


class FeedRecord(Record):
    """One revision of one feed's batch. Revision 0 is made as the batch arrives; later ones at a later ``as_of``."""

    feed: Feed
    batch: str = ""
    revision: int

    @model_validator(mode="before")
    @classmethod
    def _batch_of_its_own_time(cls, body: Any) -> Any:
        """Revision 0 may leave its batch to ``as_of``, as records did when there was no other."""
        return {"batch": body.get("as_of"), **body} if isinstance(body, dict) else body

    @property
    def address(self) -> tuple[str, int]:
        return f"{self.feed}.{self.batch}", self.revision


class ArrivalRecord(FeedRecord):
    """The files that make up one revision of a batch."""

    kind: ClassVar[str] = "arrival"
    files: tuple[SourceFile, ...]


class BatchRecord(FeedRecord):
    """A sealed batch: published, rejected, or missing. ``content`` is the hash of its canonical clean rows.

    :ivar columns: the columns that the contract declared, by the type that they are stored in; empty in old records.
    :ivar brought: the newest batch of the feed, up to this one, that was published with rows; empty if none was yet. By
        it years without any are passed over in one step. None in old records, and in later revisions.
    """

    kind: ClassVar[str] = "batch"
    state: Literal["published", "rejected", "missing"]
    files: tuple[SourceFile, ...] = ()
    rows_in: int = 0
    clean: int = 0
    quarantined: int = 0
    content: str = ""
    reasons: tuple[Reason, ...] = ()
    left_out: tuple[str, ...] = ()
    columns: dict[str, str] = {}
    brought: str | None = None

    @property
    def has_rows(self) -> bool:
        """Whether it was published with rows."""
        return self.state == "published" and self.clean > 0


class RevisionRecord(Record):
    """That a batch is read in another revision from ``as_of`` on. They are numbered as they were made.

    :ivar feeds: both where the labels stand inside the rows.
    """

    kind: ClassVar[str] = "revision"
    n: int
    feeds: tuple[Feed, ...]
    batch: str
    revision: int
    added: int
    removed: int
    changed: int

    @property
    def address(self) -> tuple[str, int]:
        return "batches", self.n


class Partition(Part):
    """One revision of one batch in one table.

    ``content`` is the hash of its canonical rows; of predictions it is the data version that they were made from.
    """

    table: Literal["clean", "labels", "predictions"]
    batch: str
    revision: int
    content: str


class DataRecord(Record):
    """A data version: the list of partitions that were read. Its id is the hash of the list."""

    kind: ClassVar[str] = "data"
    partitions: tuple[Partition, ...]

    @classmethod
    def listing(cls, partitions: Iterable[Partition]) -> Self:
        """The data version that is made of these partitions; its ``as_of`` is the newest of them."""
        listed = sorted(set(partitions), key=lambda p: (p.table, p.batch, p.revision))
        return cls(as_of=max((p.batch for p in listed), default=""), partitions=tuple(listed))

    @property
    def id(self) -> str:
        """Hash of the sorted list."""
        listed = sorted((p.table, p.batch, p.revision, p.content) for p in self.partitions)
        return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:32]

    @property
    def address(self) -> tuple[str, int]:
        return self.id, 0


class ClaimRecord(Record):
    """Who scores a batch: a model version by a promotion, or nobody and why; and what may be read for it."""

    kind: ClassVar[str] = "claim"
    revision: int
    version: int | None
    promotion: int | None
    why: str
    data: str
    label_cut: str | None

    @property
    def address(self) -> tuple[str, int]:
        return self.as_of, self.revision


class SectionVerdict(Part):
    """What one section of a check concludes, with its numbers."""

    state: State
    why: str
    numbers: Numbers = {}


class VerdictRecord(Record):
    """What the check at ``as_of`` concludes: four sections, the reasons, and the action.

    ``last_ask`` is the newest verdict that asked for a retraining, this one included, so that the open one is found
    without reading all that came before; ``previous_ask`` is the one before that. ``code`` is the model folder's code
    version where ``code_changed`` is among the reasons.
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

    @property
    def id(self) -> str:
        """The verdict's name in later records."""
        return f"{self.as_of}.{self.n}"

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
    outcome: Literal["promoted", "superseded", "exhausted", "withdrawn"]
    why: str

    @property
    def address(self) -> tuple[str, int]:
        return self.verdict, 0


class SliceJudgement(Part):
    """Champion and challenger on one value of a declared column."""

    column: str
    value: str
    rows: int
    champion: float
    challenger: float
    worse_by: float
    passed: bool


class CalibrationJudgement(Part):
    """Champion's and challenger's calibration error on the same labels.

    Of probabilities the expected calibration error, and ``worse_by`` its growth; of a regression the size of the mean
    residual, and ``worse_by`` its growth in shares of the champion's error.
    """

    rows: int
    champion: float
    challenger: float
    worse_by: float
    passed: bool


class GroupReport(Part):
    """Champion and challenger on one group of a sensitive column: numbers by name, where it has rows for them."""

    value: str
    rows: int
    champion: Numbers
    challenger: Numbers


class FairnessReport(Part):
    """The groups of a sensitive column but for small ones, and each number's largest gap between two of them."""

    column: str
    groups: tuple[GroupReport, ...]
    champion_gap: Numbers
    challenger_gap: Numbers
    left_out_groups: int
    left_out_rows: int


class Judgement(Part):
    """A challenger against the champion (or a constant) on the same later labels.

    ``improvement`` is relative to the champion's loss; ``lower`` is the lower end of its one-sided interval at
    ``confidence``, which records from before it was written down do not have.
    """

    against: str
    metric: str
    rows: int
    blocks: int
    champion: float
    challenger: float
    improvement: float
    lower: float
    confidence: float | None = None
    slices: tuple[SliceJudgement, ...] = ()
    calibration: CalibrationJudgement | None = None
    fairness: tuple[FairnessReport, ...] = ()


class AttemptRecord(Record):
    """One try to answer an open verdict: trained on what, judged how against which promotion, passed or refused.

    :ivar number: 1 for the first try.
    :ivar trained_on: the first and the last label batch that the challenger learnt from.
    :ivar holdout: the label batches it was judged on.
    :ivar against: the promotion it was judged against, 0 for none.
    """

    kind: ClassVar[str] = "attempt"
    verdict: str
    number: int
    trained_on: tuple[str, str]
    training_rows: int
    data: str
    code: str
    holdout: tuple[str, ...]
    against: int
    judgement: Judgement | None
    outcome: Literal["passed", "refused", "needs approval"]
    why: str

    @property
    def id(self) -> str:
        """The attempt's name in later records and in MLflow's tags."""
        return f"{self.verdict}-{self.number}"

    @property
    def address(self) -> tuple[str, int]:
        return self.verdict, self.number - 1


class ApprovalRecord(Record):
    """A human's yes or no to an attempt that the gate cannot cover."""

    kind: ClassVar[str] = "approval"
    attempt: str
    approved: bool
    by: str

    @property
    def address(self) -> tuple[str, int]:
        return self.attempt, 0


class PromotionRecord(Record):
    """A version put in force. Numbers begin at 1; n+1 can only follow a judgement against n.

    :ivar code: code version that it was fitted with.
    :ivar data: data version that it was fitted on.
    :ivar trained_on: the first and the last batch whose labels it has learnt from.
    :ivar effective_from: the first batch that it scores.
    :ivar error: the challenger's error on the holdout, against which decay is measured; None where nothing was judged.
    """

    kind: ClassVar[str] = "promotion"
    number: int
    version: int
    attempt: str
    code: str
    data: str
    trained_on: tuple[str, str]
    effective_from: str
    error: float | None

    @property
    def address(self) -> tuple[str, int]:
        return "champion", self.number - 1


Cause = Literal[
    "fault-rows", "fault-labels", "stale-rows", "stale-labels", "drift", "decay", "refused", "exhausted", "promoted",
    "incompatible", "approval", "moved", "overdue", "paused", "failed-batch", "failed-drift", "failed-retrain",
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
