"""The feeder: lands the demo's batches one by one for a live loop, and tells what became of each."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.demo.stream import DemoStream
from evergreen.errors import NotReady
from evergreen.judging.attempts import find_due_attempt
from evergreen.records import AttemptRecord, BatchRecord, ClaimRecord, ClosingRecord, PromotionRecord, VerdictRecord
from evergreen.storage.stores import Stores, stores_of


def feed(
    model: ModelFolder,
    at: Locations,
    stream: DemoStream,
    patience: float = 600,
    watch: Callable[[], None] | None = None,
) -> Iterator[str]:
    """Land each batch when the one before has settled: claimed, checked, no attempt due or running.

    :param patience: seconds that one batch may take.
    :param watch: called again and again meanwhile.
    :returns: what became of each batch, in a line.
    :raises NotReady: if a batch does not settle in time.
    """
    stores, calendar = stores_of(model, at), model.config.calendar
    for number in range(1, stream.batches + 1):
        batch = calendar.name(number - 1)
        stream.land(Path(at.landing) / model.id, number)
        deadline = time.monotonic() + patience
        while (lacking := _lacking(model, stores, batch)) is not None:
            if watch is not None:
                watch()
            if time.monotonic() > deadline:
                raise NotReady(f"nothing came of it within {patience:.0f} s: {lacking}")
            time.sleep(0.2)
        yield _describe(model, stores, batch)


def _lacking(model: ModelFolder, stores: Stores, batch: str) -> str | None:
    """What is waited for, in the name of the batch whose turn it is."""
    if stores.ledger.get(ClaimRecord, batch) is None:
        return f"batch {batch} has not been scored"
    if stores.ledger.get(VerdictRecord, batch) is None:
        return f"batch {batch} has not been checked"
    due = find_due_attempt(model.config, stores)
    return f"the retraining that verdict {due.verdict} asks for has not ended" if due is not None else None


def _describe(model: ModelFolder, stores: Stores, batch: str) -> str:
    """A batch in a line: who scored it, what the check said, what came of an attempt."""
    ledger = stores.ledger
    rows, claim = ledger.get(BatchRecord, f"rows.{batch}"), ledger.last(ClaimRecord, batch)
    verdict = ledger.get(VerdictRecord, batch)
    assert rows is not None
    assert claim is not None
    assert verdict is not None
    texts = [claim.outcome]
    if rows.state == "rejected":
        texts.append("; ".join(f"{why.column}: {why.found}" for why in rows.reasons[:1]))
    elif rows.quarantined:
        texts.append(f"{rows.clean} rows, {rows.quarantined} in quarantine")
    if verdict.inputs.state == "warn":
        texts.append(f"inputs warn: {verdict.inputs.why}")
    if verdict.action == "retrain":
        texts.append(f"asks for a retraining: {', '.join(verdict.reasons)}")
    asked = verdict.last_ask
    attempt = ledger.get(AttemptRecord, asked) if asked is not None else None
    if attempt is not None and attempt.as_of == batch:
        texts.append(attempt.why if attempt.begins else f"challenger {attempt.outcome}: {attempt.why}")
    promotion = ledger.last(PromotionRecord, "champion")
    if promotion is not None and promotion.as_of == batch:
        texts.append(f"version {promotion.version} promoted, serves from {promotion.effective_from}")
    closing = ledger.get(ClosingRecord, asked) if asked is not None else None
    if closing is not None and closing.as_of == batch and closing.outcome not in ("promoted", "refused"):
        texts.append(f"verdict {closing.outcome}")
    return f"{batch}  {', '.join(texts)}"
