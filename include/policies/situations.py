"""What policies look at, read from ledger and lake as known at a check."""

import functools

import numpy as np

from include.config.contract import ModelConfig
from include.config.model_folder import ModelFolder
from include.config.policies import CodeChanged, Due, Refilled, each_single
from include.errors import FeaturesInvalid
from include.features.known import label_records, last_label_batches
from include.judging.attempts import get_verdict
from include.judging.champion import arrived_labels, champion_losses, read_through
from include.judging.losses import mean_loss
from include.policies.situation import ArrivedLosses, Situation
from include.policies.spread import FEWEST
from include.records import AttemptRecord, ClosingRecord, PromotionRecord, SectionVerdict
from include.storage.stores import Stores

# Asks of one champion that are looked through for its folder's code.
_ASKS = 16


def describe_situation(
    model: ModelFolder,
    stores: Stores,
    covers: list[str],
    promotion: PromotionRecord,
    asked: str | None,
    inputs: SectionVerdict,
    outcomes: SectionVerdict,
) -> Situation:
    """The champion at a check; what only some policies look at is read when they do.

    :param covers: the batches that the check covers; nothing later than the last of them is read.
    :param asked: the newest verdict before it that asked.
    """
    config, as_of = model.config, covers[-1]
    now = config.calendar.index(as_of)
    age = now - config.calendar.index(promotion.as_of)
    closing = stores.ledger.get(ClosingRecord, asked) if asked else None
    closed = closing is not None and closing.as_of < as_of
    since = now - config.calendar.index(closing.as_of) if closing is not None and closed else age
    return Situation(
        age=age,
        idle=min(age, since),
        new_labels=_count_new(config, stores, as_of, promotion.as_of),
        inputs=inputs,
        outcomes=outcomes,
        covers=range(now - len(covers) + 1, now + 1),
        code_changed=_is_code_changed(model, stores, as_of, promotion, asked),
        refilled=_is_refilled(config, stores, as_of, promotion, asked),
        losses=functools.cache(lambda memory: measure_losses(config, stores, promotion, as_of, memory)),
    )


def measure_losses(
    config: ModelConfig, stores: Stores, promotion: PromotionRecord, as_of: str, memory: int
) -> ArrivedLosses | None:
    """The champion's losses on labels of the last batches that brought any since its promotion, as outcomes count them.

    :param memory: label batches.
    :returns: None where there are too few rows, or rows that it cannot score.
    """
    if config.labels == "none":
        return None
    config = read_through(config, stores, promotion)
    labelled = arrived_labels(config, stores, promotion, as_of, memory)
    if labelled is None or len(labelled.rows) < config.check.min_rows:
        return None
    try:
        losses = champion_losses(config, stores, promotion, labelled)
    except FeaturesInvalid:
        return None
    rows, calendar = labelled.rows, config.calendar
    now, first = calendar.index(as_of), str(rows["known"].min())
    before = next(label_records(config, stores, calendar.shift(first, -1), promotion.as_of), None)
    reach = now - calendar.index(before.batch if before is not None else promotion.as_of)
    in_bulk = rows["known"].nunique() < FEWEST <= reach
    place = rows.groupby(["known", "batch"] if in_bulk else ["known"], sort=True).ngroup().to_numpy()
    blocks = [np.flatnonzero(place == n) for n in range(place.max() + 1)]
    known = [str(rows["known"].iloc[block[0]]) for block in blocks]
    return ArrivedLosses(
        ages=tuple(now - calendar.index(batch) for batch in known),
        losses=tuple(losses[block] for block in blocks),
        at_promotion=mean_loss(config.gate.metric, promotion.error) if promotion.error is not None else None,
        reach=reach,
    )


def _count_new(config: ModelConfig, stores: Stores, as_of: str, since: str) -> int:
    """Labels that have come since a promotion, counted no further than a policy asks."""
    wanted = [policy.new_labels or 0 for policy in each_single(config.retrain.any) if isinstance(policy, Due)]
    most, count = max(wanted, default=0), 0
    for record in label_records(config, stores, as_of, since):
        if count >= most:
            break
        count += record.clean
    return count


def _is_code_changed(
    model: ModelFolder, stores: Stores, as_of: str, promotion: PromotionRecord, asked: str | None
) -> bool:
    """Whether the folder's code is neither the champion's nor one that was asked for, or tried, since its promotion."""
    if not any(isinstance(policy, CodeChanged) for policy in each_single(model.config.retrain.any)):
        return False
    code, answered = model.code_version, promotion.attempt.rpartition("-")[0]
    if code == promotion.code:
        return False
    for _ in range(_ASKS):
        if asked is None or asked == answered:
            break
        verdict, attempt = get_verdict(stores, asked), stores.ledger.last(AttemptRecord, asked)
        if verdict.as_of < promotion.as_of:
            break
        if verdict.code == code or (attempt is not None and attempt.as_of < as_of and attempt.code == code):
            return False
        asked = verdict.previous_ask
    return True


def _is_refilled(
    config: ModelConfig, stores: Stores, as_of: str, promotion: PromotionRecord, asked: str | None
) -> bool:
    """Whether a window of labels has come since a champion was promoted for decay or drift, and nothing asked since.

    :param asked: the newest verdict that asked.
    """
    answered = promotion.attempt.rpartition("-")[0]
    if asked != answered or not any(isinstance(policy, Refilled) for policy in each_single(config.retrain.any)):
        return False
    verdict = get_verdict(stores, answered)
    if not {"decay", "drift"} & set(verdict.reasons):
        return False
    return last_label_batches(config, stores, as_of, config.training.window)[0] > promotion.as_of
