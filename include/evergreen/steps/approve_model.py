"""Record a human's word on an attempt."""

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.judging.attempts import DueAttempt
from evergreen.records import ApprovalRecord
from evergreen.storage.stores import stores_of


def approve_model(
    model: ModelFolder, at: Locations, attempt: DueAttempt, approved: bool, by: str, why: str = ""
) -> ApprovalRecord:
    """Put a yes or a no on record. The first word stands.

    :param approved: yes or no; silence to the limit is a no.
    :param by: whose word it is.
    :param why: the reason that they gave, if any.
    """
    record = ApprovalRecord(as_of=attempt.as_of, attempt=attempt.verdict, approved=approved, by=by, why=why)
    return stores_of(model, at).ledger.put(record)
