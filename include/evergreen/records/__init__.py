"""The ledger's record classes: what was decided, one small immutable object each.

A record's path is ``<env>/<model id>/<kind>/<id>/<n>``. Wall time and run ids stand in ``meta``, which takes no part
in equality: two runs that decide the same write equal records.
"""

# It hands on what its modules hold.
# mypy: implicit-reexport
# ruff: noqa: F401

from evergreen.records.arms import AnswersRecord, Arm, ArmLimit, ArmReport, ArmsRecord, Comparison
from evergreen.records.attempts import (
    ApprovalRecord,
    AttemptRecord,
    CalibrationJudgement,
    FairnessReport,
    Freshness,
    GroupReport,
    Judgement,
    PackedRecord,
    SearchedParams,
    SliceJudgement,
)
from evergreen.records.base import FEEDS, SCHEMA, Feed, Numbers, Part, Record, State
from evergreen.records.feeds import (
    ArrivalRecord,
    BatchRecord,
    ClaimRecord,
    DataRecord,
    FeedRecord,
    IdentityRecord,
    Partition,
    Reason,
    RescoreRecord,
    RevisionRecord,
    SourceFile,
    Unscored,
)
from evergreen.records.incidents import (
    Cause,
    IncidentRecord,
    NoticeRecord,
    ResolutionRecord,
    Shared,
    SightingRecord,
    SnoozeRecord,
    TellingRecord,
    Told,
    Words,
)
from evergreen.records.promotions import PromotionRecord, ReproductionRecord
from evergreen.records.removals import (
    ForgettingRecord,
    ForgottenFile,
    ForgottenRecord,
    ForgottenRows,
    RetentionRecord,
)
from evergreen.records.verdicts import ClosingRecord, SectionVerdict, VerdictRecord, WishRecord
from evergreen.records.views import VIEWS, ValuesRecord, ViewRecord
