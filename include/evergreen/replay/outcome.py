"""What a run came to, in a sentence: of a batch, of a check, of an attempt."""

from zoneinfo import ZoneInfo

from evergreen.config.model_folder import ModelFolder
from evergreen.records import AttemptRecord, BatchRecord, ClaimRecord, ClosingRecord, PromotionRecord, VerdictRecord
from evergreen.replay.column_bars import tell_number
from evergreen.storage.revisions import sealed_batch
from evergreen.storage.stores import Stores


def tell_batch(model: ModelFolder, stores: Stores, batch: str) -> str:
    """How a batch was taken in and who scored it; empty where it is not sealed."""
    record, claim = sealed_batch(stores.ledger, "rows", batch), stores.ledger.last(ClaimRecord, batch)
    if record is None:
        return ""
    if record.state != "published":
        found = f", {_tell_reason(record)}" if record.reasons else ""
        return f"{tell_when(model, batch)}: {record.state}{found}"
    if claim is None or claim.version is None:
        return f"{tell_when(model, batch)}: {f'not scored, {claim.why}' if claim else 'sealed, not scored yet'}"
    apart = f", {record.quarantined:,} in quarantine" if record.quarantined else ""
    return f"{tell_when(model, batch)}: scored by v{claim.version}, {record.clean:,} rows{apart}"


def tell_check(model: ModelFolder, stores: Stores, batch: str) -> str:
    """What the check at a batch concluded; empty where there was none."""
    verdict = stores.ledger.get(VerdictRecord, batch)
    if verdict is None:
        return ""
    states = [f"{name} {one.state}" for name, one in verdict.sections.items() if one.state in ("warn", "bad")]
    drifted = verdict.inputs.numbers.get("drifted", [])
    error, metric = verdict.outcomes.numbers.get("error"), model.config.gate.metric
    facts = [
        *(states or ["nothing warns"]),
        *([f"drifted: {', '.join(drifted[:3])}{' …' if len(drifted) > 3 else ''}"] if drifted else []),
        *([f"{metric} {tell_number(error)}"] if error is not None else []),
        *([f"asks to retrain ({', '.join(verdict.reasons)})"] if verdict.action == "retrain" else []),
    ]
    return f"{tell_when(model, batch)}: {'; '.join(facts)}"


def tell_attempt(stores: Stores, verdict: str) -> str:
    """How the attempt that answers a verdict was judged, and how it ended; empty before there is one."""
    attempt = stores.ledger.get(AttemptRecord, verdict)
    closing = stores.ledger.get(ClosingRecord, verdict)
    if attempt is None:
        return f"verdict {verdict}: {closing.outcome}, {closing.why}" if closing is not None else ""
    newest = stores.ledger.last(PromotionRecord, "champion")
    while newest is not None and newest.attempt != attempt.id and newest.number > attempt.against + 1:
        newest = stores.ledger.get(PromotionRecord, "champion", newest.number - 2)
    if newest is not None and newest.attempt == attempt.id:
        return f"verdict {verdict}: v{newest.version} serves from {newest.effective_from}; {attempt.why}"
    return f"verdict {verdict}: {attempt.outcome}; {attempt.why}"


def tell_when(model: ModelFolder, batch: str) -> str:
    """A batch, and where the schedule keeps another time than UTC, when it ended by that."""
    schedule = model.config.schedule
    if schedule.zone == "UTC":
        return batch
    return f"{batch} (to {schedule.calendar.end(batch).astimezone(ZoneInfo(schedule.zone)):%Y-%m-%d %H:%M %Z})"


def _tell_reason(record: BatchRecord) -> str:
    first = record.reasons[0]
    more, found = len(record.reasons) - 1, first.found.partition("; ")[0]
    found = found if len(found) <= 80 else f"{found[:79]}…"
    return f"{first.column or first.file or 'batch'}: {found}{f' and {more} more' if more else ''}"
