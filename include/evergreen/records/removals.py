"""What was removed on purpose: rows that a person asked to be forgotten, and what had reached its age."""

import hashlib
import json
from typing import ClassVar

from evergreen.records.base import Part, Record


class ForgottenRows(Part):
    """Rows taken out of one partition of a table.

    :ivar content: hash of the rows that are left; the records of the partition keep that of the rows as they came.
    """

    table: str
    batch: str
    revision: int
    rows: int
    content: str


class ForgottenFile(Part):
    """A raw file that held forgotten rows.

    :ivar raw: path at which it lay, which ends in the hash that the arrival's record has of it.
    :ivar now: path of the file without these rows; empty where it could not be written without them, and is gone.
    """

    raw: str
    now: str
    sha256: str


class ForgettingRecord(Record):
    """That rows are to be forgotten: put before the first of them is removed, so that a call that was killed goes on.

    :ivar columns: the columns by which the rows were named; what they were named by stands here only as a hash.
    :ivar salt: hashed with it.
    :ivar key: the hash.
    :ivar on: the day, in UTC.
    :ivar versions: the promoted versions whose data version lists a partition with such rows.
    :ivar why: who wanted it, and why.
    """

    kind: ClassVar[str] = "forgetting"
    n: int
    columns: tuple[str, ...]
    salt: str
    key: str
    on: str
    partitions: tuple[ForgottenRows, ...]
    files: tuple[ForgottenFile, ...]
    versions: tuple[int, ...]
    why: str

    @property
    def address(self) -> tuple[str, int]:
        return "rows", self.n

    def names(self, columns: tuple[str, ...], values: tuple[str, ...]) -> bool:
        """Whether these are the values by which the rows were named."""
        return (self.columns, self.key) == (columns, hash_key(self.salt, values))

    @property
    def told(self) -> str:
        """That it was so, in words."""
        return f"forgotten on {self.on} ({self.why})"


class ForgottenRecord(Record):
    """That a forgetting has ended: no table, file, report or record holds the rows.

    :ivar rows: how many were removed, by table.
    :ivar files: raw files that were written anew or removed.
    :ivar reports: pages of checks that were removed.
    :ivar records: records in whose texts a value was blotted out.
    """

    kind: ClassVar[str] = "forgotten"
    n: int
    rows: dict[str, int]
    files: int
    reports: int
    records: int

    @property
    def address(self) -> tuple[str, int]:
        return "rows", self.n


class RetentionRecord(Record):
    """That what a table (or ``raw``) held of the batches before one has reached its age, and is removed.

    :ivar before: the first batch that is kept.
    """

    kind: ClassVar[str] = "retention"
    table: str
    n: int
    before: str

    @property
    def address(self) -> tuple[str, int]:
        return self.table, self.n


def hash_key(salt: str, values: tuple[str, ...]) -> str:
    """The hash that stands for the values by which rows were named."""
    return hashlib.sha256(json.dumps([salt, *values]).encode()).hexdigest()
