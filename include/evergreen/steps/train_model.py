"""Train a challenger."""

import json
import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from evergreen.config.contract import ModelConfig, Window
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import CodeUnsafe, FeaturesInvalid, ModelIncompatible
from evergreen.features.building import call_predict
from evergreen.features.evidence import SEARCHED_TAG, TRIED_TAG, WINDOW_TAG, fitted_span, log_fitted
from evergreen.features.label_batches import training_span
from evergreen.features.labelled import LabelledRows, count_expected, gather_features, label_delay, match_labels
from evergreen.features.packing import FittedModel, Recipe, fit_model, packing_folder
from evergreen.features.sampling import Sample
from evergreen.features.trial import try_code
from evergreen.judging.attempts import DueAttempt, earlier_attempts, is_new_code
from evergreen.judging.champion import champion_losses
from evergreen.judging.gate import too_few_of_a_class
from evergreen.judging.holdout import choose_holdout
from evergreen.judging.promotions import promotion_decided
from evergreen.judging.windows import MOST, choose_window
from evergreen.losses import METRICS
from evergreen.records import AttemptRecord, Feed
from evergreen.storage.lease import hold_lease
from evergreen.storage.logged_model import Trial
from evergreen.storage.revisions import known_revisions
from evergreen.storage.stores import Stores, stores_of

_logger = logging.getLogger(__name__)
_FEEDS: tuple[Feed, ...] = ("rows", "labels")


