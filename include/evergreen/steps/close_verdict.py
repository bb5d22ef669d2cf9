"""Close a verdict that has been answered."""

import logging
from typing import Literal

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import NotReady
from evergreen.incidents import resolve
from evergreen.judging.attempts import DueAttempt, get_verdict
from evergreen.records import ApprovalRecord, AttemptRecord, ClosingRecord, PromotionRecord
from evergreen.storage.ledger import Ledger
from evergreen.storage.stores import Stores, stores_of

_logger = logging.getLogger(__name__)
# Runs of one attempt that may fail before it is given up.
_RUNS = 3
# Attempts whose challengers can still be looked at in MLflow.
_KEPT = 12


def close_verdict(model: ModelFolder, at: Locations, attempt: DueAttempt, runs: int = 1) -> ClosingRecord | None:
    """Close the verdict that an attempt answered, if it is answered.

    :param runs: runs that were begun for this attempt; one that three runs could not finish closes the verdict, so that
        the next check may ask anew.
    :returns: its closing record; None while it waits for a human.
    :raises NotReady: if the attempt was not judged, or has passed and is not promoted, and a further run is to come.
    """
    stores = stores_of(model, at)
    ledger = stores.ledger
    closing = ledger.get(ClosingRecord, attempt.verdict)
    if closing is None:
        record = ledger.get(AttemptRecord, attempt.verdict)
        closing = _conclude(ledger, record) if record is not None else None
        if closing is None and (record is None or _is_won(ledger, record)):
            closing = _give_up(model, attempt, runs)
    if closing is None:
        return None
    # Told before it is recorded: a closed verdict is not looked at again.
    text = f"{model.id}: verdict {closing.verdict} closed: {closing.why}"
    resolve(ledger, "approval", closing.as_of, text)
    resolve(ledger, "overdue", closing.as_of, text)
    standing = ledger.put(closing)
    _drop_old_challenger(model, stores, closing.verdict)
    return standing


def _drop_old_challenger(model: ModelFolder, stores: Stores, verdict: str) -> None:
    """Delete the files of the challenger so many attempts ago; a version that came of it has files of its own.

    It is housekeeping: where it cannot be done it is logged, and the loop goes on.
    """
    asked: str | None = verdict
    try:
        for _ in range(_KEPT):
            asked = get_verdict(stores, asked).previous_ask if asked is not None else None
        run = stores.models.find_run(asked, "challenger") if asked is not None else None
        if run is not None:
            stores.models.drop_files(run)
    except Exception:
        _logger.exception("%s: the files of challenger %s could not be deleted; nothing depends on it", model.id, asked)


def _is_won(ledger: Ledger, record: AttemptRecord) -> bool:
    approval = ledger.get(ApprovalRecord, record.id)
    return record.outcome == "passed" or (approval is not None and approval.approved)


def _give_up(model: ModelFolder, attempt: DueAttempt, runs: int) -> ClosingRecord:
    if runs < _RUNS:
        raise NotReady(
            f"model {model.id}: attempt {attempt.verdict} is not finished, neither refused nor promoted: run {runs} of "
            f"{_RUNS} failed; see its tasks. The next run goes on from there"
        )
    why = f"{runs} runs of attempt {attempt.verdict} failed before it was finished; see their logs"
    return ClosingRecord(as_of=attempt.as_of, verdict=attempt.verdict, outcome="failed", why=why)


def _conclude(ledger: Ledger, record: AttemptRecord) -> ClosingRecord | None:
    next_promotion = ledger.get(PromotionRecord, "champion", record.against)
    approval = ledger.get(ApprovalRecord, record.id)
    outcome: Literal["promoted", "superseded", "refused", "withdrawn"]
    if next_promotion is not None and next_promotion.attempt == record.id:
        outcome, why = "promoted", f"promotion {next_promotion.number}, version {next_promotion.version}"
    elif record.outcome != "refused" and next_promotion is not None:
        outcome, why = "superseded", f"promotion {next_promotion.number} was made by {next_promotion.attempt}"
    elif record.outcome == "needs approval" and approval is not None and not approval.approved:
        outcome, why = "withdrawn", f"{approval.by} said no"
    elif record.outcome == "refused":
        outcome, why = "refused", record.why
    else:
        return None
    return ClosingRecord(as_of=record.as_of, verdict=record.verdict, outcome=outcome, why=why)
