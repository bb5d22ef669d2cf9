"""Train a challenger."""

import json
import logging
import time
from contextlib import ExitStack
from dataclasses import replace

from evergreen.config.contract import Window
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import FeaturesInvalid
from evergreen.features.label_batches import training_span
from evergreen.features.labelled import label_delay
from evergreen.features.packing import FittedModel, packing_folder
from evergreen.features.version_tags import (
    BASELINE_TAG,
    SEARCHED_TAG,
    TRIED_TAG,
    WINDOW_TAG,
    fitted_span,
    log_fitted,
)
from evergreen.judging.attempts import NO_LABELS, DueAttempt, TrainResult, earlier_attempts
from evergreen.judging.choose_window import BASELINE, MOST, Choice, choose_window
from evergreen.judging.fit_windows import Candidate, WindowTrial, fit_baseline, fit_windows
from evergreen.judging.holdout import choose_holdout
from evergreen.judging.promotions import promotion_decided
from evergreen.records import AttemptRecord
from evergreen.storage.lease import hold_lease
from evergreen.storage.logged_model import Trial
from evergreen.storage.stores import Stores, stores_of

_logger = logging.getLogger(__name__)


def train_model(model: ModelFolder, at: Locations, attempt: DueAttempt) -> TrainResult:
    """Fit a challenger on the labels known before the holdout, of each window one, and log the better.

    They are compared on the holdout and on those of the attempts before; where labels are late, by fits on what was
    known when the holdout's rows arrived, for so is what serves fitted. Beside a champion the best constant is compared
    too, the baseline; while a recipe serves it must do better by ``gate.min_effect``, so that it does not come and go.

    A run of this attempt that is there already is used, with the span and the rows that it was fitted on: nothing is
    trained twice, whatever config.yaml says by now. The model's own code failing is no run either: the attempt is then
    refused for it, as trying again would be.

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
        return NO_LABELS
    # Without labels there is nothing to choose by.
    windows = config.windows if config.labels is not None else config.windows[:1]
    delay = label_delay(config.data_schema, rows, MOST) if len(windows) > 1 else 0
    with ExitStack() as folders:
        trial = WindowTrial(model, stores, attempt, rows, folders)
        # A young stream knew too little when the rows arrived.
        for late in sorted({delay, 0}, reverse=True):
            candidates, lacking = fit_windows(trial, windows, config.calendar.shift(holdout[0], -late))
            if len(candidates) > 1 or lacking.fault:
                break
        window, tried = _choose(trial, candidates, late) if candidates else (windows[0], {})
        if window == BASELINE:
            return _train_baseline(trial, tried, holdout[0], begun)
        if candidates and late:
            candidates, lacking = fit_windows(trial, (window,), holdout[0])
        spent = time.process_time() - begun
        if window not in candidates:
            # It is to be judged from the holdout on, however late labels are.
            span = training_span(config.data_schema, stores, attempt.as_of, window, before=holdout[0])
            return replace(lacking, trained_on=span, seconds=spent)
        fitted = candidates[window].fitted
        result = TrainResult(None, candidates[window].span, 0, window=str(window), tried=tried, seconds=spent)
        if fitted is None:
            return replace(result, refresh=True)
        try:
            return _log(trial, fitted, result, begun)
        except FeaturesInvalid as error:
            # Of no set of parameters that it suggests.
            return replace(result, why=str(error), fault=True, seconds=time.process_time() - begun)


def _choose(trial: WindowTrial, candidates: dict[Window, Candidate], late: int) -> tuple[Choice, dict[str, float]]:
    """What has done best, and by what was tried its loss.

    :param late: after how many batches most labels come.
    """
    model, stores, attempt = trial.model, trial.stores, trial.attempt
    losses: dict[Choice, float] = {window: one.loss for window, one in candidates.items()}
    champion = promotion_decided(stores.ledger, attempt.as_of)
    constant = next(iter(candidates.values())).constant
    # Where nobody serves, the gate compares the challenger with it.
    if champion is not None and constant is not None:
        losses[BASELINE] = constant
    margin = 0.0 if champion is None or champion.baseline else model.config.gate.min_effect
    # What other code came to says nothing of this one beside a constant.
    same = (one for one in earlier_attempts(stores, attempt.verdict) if one.code == model.code_version)
    window = choose_window(losses, [one.tried for one in same], late, margin)
    return window, {str(one): loss for one, loss in losses.items()}


def _train_baseline(trial: WindowTrial, tried: dict[str, float], before: str, begun: float) -> TrainResult:
    """Fit the best constant and log it; none where it serves already and knows all labels before the holdout."""
    span, fitted = fit_baseline(trial, before)
    spent = time.process_time() - begun
    result = TrainResult(None, span, 0, window=BASELINE, tried=tried, seconds=spent, baseline=True)
    if fitted is None:
        return replace(result, why="the baseline did best, and has learnt all labels before the holdout")
    return _log(trial, fitted, result, begun)


def _log(trial: WindowTrial, fitted: FittedModel, result: TrainResult, begun: float) -> TrainResult:
    """Log what was fitted, by parameters that were searched for where config.yaml says so."""
    model, attempt = trial.model, trial.attempt
    tags = {TRIED_TAG: json.dumps(result.tried), WINDOW_TAG: result.window}
    trials: tuple[Trial, ...] = ()
    searched, spent = None, result.seconds
    if result.baseline:
        tags[BASELINE_TAG] = "yes"
    elif model.config.training.search is not None:
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


def _read_result(stores: Stores, run: str) -> TrainResult:
    """What is on record of a challenger that was trained before."""
    logged = stores.models.run_data(run)
    tags, metrics = logged.tags, logged.metrics
    tried, spent = json.loads(tags[TRIED_TAG]), float(metrics["cpu_seconds"])
    rows, searched = int(metrics["learnt_rows"]), json.loads(tags.get(SEARCHED_TAG, "null"))
    result = TrainResult(run, fitted_span(tags), rows, window=tags[WINDOW_TAG], tried=tried, seconds=spent)
    return replace(result, baseline=BASELINE_TAG in tags, searched=searched)
