"""Challengers, how they were judged, and who was promoted."""

from typing import ClassVar, Literal

from include.records.base import Numbers, Part, Record


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
