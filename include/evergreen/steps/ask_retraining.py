"""Ask for a retraining, as a person does."""

from dataclasses import dataclass

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import NotReady
from evergreen.judging.attempts import DueAttempt, find_due_attempt, find_open_verdict, newest_verdict
from evergreen.records import AttemptRecord, VerdictRecord, WishRecord
from evergreen.storage.stores import Stores, stores_of


@dataclass(frozen=True)
class AskResult:
    """What became of a wish.

    :param verdict: the verdict that asks.
    :param as_of: the batch at which it was wished.
    :param attempt: the attempt that answers; None where labels have to come before it can be judged.
    :param why: what it waits for, if it waits.
    """

    verdict: str
    as_of: str
    attempt: DueAttempt | None
    why: str = ""


def ask_retraining(model: ModelFolder, at: Locations, wish: str, why: str) -> AskResult:
    """Ask for a retraining at the newest check, or take up the one that is open.

    :param wish: the wish's own name: a second call under it asks for nothing more.
    :param why: who wants it, and why.
    :returns: the attempt that answers; where it has to wait for labels, the wish stands, and the watch makes it then.
    :raises NotReady: if nothing was checked yet.
    """
    stores = stores_of(model, at)
    standing = stores.ledger.get(WishRecord, wish) or _wish(model, stores, wish)
    _put_verdict(stores, standing, why)
    attempt = stores.ledger.get(AttemptRecord, standing.verdict)
    due = find_due_attempt(model.config, stores)
    if due is not None and due.verdict == standing.verdict:
        return AskResult(standing.verdict, standing.as_of, due)
    if attempt is not None:
        return AskResult(standing.verdict, standing.as_of, DueAttempt(attempt.verdict, attempt.as_of))
    waits = (
        f"model {model.id}: verdict {standing.verdict} asks for a retraining; its attempt waits for "
        f"{model.config.gate.min_rows} labels that the champion has not learnt from. The watch starts it then"
    )
    return AskResult(standing.verdict, standing.as_of, None, waits)


def _wish(model: ModelFolder, stores: Stores, name: str) -> WishRecord:
    newest = newest_verdict(model.config, stores)
    if newest is None:
        raise NotReady(f"model {model.id}: no batch has been checked yet; a retraining can be asked for afterwards")
    verdict = find_open_verdict(model.config, stores)
    verdict_id = verdict.id if verdict is not None else VerdictRecord.id_of(newest.as_of, newest.n + 1)
    return stores.ledger.put(WishRecord(as_of=newest.as_of, name=name, verdict=verdict_id))


def _put_verdict(stores: Stores, wish: WishRecord, why: str) -> None:
    """Write the verdict that a wish stands for, if it is not there: what the check before it saw, and the wish."""
    as_of, n = VerdictRecord.address_of(wish.verdict)
    if stores.ledger.get(VerdictRecord, as_of, n) is not None:
        return
    verdict = stores.ledger.require(VerdictRecord, as_of, n - 1)
    asking: dict[str, object] = {
        "n": n,
        "reasons": ("asked",),
        "action": "retrain",
        "last_ask": wish.verdict,
        "previous_ask": verdict.last_ask,
        "meta": {"asked": why},
    }
    stores.ledger.put(verdict.model_copy(update=asking))
