"""Close a verdict that has been answered."""

from typing import Literal

from include.config.locations import Locations
from include.config.model_folder import ModelFolder
from include.errors import NotReady
from include.incidents import report, resolve
from include.judging.attempts import DueAttempt
from include.records import ApprovalRecord, AttemptRecord, ClosingRecord, PromotionRecord
from include.storage.ledger import Ledger
from include.storage.stores import open_stores


def close_verdict(model: ModelFolder, at: Locations, attempt: DueAttempt, runs: int = 1) -> ClosingRecord | None:
    """Close the verdict that an attempt answered, if it is answered.

    :param runs: runs that were begun for this attempt; one that ``retrain.attempts`` runs could not finish closes the
        verdict, so that the next check may ask anew.
    :returns: its closing record; None while it stays open for the next attempt or for a human.
    :raises NotReady: if the attempt was not judged, or has passed and is not promoted, and a further run is to come.
    """
    ledger = open_stores(at, model.id).ledger
    closing = ledger.get(ClosingRecord, attempt.verdict)
    if closing is None:
        record = ledger.get(AttemptRecord, attempt.verdict, attempt.number - 1)
        closing = _conclude(model, ledger, record) if record is not None else None
        if closing is None and (record is None or _is_won(ledger, record)):
            closing = _give_up(model, attempt, runs)
    if closing is None:
        return None
    # Told before it is recorded: a closed verdict is not looked at again.
    resolve(ledger, "approval", closing.as_of, f"{model.id}: verdict {closing.verdict} closed: {closing.why}")
    if closing.outcome == "exhausted":
        text = (
            f"{model.id}: verdict {closing.verdict} closed at batch {closing.as_of} without a better model: "
            f"{closing.why}. Champion stays; look at its features, or at what changed in the source."
        )
        report(ledger, "exhausted", closing.as_of, text)
    resolve(ledger, "overdue", closing.as_of, f"{model.id}: verdict {closing.verdict} closed: {closing.why}")
    return ledger.put(closing)


def _is_won(ledger: Ledger, record: AttemptRecord) -> bool:
    approval = ledger.get(ApprovalRecord, record.id)
    return record.outcome == "passed" or (approval is not None and approval.approved)


def _give_up(model: ModelFolder, attempt: DueAttempt, runs: int) -> ClosingRecord:
    most = model.config.retrain.attempts
    if runs < most:
        raise NotReady(
            f"model {model.id}: attempt {attempt.id} is not finished, neither refused nor promoted: run {runs} of "
            f"{most} failed; see its tasks. The next run goes on from there"
        )
    why = f"{runs} runs of attempt {attempt.id} failed before it was finished; see their logs"
    return ClosingRecord(as_of=attempt.as_of, verdict=attempt.verdict, outcome="exhausted", why=why)


def _conclude(model: ModelFolder, ledger: Ledger, record: AttemptRecord) -> ClosingRecord | None:
    next_promotion = ledger.get(PromotionRecord, "champion", record.against)
    approval = ledger.get(ApprovalRecord, record.id)
    outcome: Literal["promoted", "superseded", "exhausted", "withdrawn"]
    if next_promotion is not None and next_promotion.attempt == record.id:
        outcome, why = "promoted", f"promotion {next_promotion.number}, version {next_promotion.version}"
    elif record.outcome != "refused" and next_promotion is not None:
        outcome, why = "superseded", f"promotion {next_promotion.number} was made by {next_promotion.attempt}"
    elif record.outcome == "needs approval" and approval is not None and not approval.approved:
        outcome, why = "withdrawn", f"{approval.by} said no"
    elif record.outcome == "refused" and record.number >= model.config.retrain.attempts:
        outcome, why = "exhausted", f"{record.number} attempts refused, the last one: {record.why}"
    else:
        return None
    return ClosingRecord(as_of=record.as_of, verdict=record.verdict, outcome=outcome, why=why)
