"""Challengers that something went wrong with: what the gate says of them."""

from dataclasses import replace

import numpy as np
import pandas as pd
from sklearn.base import clone

from evergreen.features.labelled import match_labels
from evergreen.features.packing import Recipe, fit_model, packing_folder
from evergreen.judging.gate import judge
from evergreen.records import AttemptRecord, PromotionRecord
from evergreen.storage.packed_model import PackedModel
from tests.bench.streams import AHEAD, Run

# Every so many attempts are tried.
_EVERY = 3


def spoil(run: Run, attempts: list[AttemptRecord]) -> dict[str, np.ndarray]:
    """Challengers that something went wrong with, judged at the gate; those that were truly worse by 5 % count.

    :returns: by kind, how many there were, how many passed as new code, and how many as the code that serves.
    """
    found: dict[str, np.ndarray] = {}
    config = run.model.config
    gate = config.gate.model_copy(update={"slices": {}, "sensitive": ()})
    assert config.labels is not None
    for attempt in [one for one in attempts if one.against and one.trained_on][::_EVERY]:
        champion = run.stores.ledger.get(PromotionRecord, "champion", attempt.against - 1)
        assert champion is not None
        assert attempt.trained_on is not None
        serving, target = run.stores.models.load_promoted(champion), config.labels.column
        holdout = match_labels(config.data_schema, run.stores, attempt.holdout[0], attempt.as_of)
        later = run.rows_of([n for n in run.names if n > attempt.as_of][:AHEAD])
        with packing_folder() as folder:
            recipe, schema = Recipe.of(run.model, "all"), config.data_schema
            fitted = fit_model(recipe, schema, run.stores, attempt.trained_on, folder)
            spoilt = _spoilt_losses(
                run, fitted.packed, fitted.features, fitted.labelled.rows[target], holdout.rows, later
            )
        if later.empty:
            continue
        old, truth = run.predict(serving, holdout.rows), run.losses(serving, later).mean()
        for kind, (predicted, losses) in spoilt.items():
            if losses.mean() < 1.05 * truth:
                continue
            outcomes = holdout.rows[target].to_numpy(dtype=float)
            blocks = holdout.rows["known"].to_numpy(dtype=str)
            held = outcomes, old, predicted, blocks, pd.DataFrame()
            passed = [judge(gate, "", *held, new_code)[1] is None for new_code in (True, False)]
            found[kind] = found.get(kind, np.zeros(3, int)) + np.array([1, *passed])
    return found


def _spoilt_losses(
    run: Run,
    packed: PackedModel,
    features: pd.DataFrame,
    target: pd.Series,
    holdout: pd.DataFrame,
    later: pd.DataFrame,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By kind, what a spoilt model predicts for the holdout, and what it loses on the batches that come."""
    random = np.random.default_rng(0)
    shuffled = target.to_numpy().copy()
    chosen = random.choice(len(shuffled), max(2, len(shuffled) // 10), replace=False)
    shuffled[chosen] = random.permutation(shuffled[chosen])
    half = features.copy()
    for name in random.permutation(features.columns)[: len(features.columns) // 2]:
        # One value for all: the first that is there, for scikit-learn bins no column without any.
        first = int(features[name].notna().to_numpy().argmax())
        half[name] = features[name].iloc[np.full(len(features), first)].set_axis(features.index)
    stale = slice(0, max(30, len(features) // 4))
    kinds = {
        "shuffled labels": (features, shuffled),
        "half its columns": (half, target.to_numpy()),
        "a stale window": (features.iloc[stale], target.to_numpy()[stale]),
    }
    found = {}
    for kind, (learnt, outcomes) in kinds.items():
        if run.model.config.model.task == "classification":
            outcomes = outcomes.astype(np.int64)
        wrong = replace(packed, estimator=clone(packed.estimator).fit(learnt, outcomes))
        found[kind] = run.predict(wrong, holdout), run.losses(wrong, later) if len(later) else np.array([])
    return found