@dataclass(frozen=True)
class TrainResult:
    """A trained challenger.

    :param run: id of its MLflow run; None where none could be fitted, or the attempt was judged before.
    :param trained_on: first and last label batch; None where none came before the holdout.
    :param rows: labelled rows that it learnt from.
    :param why: why there is no run, if there is none.
    :param fault: whether that is the folder's code, which somebody has to mend.
    :param window: the window that did best, and by window that was tried the mean loss on the holdout.
    :param seconds: CPU seconds that it took.
    :param refresh: whether it would be the champion once more, and was not fitted.
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
    searched: dict[str, Any] | None = None


_NOTHING = TrainResult(None, None, 0, "no labels are known before the holdout")


@dataclass(frozen=True)
class _Trial:
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
class _Candidate:
    """What one window comes to.

    :param span: first and last label batch.
    :param loss: mean loss on the holdout.
    :param fitted: the model; None where it would be the champion once more.
    """

    span: tuple[str, str]
    loss: float
    fitted: FittedModel | None


def train_model(model: ModelFolder, at: Locations, attempt: DueAttempt) -> TrainResult:
    """Fit a challenger on the labels known before the holdout, of each window one, and log the better.

    Windows are compared on the holdout and on those of the attempts before; where labels are late, by fits on what was
    known when the holdout's rows arrived, for so is what serves fitted. A run of this attempt that is there already is
    used, with the span and the rows that it was fitted on: nothing is trained twice, whatever config.yaml says by now.
    The model's own code failing is no run either: the attempt is then refused for it, as trying again would be.

    :raises NotReady: while another process is at the attempt.
    """
    stores = stores_of(model, at)
    with hold_lease(at, model.id, attempt.verdict):
        run = stores.models.find_run(attempt.verdict, "challenger")
        if run is not None:
            return _read_result(stores, run)
        judged = stores.ledger.get(AttemptRecord, attempt.verdict)
        if judged is not None:
            return TrainResult(None, judged.trained_on, judged.training_rows)
        return _train(model, stores, attempt)


def _train(model: ModelFolder, stores: Stores, attempt: DueAttempt) -> TrainResult:
    begun, config = time.process_time(), model.config
    holdout, rows = choose_holdout(config, stores, attempt.as_of)
    if not holdout:
        return _NOTHING
    # Without labels there is nothing to choose by.
    windows = config.windows if config.labels is not None else config.windows[:1]
    delay = label_delay(config.data_schema, rows, MOST) if len(windows) > 1 else 0
    with ExitStack() as folders:
        trial = _Trial(model, stores, attempt, rows, folders)
        # A young stream knew too little when the rows arrived.
        for late in sorted({delay, 0}, reverse=True):
            candidates, lacking = _fit_windows(trial, windows, config.calendar.shift(holdout[0], -late))
            if len(candidates) > 1 or lacking.fault:
                break
        losses = {window: one.loss for window, one in candidates.items()}
        earlier = [one.tried for one in earlier_attempts(stores, attempt.verdict)]
        window = choose_window(losses, earlier, late) if losses else windows[0]
        if losses and late:
            candidates, lacking = _fit_windows(trial, (window,), holdout[0])
        spent = time.process_time() - begun
        if window not in candidates:
            # It is to be judged from the holdout on, however late labels are.
            span = training_span(config.data_schema, stores, attempt.as_of, window, before=holdout[0])
            return replace(lacking, trained_on=span, seconds=spent)
        tried, fitted = {str(one): loss for one, loss in losses.items()}, candidates[window].fitted
        result = TrainResult(None, candidates[window].span, 0, window=str(window), tried=tried, seconds=spent)
        if fitted is None:
            return replace(result, refresh=True)
        try:
            return _log(trial, fitted, result, begun)
        except FeaturesInvalid as error:
            # Of no set of parameters that it suggests.
            return replace(result, why=str(error), fault=True, seconds=time.process_time() - begun)


def _log(trial: _Trial, fitted: FittedModel, result: TrainResult, begun: float) -> TrainResult:
    """Log what was fitted, by parameters that were searched for where config.yaml says so."""
    model, attempt = trial.model, trial.attempt
    tags = {TRIED_TAG: json.dumps(result.tried), WINDOW_TAG: result.window}
    trials: tuple[Trial, ...] = ()
    searched, spent = None, result.seconds
    if model.config.training.search is not None:
        # Its import takes seconds, and most models do not search.
        from evergreen.features.search import fit_searched

        folder = trial.folders.enter_context(packing_folder())
        fitted, search = fit_searched(fitted, model.code, model.config.data_schema, trial.stores, folder)
        searched, trials, spent = search.told.model_dump(), search.trials, time.process_time() - begun
        tags[SEARCHED_TAG] = json.dumps(searched)
    code, expectations = model.code_version, model.expectations
    run = log_fitted(
        trial.stores, attempt.verdict, attempt.as_of, "challenger", fitted, code, expectations, tags, spent, trials
    )
    rows = int(fitted.maturity.kept.sum())
    return replace(result, run=run, rows=rows, seconds=spent, searched=searched)


def _fit_windows(trial: _Trial, windows: Sequence[Window], before: str) -> tuple[dict[Window, _Candidate], TrainResult]:
    """By window what it comes to on the holdout; and, where there is none, why.

    :param before: the label batch that they learn nothing of, nor of any later one.
    """
    model, stores, schema = trial.model, trial.stores, trial.model.config.data_schema
    candidates, lacking = dict[Window, _Candidate](), _NOTHING
    for window in windows:
        span = training_span(schema, stores, trial.attempt.as_of, window, before=before)
        if span is None or any(span == one.span for one in candidates.values()):
            continue
        loss = _champion_loss(trial, window, span)
        if loss is not None:
            candidates[window] = _Candidate(span, loss, None)
            continue
        recipe = Recipe.of(model, window)
        rows = match_labels(schema, stores, *span, sample=Sample.of(recipe.spec))
        why = _too_little(model.config, rows, span[1])
        if why is None:
            try:
                folder = trial.folders.enter_context(packing_folder())
                if not candidates and is_new_code(stores, trial.attempt, model.code_version):
                    try_code(recipe, schema, stores, rows)
                fitted = fit_model(recipe, schema, stores, span, folder)
                candidates[window] = _Candidate(span, _measure_loss(trial, fitted), fitted)
            except FeaturesInvalid as error:
                _logger.warning("%s, window %s: %s", model.id, window, error)
                lacking = TrainResult(None, span, len(rows.rows), str(error), fault=True)
                if isinstance(error, CodeUnsafe):
                    break
        elif not lacking.fault:
            lacking = TrainResult(None, span, len(rows.rows), why)
    return candidates, lacking


def _read_result(stores: Stores, run: str) -> TrainResult:
    """What is on record of a challenger that was trained before."""
    tags, metrics = stores.models.run_tags(run), stores.models.run_metrics(run)
    tried, spent = json.loads(tags[TRIED_TAG]), float(metrics["cpu_seconds"])
    rows, searched = int(metrics["learnt_rows"]), json.loads(tags.get(SEARCHED_TAG, "null"))
    window = tags[WINDOW_TAG]
    return TrainResult(run, fitted_span(tags), rows, "", False, window, tried, spent, searched=searched)


def _champion_loss(trial: _Trial, window: Window, span: tuple[str, str]) -> float | None:
    """The champion's mean loss on the holdout where a challenger of the window would learn just what it has learnt."""
    model, stores = trial.model, trial.stores
    champion = promotion_decided(stores.ledger, trial.attempt.as_of)
    if champion is None or champion.baseline or trial.rows.rows.empty:
        return None
    if (champion.code, champion.trained_on) != (model.code_version, span):
        return None
    # A batch that was taken in again since, or a label that may come later, makes another training set of the span.
    if model.config.labels is None or any(known_revisions(stores.ledger, feed, trial.attempt.as_of) for feed in _FEEDS):
        return None
    schema, metric = model.config.data_schema, METRICS[model.config.gate.metric]
    try:
        theirs = stores.models.load_promoted(champion).spec
        # A search like its own would choose its parameters once more.
        mine = Recipe.of(model, window).spec.model_copy(update={"params": theirs.params})
        if not mine.has_recipe_of(theirs):
            return None
        return float(np.mean(champion_losses(schema, metric, stores, champion, trial.rows)))
    except (FeaturesInvalid, ModelIncompatible):
        return None


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


def _measure_loss(trial: _Trial, fitted: FittedModel) -> float:
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
