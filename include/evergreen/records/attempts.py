"""Challengers, and how they were judged."""

from typing import ClassVar, Literal

from evergreen.records.base import Numbers, Part, Record

# What the ids of attempts begin with that judge a version of another environment.
IMPORT = "import."


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
    """A challenger against the champion (or the baseline) on the same later labels.

    ``improvement`` is what was seen, relative to the champion's loss, and ``lower`` and ``upper`` are the ends of its
    interval; ``expected`` is what is to be expected of later labels, and ``worse`` the probability that the challenger
    is the worse one. ``proof`` is the lower bound at ``gate.confidence``, where config.yaml asks for one.
    """

    against: str
    metric: str
    rows: int
    blocks: int
    champion: float
    challenger: float
    improvement: float
    lower: float
    upper: float
    expected: float
    worse: float
    proof: float | None = None
    slices: tuple[SliceJudgement, ...] = ()
    calibration: CalibrationJudgement | None = None
    fairness: tuple[FairnessReport, ...] = ()

    @property
    def gain(self) -> str:
        """What was seen and what is to be expected, in words."""
        return (
            f"improvement {self.improvement:.1%} on {self.rows} rows, expected {self.expected:.1%}, worse with a "
            f"probability of {self.worse:.0%}"
        )


class Freshness(Part):
    """What labels more are worth: a younger model of one recipe against an older one, on labels that both do not know.

    ``gain`` is the younger one's improvement relative to the older one's loss, ``error`` its standard error.
    """

    gain: float
    error: float


class PackedRecord(Record):
    """The files of a model that was packed for an attempt; what MLflow hands over later must be these.

    A further one stands where a process was killed before MLflow had the files, and others were packed instead.

    :ivar role: challenger or champion, as in MLflow.
    :ivar hashes: the SHA-256 of each file, by name.
    """

    kind: ClassVar[str] = "packed"
    attempt: str
    role: str
    n: int
    hashes: dict[str, str]

    @property
    def address(self) -> tuple[str, int]:
        return f"{self.attempt}.{self.role}", self.n


class SearchedParams(Part):
    """What a search for parameters came to, on inner splits of what the challenger learnt from.

    :ivar asked: sets that were to be tried.
    :ivar trials: sets that were tried, of which ``failed`` could not be fitted; fewer where its time was over.
    :ivar params: those that were chosen; empty where none was better than those of estimator.py.
    :ivar default: the mean loss of those; None where they could not be fitted, or nothing was tried.
    :ivar best: the mean loss of the chosen ones.
    """

    asked: int
    trials: int
    failed: int
    params: dict[str, bool | int | float | str | None]
    default: float | None
    best: float | None


class AttemptRecord(Record):
    """How an asking verdict was answered: trained on what, judged how against which promotion, passed or refused.

    :ivar verdict: the verdict that asked; of a rollback ``rollback.<number of its promotion>``, of an
        import ``import.<hash of the export>.<batch>``.
    :ivar trained_on: the first and the last label batch that the challenger learnt from; None where there was none.
    :ivar waiting_rows: rows of the same batches that had no label yet.
    :ivar window: the label batches that it may learn from, ``all``, or ``baseline``; empty where there was none.
    :ivar tried: of each window, and of the baseline, the mean loss on the holdout; where labels are late, of a fit on
        what was known when its rows arrived.
    :ivar holdout: the label batches it was judged on.
    :ivar against: the promotion it was judged against, 0 for none.
    :ivar baseline: whether the challenger, or what goes on in its place, is the best constant.
    :ivar freshness: what the newest labels were worth at this attempt; None where nothing tells.
    :ivar refresh: whether the challenger would be the champion once more, so that only a fit on newer labels can gain.
    :ivar version: the version that a rollback goes back to, or that an import was registered as.
    :ivar searched: what a search for parameters came to; None without one.
    """

    kind: ClassVar[str] = "attempt"
    verdict: str
    trained_on: tuple[str, str] | None
    training_rows: int
    waiting_rows: int = 0
    window: str = ""
    tried: dict[str, float] = {}
    data: str
    code: str
    holdout: tuple[str, ...]
    against: int
    judgement: Judgement | None
    outcome: Literal["passed", "refused", "needs approval"]
    why: str
    baseline: bool = False
    freshness: Freshness | None = None
    refresh: bool = False
    version: int | None = None
    searched: SearchedParams | None = None

    @property
    def begins(self) -> bool:
        """Whether the best constant goes on in the place of what was judged, for nobody serves."""
        return self.baseline and not self.against

    @property
    def is_import(self) -> bool:
        """Whether it judged a version that another environment has exported."""
        return self.verdict.startswith(IMPORT)

    @property
    def id(self) -> str:
        """The attempt's name in later records and in MLflow's tags: a verdict has one."""
        return self.verdict

    @property
    def address(self) -> tuple[str, int]:
        return self.verdict, 0


class ApprovalRecord(Record):
    """A human's yes or no to an attempt that the gate cannot cover, and why, if they said so."""

    kind: ClassVar[str] = "approval"
    attempt: str
    approved: bool
    by: str
    why: str = ""

    @property
    def address(self) -> tuple[str, int]:
        return self.attempt, 0
