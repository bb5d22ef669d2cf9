"""When the open verdict's next attempt is due: on batch time, with a holdout that no attempt has seen."""

from dataclasses import dataclass

from include.config.contract import ModelConfig
from include.features.known import feed_of, last_label_batches
from include.records import (
    AttemptRecord,
    BatchRecord,
    ClaimRecord,
    ClosingRecord,
    PromotionRecord,
    VerdictRecord,
)
from include.storage.stores import Stores


@dataclass(frozen=True)
class DueAttempt:
    """An attempt that can be made, or finished, now.

    :param verdict: id of the open verdict.
    :param number: the attempt's number, from 1.
    :param as_of: the batch it is made at.
    """

    verdict: str
    number: int
    as_of: str

    @property
    def id(self) -> str:
        """The attempt's name in records and in MLflow's tags."""
        return f"{self.verdict}-{self.number}"


def find_open_verdict(config: ModelConfig, stores: Stores) -> VerdictRecord | None:
    """The verdict that asks and is not closed, or None."""
    newest = newest_verdict(config, stores)
    if newest is None or newest.last_ask is None or stores.ledger.get(ClosingRecord, newest.last_ask) is not None:
        return None
    return get_verdict(stores, newest.last_ask)


def newest_verdict(config: ModelConfig, stores: Stores) -> VerdictRecord | None:
    """The newest verdict there is."""
    claimed = stores.ledger.last_batch(ClaimRecord, config.calendar)
    if claimed is None:
        return None
    for i in range(config.calendar.index(claimed), -1, -1):
        verdict = stores.ledger.last(VerdictRecord, config.calendar.name(i))
        if verdict is not None:
            return verdict
    return None


def get_verdict(stores: Stores, verdict_id: str) -> VerdictRecord:
    """A verdict by its id."""
    as_of, _, n = verdict_id.rpartition(".")
    verdict = stores.ledger.get(VerdictRecord, as_of, int(n))
    if verdict is None:
        raise KeyError(f"no verdict {verdict_id} in the ledger; `evergreen status` names the open one")
    return verdict


def find_due_attempt(config: ModelConfig, stores: Stores) -> DueAttempt | None:
    """The attempt that is due, or one that was judged and not finished; None if there is none.

    An attempt is made at the latest of the verdict's ``as_of``, the holdout + 1 label batches after the promotion in
    force, and the holdout after the last judged attempt: so no holdout is used twice, and the champion was trained on
    none of it.
    """
    verdict = find_open_verdict(config, stores)
    if verdict is None:
        return None
    last = stores.ledger.last(AttemptRecord, verdict.id)
    finished = last is not None and last.outcome == "refused" and last.number < config.retrain.attempts
    if last is not None and not finished:
        return DueAttempt(verdict.id, last.number, last.as_of)
    as_of = _earliest(config, stores, verdict, last or _last_before(stores, verdict))
    if as_of is None:
        return None
    return DueAttempt(verdict.id, last.number + 1 if last else 1, as_of)


def holdout_of(config: ModelConfig, stores: Stores, as_of: str) -> list[str]:
    """The label batches that an attempt is judged on: ``gate.holdout`` of them, fewer where labels come in bulk."""
    return last_label_batches(config, stores, as_of, config.gate.holdout)


def _earliest(config: ModelConfig, stores: Stores, verdict: VerdictRecord, last: AttemptRecord | None) -> str | None:
    """The first settled batch at which an attempt may be made."""
    promotion = stores.ledger.last(PromotionRecord, "champion")
    newest = stores.ledger.last_batch(BatchRecord, config.calendar, f"{feed_of(config)}.")
    learnt, judged = promotion.as_of if promotion else None, last.as_of if last else None
    # A batch after which nothing was sealed is not settled: there is nothing to look for beyond it.
    if newest is None or not _is_fresh(config, stores, max(newest, verdict.as_of), learnt, judged):
        return None
    # One after the other, for a later revision may have brought labels of a batch that had none: they count from when
    # it was made.
    span = config.calendar.between(verdict.as_of, max(newest, verdict.as_of))
    as_of = next(batch for batch in span if _is_fresh(config, stores, batch, learnt, judged))
    # Claims and sealed labels have no gaps: what holds for this batch holds for those before it.
    settled = stores.ledger.get(ClaimRecord, as_of) is not None and _labels_sealed(config, stores, as_of)
    return as_of if settled else None


def _is_fresh(config: ModelConfig, stores: Stores, as_of: str, learnt: str | None, judged: str | None) -> bool:
    """Whether a holdout up to a batch is new to all.

    :param learnt: the promotion in force has learnt labels up to here; a challenger is to have at least one batch more.
    :param judged: the last judged attempt's batch.
    """
    holdout = holdout_of(config, stores, as_of)
    if learnt is None and judged is None:
        return True
    if not holdout or (judged is not None and holdout[0] <= judged):
        return False
    return learnt is None or any(batch > learnt for batch in last_label_batches(config, stores, as_of, 1, holdout[0]))


def _labels_sealed(config: ModelConfig, stores: Stores, batch: str) -> bool:
    return config.labels == "none" or stores.ledger.get(BatchRecord, f"labels.{batch}") is not None


def _last_before(stores: Stores, verdict: VerdictRecord) -> AttemptRecord | None:
    """The last attempt that an earlier verdict led to."""
    earlier = verdict.previous_ask
    while earlier is not None:
        attempt = stores.ledger.last(AttemptRecord, earlier)
        if attempt is not None:
            return attempt
        earlier = get_verdict(stores, earlier).previous_ask
    return None
