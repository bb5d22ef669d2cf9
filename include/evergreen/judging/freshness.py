"""Freshness: what labels more are worth to a recipe, told by its younger and its older models on labels new to both.

A challenger that would be the champion once more cannot be judged against it. Whether a fit on the newest labels, a
*refresh*, is to be expected to serve better is told by what the ones before it brought.
"""

import numpy as np

from evergreen.config.contract import ModelConfig
from evergreen.config.gate_config import GateConfig
from evergreen.errors import FeaturesInvalid, ModelIncompatible
from evergreen.features.labelled import LabelledRows, blocks_of
from evergreen.judging.champion import champion_losses
from evergreen.judging.uncertainty import expect_mean, expect_pooled, lower_bound, relative_to
from evergreen.losses import METRICS
from evergreen.records import Freshness, PromotionRecord
from evergreen.storage.stores import Stores

# Attempts that must tell of it before it is believed.
_FEWEST = 3
# What an attempt counts of the one after it: where nothing changes, labels more are worth less and less.
_FADING = 0.95


def champion_freshness(
    config: ModelConfig, stores: Stores, champion: PromotionRecord, labelled: LabelledRows
) -> Freshness | None:
    """The champion against the version that it replaced, where they are of one recipe, and it has learnt later labels.

    :param labelled: rows that the champion has not learnt from.
    """
    before = stores.ledger.get(PromotionRecord, "champion", champion.number - 2) if champion.number > 1 else None
    if before is None or before.baseline or champion.baseline or labelled.rows.empty:
        return None
    if before.code != champion.code or before.trained_on[1] >= champion.trained_on[1]:
        return None
    if not stores.models.has_version(before.version):
        return None
    try:
        older, younger = (stores.models.load_promoted(one).spec for one in (before, champion))
        if older.window != younger.window:
            return None
        schema, metric = config.data_schema, METRICS[config.gate.metric]
        old, new = (champion_losses(schema, metric, stores, one, labelled) for one in (before, champion))
    except (FeaturesInvalid, ModelIncompatible):
        return None
    blocks = blocks_of(labelled)
    gain = expect_mean(relative_to(old - new, old, blocks), blocks)
    return Freshness(gain=gain.mean, error=gain.error) if np.isfinite([gain.mean, gain.error]).all() else None


def judge_refresh(gate: GateConfig, seen: list[Freshness]) -> tuple[str, bool]:
    """Whether a refresh is to be expected to serve better, by what the newest labels were worth so far.

    :param seen: one an attempt, newest first.
    :returns: why, and whether it is.
    """
    if len(seen) < _FEWEST:
        why = f"nothing new to judge: what newer labels are worth is told by {len(seen)} attempts, {_FEWEST} are needed"
        return why, False
    gains = np.array([one.gain for one in seen])
    worth = expect_pooled(gains, np.array([one.error for one in seen]), _FADING ** np.arange(len(seen)))
    text = (
        f"refresh: newer labels were worth {worth.mean:.1%} over {len(seen)} attempts, expected {worth.expected:.1%}, "
        f"worse with a probability of {worth.negative:.0%}"
    )
    if worth.expected <= gate.min_effect:
        return f"{text}; not above the minimum effect {gate.min_effect:.1%}", False
    if gate.confidence is not None and lower_bound(gains, np.arange(len(gains)), gate.confidence).lower <= 0:
        return f"{text}; not beyond noise at {100 * gate.confidence:.4g}%", False
    return text, True
