"""When to retrain: what each policy looks at, as known then, and the reason that it gives."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from evergreen.config.contract import ModelConfig
from evergreen.config.model_folder import ModelFolder
from evergreen.config.policies_config import CodeChanged, Decay, EveryN, Policy
from evergreen.judging.attempts import get_verdict
from evergreen.judging.promotions import judged_promotion
from evergreen.records import AttemptRecord, ClosingRecord, PromotionRecord, SectionVerdict
from evergreen.storage.stores import Stores

# Asks of one champion that are looked through for its folder's code.
_ASKS = 16


@dataclass(frozen=True)
class Situation:
    """A champion at a check.

    :param idle: batches since it was promoted or the last retraining was closed, whichever is less.
    :param outcomes: what the check concludes of the outcomes.
    :param code_changed: whether the folder's code is another than the champion's, and was not asked for yet.
    """

    idle: int
    outcomes: SectionVerdict
    code_changed: bool = False


def find_reasons(policies: Sequence[Policy], situation: Situation) -> tuple[str, ...]:
    """The reasons for which any of the policies asks for a retraining, each once."""
    reasons = [reason for policy in policies if (reason := _find_reason(policy, situation)) is not None]
    return tuple(dict.fromkeys(reasons))


def describe_situation(
    model: ModelFolder,
    stores: Stores,
    as_of: str,
    promotion: PromotionRecord,
    asked: str | None,
    outcomes: SectionVerdict,
    later: bool = False,
) -> Situation:
    """The champion at a check, from the ledger as known then.

    :param as_of: the check's batch; nothing later is read.
    :param asked: the newest verdict before it that asked.
    :param later: whether a later batch was checked already; what the folder's code is today is then another matter.
    """
    return Situation(
        idle=_count_idle(model.config, stores, as_of, promotion, asked),
        outcomes=outcomes,
        code_changed=not later and _is_code_changed(model, stores, as_of, promotion, asked),
    )


def tell_over_budget(config: ModelConfig, stores: Stores, as_of: str, asked: str | None) -> str:
    """Why ``retrain.budget`` holds a retraining back: what the last one has cost, and from when on it allows another.

    :param asked: the newest verdict before the check that asked.
    :returns: empty where it does not.
    """
    budget = config.retrain.budget
    attempt = stores.ledger.get(AttemptRecord, asked) if asked else None
    if budget is None or attempt is None:
        return ""
    passed = config.calendar.index(as_of) - config.calendar.index(attempt.as_of)
    spent = attempt.meta.get("cpu_seconds", 0.0)
    if timedelta(seconds=spent) <= budget * passed:
        return ""
    following = config.calendar.shift(attempt.as_of, math.ceil(spent / budget.total_seconds()))
    return f"the last one took {spent:.0f} CPU seconds; retrain.budget allows the next at batch {following}"


def _find_reason(policy: Policy, situation: Situation) -> str | None:
    match policy:
        case EveryN(n=n):
            return "due" if situation.idle >= n else None
        case Decay():
            return "decay" if situation.outcomes.state == "bad" else None
        case CodeChanged():
            return "code_changed" if situation.code_changed else None
    return None


def _count_idle(config: ModelConfig, stores: Stores, as_of: str, promotion: PromotionRecord, asked: str | None) -> int:
    now, calendar = config.calendar.index(as_of), config.calendar
    closing = stores.ledger.get(ClosingRecord, asked) if asked else None
    ends = [promotion.as_of] + ([closing.as_of] if closing is not None and closing.as_of < as_of else [])
    return now - max(calendar.index(end) for end in ends)


def _is_code_changed(
    model: ModelFolder, stores: Stores, as_of: str, promotion: PromotionRecord, asked: str | None
) -> bool:
    """Whether the folder's code is neither the champion's nor one that was asked for, or tried, since its promotion.

    What counts is when its recipe was promoted: while the folder's code is refused, the champion's own is refreshed.
    """
    if not any(isinstance(policy, CodeChanged) for policy in model.config.policies):
        return False
    code = model.code_version
    if code == promotion.code:
        return False
    judged = judged_promotion(stores.ledger, promotion)
    for _ in range(_ASKS):
        if asked is None or asked == judged.attempt:
            break
        verdict, attempt = get_verdict(stores, asked), stores.ledger.get(AttemptRecord, asked)
        if verdict.as_of < judged.as_of:
            break
        if verdict.code == code or (attempt is not None and attempt.as_of < as_of and attempt.code == code):
            return False
        asked = verdict.previous_ask
    return True
