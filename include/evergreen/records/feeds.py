"""What arrived, what of it was published, and who scores it from which data."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from evergreen.records.base import Feed, Part, Record


class IdentityRecord(Record):
    """What names a model's batches and rows; ``as_of`` is its first batch."""

    kind: ClassVar[str] = "identity"
    model: str
    env: str
    every: str
    key: tuple[str, ...]

    @property
    def address(self) -> tuple[str, int]:
        return "model", 0


class SourceFile(Part):
    """A file as it arrived.

    :ivar raw: path of its copy in the lake; empty where it was refused.
    :ivar refused: why it was not read; empty for all others.
    """

    name: str
    size: int
    sha256: str
    raw: str
    refused: str = ""


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
    """One revision of one batch in one table: ``clean``, ``labels``, ``predictions``, or that of a feature view.

    ``content`` is the hash of its canonical rows; of predictions it is the data version that they were made from.
    """

    table: str
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


Unscored = Literal["rejected", "missing", "empty", "no champion", "unreadable", "failed"]


class ClaimRecord(Record):
    """Who scores a batch: a model version by a promotion, or nobody and why; and what may be read for it.

    :ivar unscored: why nobody scores it: what became of its rows, or that the champion cannot read them or failed on
        them; None where somebody does.
    :ivar why: the same in words, or by which promotion.
    """

    kind: ClassVar[str] = "claim"
    revision: int
    version: int | None
    promotion: int | None
    unscored: Unscored | None = None
    why: str
    data: str
    label_cut: str | None

    @property
    def outcome(self) -> str:
        """Who scored the batch, in words."""
        return f"scored by version {self.version}" if self.version is not None else f"not scored: {self.why}"

    @property
    def address(self) -> tuple[str, int]:
        return self.as_of, self.revision


class RescoreRecord(Record):
    """That a person had a batch scored again; its claim stands, and so does what was predicted then.

    Read from ``as_of`` on, the batch that was open. They are numbered as they were made.

    :ivar revision: of the predictions; a claim has no more than the revisions 0 and 1.
    :ivar data: the batch's rows as they were read by then, with the history that its claim lists.
    :ivar why: who wanted it, and why.
    :ivar wish: the name under which it was asked for; empty where it had none.
    """

    kind: ClassVar[str] = "rescore"
    n: int
    batch: str
    revision: int
    version: int
    promotion: int
    data: str
    why: str
    wish: str = ""

    @property
    def address(self) -> tuple[str, int]:
        return "batches", self.n

    @property
    def scores(self) -> ClaimRecord:
        """As a claim of the batch: who scores it, from which data, in which revision."""
        return ClaimRecord(
            as_of=self.batch,
            revision=self.revision,
            version=self.version,
            promotion=self.promotion,
            why=f"scored again: {self.why}",
            data=self.data,
            label_cut=None,
        )
