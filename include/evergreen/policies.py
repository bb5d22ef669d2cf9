"""When to retrain: what each policy looks at, as known then, and the reason that it gives."""

import math
from collections.abc import Sequence
from datetime import timedelta

from evergreen.config.contract import ModelConfig
from evergreen.config.policies_config import Decay, EveryN, Policy
from evergreen.records import AttemptRecord, ClosingRecord, PromotionRecord, SectionVerdict
from evergreen.storage.stores import Stores


def find_reasons(policies: Sequence[Policy], idle: int, outcomes: SectionVerdict) -> tuple[str, ...]:
    """The reasons for which any of the policies asks for a retraining, each once.

    :param idle: batches since the champion was promoted or the last retraining was closed, whichever is less.
    :param outcomes: what the check concludes of the outcomes.
    """
    reasons = [reason for policy in policies if (reason := _find_reason(policy, idle, outcomes)) is not None]
    return tuple(dict.fromkeys(reasons))


def count_idle(config: ModelConfig, stores: Stores, as_of: str, promotion: PromotionRecord, asked: str | None) -> int:
    """Batches at a check since the champion was promoted or the last retraining was closed, whichever is less.

    :param as_of: the check's batch; nothing later is read.
    :param asked: the newest verdict before it that asked.
    """
    now, calendar = config.calendar.index(as_of), config.calendar
    closing = stores.ledger.get(ClosingRecord, asked) if asked else None
    ends = [promotion.as_of] + ([closing.as_of] if closing is not None and closing.as_of < as_of else [])
    return now - max(calendar.index(end) for end in ends)


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


def _find_reason(policy: Policy, idle: int, outcomes: SectionVerdict) -> str | None:
    match policy:
        case EveryN(n=n):
            return "due" if idle >= n else None
        case Decay():
            return "decay" if outcomes.state == "bad" else None
    return None
