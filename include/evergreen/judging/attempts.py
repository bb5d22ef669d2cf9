"""Attempts: when one is due, on batch time, with a holdout that the champion has not learnt from; what came of it."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from evergreen.config.contract import ModelConfig
from evergreen.errors import Refused
from evergreen.features.label_batches import feed_of, newest_label_batches
from evergreen.records import AttemptRecord, BatchRecord, ClaimRecord, ClosingRecord, PromotionRecord, VerdictRecord
from evergreen.storage.stores import Stores

# Attempts by which windows, and the worth of newer labels, are told, beside the one that is made.
_COMPARED = 11
# A confidence can be told of several batches only: so many, where config.yaml asks for one.
_PROVING = 4


@dataclass(frozen=True)
class DueAttempt:
    """An attempt that can be made, or finished, now.

    :param verdict: id of the open verdict, and of its attempt in records and in MLflow's tags.
    :param as_of: the batch it is made at.
    """

    verdict: str
    as_of: str


@dataclass(frozen=True)
class TrainResult:
    """A trained challenger.

    :param run: id of its MLflow run; None where none could be fitted, or the attempt was judged before.
    :param trained_on: first and last label batch; None where none came before the holdout.
    :param rows: labelled rows that it learnt from.
    :param why: why there is no run, if there is none.
    :param fault: whether that is the folder's code, which somebody has to mend.
    :param window: the window that did best, or ``baseline``; ``tried``: by each the mean loss on the holdout.
    :param seconds: CPU seconds that it took.
    :param refresh: whether it would be the champion once more, and was not fitted.
    :param baseline: whether it is the best constant.
    :param searched: what a search for parameters came to, as ``SearchedParams`` has it; None without one.
    """

    run: str | None
    trained_on: tuple[str, str] | None
    rows: int
    why: str = ""
    fault: bool = False
    window: str = ""
    tried: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    refresh: bool = False
    baseline: bool = False
    searched: dict[str, Any] | None = None


NO_LABELS = TrainResult(None, None, 0, "no labels are known before the holdout")


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
    """A verdict by its id.

    :raises Refused: if there is none.
    """
    verdict = stores.ledger.get(VerdictRecord, *VerdictRecord.address_of(verdict_id))
    if verdict is None:
        raise Refused(f"no verdict {verdict_id} in the ledger; `evergreen status` names the open one")
    return verdict


def earlier_attempts(stores: Stores, verdict_id: str) -> Iterator[AttemptRecord]:
    """The attempts before a verdict's that it is compared with, newest first."""

    def each() -> Iterator[AttemptRecord]:
        asked = get_verdict(stores, verdict_id).previous_ask
        while asked is not None:
            attempt = stores.ledger.get(AttemptRecord, asked)
            if attempt is not None:
                yield attempt
            asked = get_verdict(stores, asked).previous_ask

    return itertools.islice(each(), _COMPARED)


def is_new_code(stores: Stores, attempt: DueAttempt, code: str) -> bool:
    """Whether neither the version in force, nor a challenger of the attempts before, was fitted by a folder's code.

    :param code: the folder's code version.
    """
    promotion = stores.ledger.last(PromotionRecord, "champion")
    if promotion is not None and not promotion.baseline and promotion.code == code:
        return False
    return not any(one.tried and one.code == code for one in earlier_attempts(stores, attempt.verdict))


def find_due_attempt(config: ModelConfig, stores: Stores) -> DueAttempt | None:
    """The attempt that is due, or one that was judged and not finished; None if there is none.

    An attempt is made at the first batch from the verdict's on whose holdout holds nothing that the champion has
    learnt, and a label batch that no attempt was judged on.
    """
    verdict = find_open_verdict(config, stores)
    if verdict is None:
        return None
    judged = stores.ledger.get(AttemptRecord, verdict.id)
    if judged is not None:
        return DueAttempt(verdict.id, judged.as_of)
    as_of = _find_earliest(config, stores, verdict)
    return DueAttempt(verdict.id, as_of) if as_of is not None else None


def holdout_of(config: ModelConfig, stores: Stores, as_of: str) -> list[str]:
    """The label batches that an attempt is judged on at least: the newest that hold ``gate.min_rows`` rows."""
    fewest = _PROVING if config.gate.confidence is not None else 1
    return newest_label_batches(config.data_schema, stores, as_of, config.gate.min_rows, fewest)


def _find_earliest(config: ModelConfig, stores: Stores, verdict: VerdictRecord) -> str | None:
    """The first settled batch at which an attempt may be made."""
    promotion, judged = stores.ledger.last(PromotionRecord, "champion"), _last_judged(stores, verdict)
    newest = stores.ledger.last_batch(BatchRecord, config.calendar, f"{feed_of(config.data_schema)}.")
    # A batch after which nothing was sealed is not settled: there is nothing to look for beyond it.
    if newest is None or not _is_fresh(config, stores, max(newest, verdict.as_of), promotion, judged):
        return None
    # One after the other, for a later revision may have brought labels of a batch that had none: they count from when
    # it was made.
    span = config.calendar.between(verdict.as_of, max(newest, verdict.as_of))
    as_of = next(batch for batch in span if _is_fresh(config, stores, batch, promotion, judged))
    # Claims and sealed labels have no gaps: what holds for this batch holds for those before it.
    settled = stores.ledger.get(ClaimRecord, as_of) is not None and _labels_sealed(config, stores, as_of)
    return as_of if settled else None


def _is_fresh(
    config: ModelConfig, stores: Stores, as_of: str, promotion: PromotionRecord | None, judged: str | None
) -> bool:
    """Whether the promotion in force has learnt nothing of a holdout up to a batch, and it tells something new.

    :param judged: the last label batch that the attempt before was judged on.
    """
    holdout = holdout_of(config, stores, as_of)
    if not holdout or (judged is not None and holdout[-1] <= judged):
        return False
    return promotion is None or holdout[0] > promotion.as_of


def _last_judged(stores: Stores, verdict: VerdictRecord) -> str | None:
    """The last label batch that an earlier verdict's attempt was judged on; who asks by hand need not wait for another.

    Somebody may have changed the code, and wants to know.
    """
    earlier = verdict.previous_ask if "asked" not in verdict.reasons else None
    while earlier is not None:
        attempt = stores.ledger.get(AttemptRecord, earlier)
        if attempt is not None and attempt.holdout:
            return attempt.holdout[-1]
        earlier = get_verdict(stores, earlier).previous_ask
    return None


def _labels_sealed(config: ModelConfig, stores: Stores, batch: str) -> bool:
    return config.labels is None or stores.ledger.get(BatchRecord, f"labels.{batch}") is not None
