"""Versions of feature views, and what each was for a batch; they belong to no model, and have a ledger of their own."""

from datetime import datetime, timedelta
from typing import ClassVar

from evergreen.records.base import Record
from evergreen.records.feeds import Partition

# In the place of a model's id; no model folder may be called so.
VIEWS = "@views"


class ViewRecord(Record):
    """A version of a feature view: its definition and its code, from which it is computed from then on.

    ``as_of`` is the first batch of its source.

    :ivar source: the model whose rows it reads.
    :ivar every: length of the source's batches.
    :ivar start: of the first of them.
    :ivar needed: columns of the source that it reads, by the type that they are stored in.
    :ivar columns: its values, by the type that they are stored in.
    :ivar code: the text of view.py.
    """

    kind: ClassVar[str] = "view"
    view: str
    version: int
    source: str
    every: str
    start: datetime
    lookback: int
    key: tuple[str, ...]
    event_time: str
    needed: dict[str, str]
    columns: dict[str, str]
    ttl: timedelta
    time_limit: timedelta
    code: str

    @property
    def address(self) -> tuple[str, int]:
        return f"{self.view}.v{self.version}", 0

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"view {self.view} version {self.version}"


class ValuesRecord(Record):
    """What a version of a view is by a batch: how many values, and from which partitions of its source.

    It is put before the values are written: who computes them again, computes them from these partitions.
    """

    kind: ClassVar[str] = "values"
    view: str
    version: int
    read: tuple[Partition, ...]
    values: int
    content: str

    @property
    def address(self) -> tuple[str, int]:
        return f"{self.view}.v{self.version}.{self.as_of}", 0

    @property
    def partition(self) -> Partition:
        """The values as they stand in the lake."""
        table = f"{VIEWS}/{self.view}.v{self.version}"
        return Partition(table=table, batch=self.as_of, revision=0, content=self.content)
