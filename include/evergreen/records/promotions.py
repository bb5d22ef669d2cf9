"""Versions that were promoted, and fitted once more from their records."""

from typing import ClassVar

from evergreen.records.base import Record


class PromotionRecord(Record):
    """A version put in force. Numbers begin at 1; n+1 can only follow a judgement against n.

    :ivar code: code version that it was fitted with.
    :ivar data: data version that it was fitted on.
    :ivar trained_on: the first and the last batch whose labels it has learnt from.
    :ivar effective_from: the first batch that it scores.
    :ivar error: the challenger's error on the holdout; None where nothing was judged.
    :ivar baseline: whether it is the best constant.
    :ivar refreshes: the promotion whose recipe it fits on newer labels; None where it was judged itself.
    :ivar hashes: the SHA-256 of each of its packed files, by name; empty where an earlier release packed it.
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
    baseline: bool = False
    refreshes: int | None = None
    hashes: dict[str, str] = {}

    @property
    def address(self) -> tuple[str, int]:
        return "champion", self.number - 1


class ReproductionRecord(Record):
    """What came of fitting a promoted version once more from its record, aside. A further one stands where it is new.

    :ivar equal: whether it has the same parameters, and the same predictions byte for byte.
    :ivar rows: that it could learn from, and on which predictions were compared; its holdout is among them.
    :ivar parameters: hash of the parameters that were fitted now.
    :ivar found: what differs; of one that is equal, packages that are others than then.
    :ivar why: who wanted to know, and why.
    """

    kind: ClassVar[str] = "reproduction"
    version: int
    n: int
    equal: bool
    rows: int
    parameters: str
    found: tuple[str, ...]
    why: str

    @property
    def address(self) -> tuple[str, int]:
        return str(self.version), self.n
