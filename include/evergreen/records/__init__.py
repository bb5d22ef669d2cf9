"""The ledger's record classes: what was decided, one small immutable object each.

A record's path is ``<env>/<model id>/<kind>/<id>/<n>``. Wall time and run ids stand in ``meta``, which takes no part
in equality: two runs that decide the same write equal records.
"""

from evergreen.records.attempts import (
    ApprovalRecord,
    AttemptRecord,
    CalibrationJudgement,
    FairnessReport,
    Freshness,
    GroupReport,
    Judgement,
    PackedRecord,
    PromotionRecord,
    SliceJudgement,
)
from evergreen.records.base import SCHEMA, Feed, Numbers, Part, Record, State
from evergreen.records.feeds import (
    ArrivalRecord,
    BatchRecord,
    ClaimRecord,
    DataRecord,
    FeedRecord,
    IdentityRecord,
    Partition,
    Reason,
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
from evergreen.records.verdicts import ClosingRecord, SectionVerdict, VerdictRecord, WishRecord

__all__ = [
    "SCHEMA",
    "ApprovalRecord",
    "ArrivalRecord",
    "AttemptRecord",
    "BatchRecord",
    "CalibrationJudgement",
    "Cause",
    "ClaimRecord",
    "ClosingRecord",
    "DataRecord",
    "FairnessReport",
    "Feed",
    "FeedRecord",
    "Freshness",
    "GroupReport",
    "IdentityRecord",
    "IncidentRecord",
    "Judgement",
    "NoticeRecord",
    "Numbers",
    "PackedRecord",
    "Part",
    "Partition",
    "PromotionRecord",
    "Reason",
    "Record",
    "ResolutionRecord",
    "RevisionRecord",
    "SectionVerdict",
    "Shared",
    "SightingRecord",
    "SliceJudgement",
    "SnoozeRecord",
    "SourceFile",
    "State",
    "TellingRecord",
    "Told",
    "Unscored",
    "VerdictRecord",
    "WishRecord",
    "Words",
]
