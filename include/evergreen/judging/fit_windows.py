"""What challengers of several windows come to on the holdout."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from evergreen.config.contract import ModelConfig, Window
from evergreen.config.model_folder import ModelFolder
from evergreen.config.model_spec import ModelSpec
from evergreen.errors import CodeUnsafe, FeaturesInvalid, ModelIncompatible
from evergreen.features.building import call_predict
from evergreen.features.label_batches import training_span
from evergreen.features.labelled import LabelledRows, count_expected, gather_features, match_labels
from evergreen.features.packing import FittedModel, Recipe, fit_model, packing_folder
from evergreen.features.sampling import Sample
from evergreen.features.trial import try_code
from evergreen.judging.attempts import NO_LABELS, DueAttempt, TrainResult, is_new_code
from evergreen.judging.champion import champion_losses
from evergreen.judging.gate import too_few_of_a_class
from evergreen.judging.promotions import promotion_decided
from evergreen.losses import METRICS
from evergreen.records import FEEDS
from evergreen.storage.revisions import known_revisions
from evergreen.storage.stores import Stores

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WindowTrial:
    """What windows are tried on.

    :param rows: of the holdout, with their labels.
    :param folders: that hold what is fitted until they are closed.
    """

    model: ModelFolder
    stores: Stores
    attempt: DueAttempt
    rows: LabelledRows
    folders: ExitStack


@dataclass(frozen=True)
class Candidate:
    """What one window comes to.

    :param span: first and last label batch.
    :param loss: mean loss on the holdout.
    :param fitted: the model; None where it would be the champion once more.
    :param constant: mean loss of the best constant of the same labels; None without labels.
    """

    span: tuple[str, str]
    loss: float
    fitted: FittedModel | None
    constant: float | None


def fit_windows(
    trial: WindowTrial, windows: Sequence[Window], before: str
) -> tuple[dict[Window, Candidate], TrainResult]:
    """By window what it comes to on the holdout; and, where there is none, why.

    :param before: the label batch that they learn nothing of, nor of any later one.
    """
    model, stores, schema = trial.model, trial.stores, trial.model.config.data_schema
    candidates, lacking = dict[Window, Candidate](), NO_LABELS
    for window in windows:
        span = training_span(schema, stores, trial.attempt.as_of, window, before=before)
        if span is None or any(span == one.span for one in candidates.values()):
            continue
        same = _find_champion(trial, window, span)
        if same is not None:
            candidates[window] = same
            continue
        recipe = Recipe.of(model, window)
        rows = match_labels(recipe.spec.data_schema(schema), stores, *span, sample=Sample.of(recipe.spec))
        why = _too_little(model.config, rows, span[1])
        if why is None:
            try:
                folder = trial.folders.enter_context(packing_folder())
                if not candidates and is_new_code(stores, trial.attempt, model.code_version):
                    try_code(recipe, schema, stores, rows)
                fitted = fit_model(recipe, schema, stores, span, folder, labelled=rows)
                candidates[window] = Candidate(
                    span, _measure_loss(trial, fitted), fitted, _constant_loss(trial, fitted.packed.spec)
                )
            except FeaturesInvalid as error:
                _logger.warning("%s, window %s: %s", model.id, window, error)
                lacking = TrainResult(None, span, len(rows.rows), str(error), fault=True)
                if isinstance(error, CodeUnsafe):
                    break
        elif not lacking.fault:
            lacking = TrainResult(None, span, len(rows.rows), why)
    return candidates, lacking


def _find_champion(trial: WindowTrial, window: Window, span: tuple[str, str]) -> Candidate | None:
    """The champion where a challenger of the window would learn just what it has learnt."""
    model, stores = trial.model, trial.stores
    champion = promotion_decided(stores.ledger, trial.attempt.as_of)
    if champion is None or champion.baseline or trial.rows.rows.empty:
        return None
    if (champion.code, champion.trained_on) != (model.code_version, span):
        return None
    # A batch that was taken in again since, or a label that may come later, makes another training set of the span.
    if model.config.labels is None or any(known_revisions(stores.ledger, feed, trial.attempt.as_of) for feed in FEEDS):
        return None
    schema, metric = model.config.data_schema, METRICS[model.config.gate.metric]
    try:
        theirs = stores.models.load_promoted(champion).spec
        # A search like its own would choose its parameters once more.
        mine = Recipe.of(model, window).spec.model_copy(update={"params": theirs.params})
        if not mine.has_recipe_of(theirs):
            return None
        loss = float(np.mean(champion_losses(schema, metric, stores, champion, trial.rows)))
        return Candidate(span, loss, None, _constant_loss(trial, theirs))
    except (FeaturesInvalid, ModelIncompatible):
        return None


def fit_baseline(trial: WindowTrial, before: str) -> tuple[tuple[str, str], FittedModel | None]:
    """The best constant of all labels, as what is fitted of a window; its model is None where it serves already.

    :param before: the label batch that it learns nothing of, nor of any later one.
    """
    schema, stores = trial.model.config.data_schema, trial.stores
    span = training_span(schema, stores, trial.attempt.as_of, "all", before=before)
    assert span is not None
    champion = promotion_decided(stores.ledger, trial.attempt.as_of)
    if champion is not None and champion.baseline and champion.trained_on == span:
        return span, None
    folder = trial.folders.enter_context(packing_folder())
    return span, fit_model(Recipe.of_baseline(trial.model), schema, stores, span, folder)


def _too_little(config: ModelConfig, labelled: LabelledRows, last: str) -> str | None:
    """Why rows are too few to learn from, None where they are enough.

    :param last: last batch of the span.
    """
    rows, waiting = labelled.rows, count_expected(config.data_schema, labelled, last)
    if rows.empty:
        return "no labelled row to learn from"
    if config.labels is None:
        return None
    if waiting > len(rows):
        return (
            f"of the batches to learn from {len(rows)} rows have a label and {waiting} wait for one; half are needed, "
            "for what is known first may be of one kind"
        )
    few = too_few_of_a_class(config.model.task, rows[config.labels.column].to_numpy())
    return f"to learn from, {few}" if few is not None else None


def _constant_loss(trial: WindowTrial, spec: ModelSpec) -> float | None:
    """Mean loss on the holdout of the best constant of what a model has learnt; None without labels."""
    labels, rows = trial.model.config.labels, trial.rows.rows
    if labels is None or rows.empty or spec.constant is None:
        return None
    target = rows[labels.column].to_numpy(dtype=float)
    with np.errstate(over="ignore"):
        metric = METRICS[trial.model.config.gate.metric]
        return float(np.mean(metric.row_losses(target, np.full(len(target), spec.constant))))


def _measure_loss(trial: WindowTrial, fitted: FittedModel) -> float:
    """Mean loss on the holdout; 0 where there are no labels to tell by."""
    config, rows = trial.model.config, trial.rows.rows
    if config.labels is None or rows.empty:
        return 0.0
    features, _ = gather_features(config.data_schema, trial.stores, fitted.packed, trial.rows)
    predicted = call_predict(fitted.packed, features, f"{rows['batch'].min()} to {rows['batch'].max()}")
    with np.errstate(over="ignore"):
        target = rows[config.labels.column].to_numpy(dtype=float)
        loss = float(np.mean(METRICS[config.gate.metric].row_losses(target, predicted)))
    if not np.isfinite(loss):
        raise FeaturesInvalid(
            f"model {fitted.packed.spec.model}: {config.gate.metric} on the holdout cannot be told: predictions "
            f"lie between {predicted.min():.4g} and {predicted.max():.4g}, labels between {target.min():.4g} and "
            f"{target.max():.4g}; give labels a range in expectations.yaml, or look at features.py"
        )
    return loss
