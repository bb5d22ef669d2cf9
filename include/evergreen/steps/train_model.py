"""Train a challenger."""

import json
import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import numpy as np

from evergreen.config.contract import ModelConfig, Window
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import CodeUnsafe, FeaturesInvalid, ModelIncompatible
from evergreen.features.building import call_predict
from evergreen.features.evidence import TRIED_TAG, WINDOW_TAG, fitted_span, log_fitted
from evergreen.features.label_batches import training_span
from evergreen.features.labelled import LabelledRows, count_expected, gather_features, match_labels
from evergreen.features.packing import FittedModel, Recipe, fit_model, packing_folder
from evergreen.features.trial import try_code
from evergreen.judging.attempts import COMPARED, DueAttempt, earlier_attempts, is_new_code
from evergreen.judging.champion import champion_losses, promotion_decided
from evergreen.judging.gate import too_few_of_a_class
from evergreen.judging.holdout import choose_holdout
from evergreen.losses import METRICS
from evergreen.records import AttemptRecord, Feed
from evergreen.storage.lease import hold_lease
from evergreen.storage.revisions import known_revisions
from evergreen.storage.stores import Stores, stores_of

_logger = logging.getLogger(__name__)
_FEEDS: tuple[Feed, ...] = ("rows", "labels")
# What an attempt counts of the one after it, where windows are compared.
_FADING = 0.8


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

    Windows are compared on the holdout and on those of the attempts before. A run of this attempt that is there already
    is used, with the span and the rows that it was fitted on: nothing is trained twice, whatever config.yaml says by
    now. The model's own code failing is no run either: the attempt is then refused for it, as trying again would be.

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
    begun = time.process_time()
    with ExitStack() as folders:
        candidates, lacking = _try_windows(model, stores, attempt, folders)
        spent = time.process_time() - begun
        if not candidates:
            return replace(lacking, seconds=spent)
        tried = {str(window): one.loss for window, one in candidates.items()}
        earlier = [one.tried for one in earlier_attempts(stores, attempt.verdict, COMPARED - 1)]
        window = _choose_window(list(candidates), tried, earlier)
        fitted = candidates[window].fitted
        result = TrainResult(None, candidates[window].span, 0, window=str(window), tried=tried, seconds=spent)
        if fitted is None:
            return replace(result, refresh=True)
        tags = {TRIED_TAG: json.dumps(tried), WINDOW_TAG: str(window)}
        run = log_fitted(
            stores,
            attempt.verdict,
            attempt.as_of,
            "challenger",
            fitted,
            model.code_version,
            model.expectations,
            tags,
            spent,
        )
    return replace(result, run=run, rows=int(fitted.maturity.kept.sum()))


def _try_windows(
    model: ModelFolder, stores: Stores, attempt: DueAttempt, folders: ExitStack
) -> tuple[dict[Window, _Candidate], TrainResult]:
    """By window what it comes to on the holdout; and, where there is none, why.

    :param folders: that hold what was fitted until it is closed.
    """
    config, schema, candidates = model.config, model.config.data_schema, dict[Window, _Candidate]()
    lacking = TrainResult(None, None, 0, "no labels are known before the holdout")
    holdout, holdout_rows = choose_holdout(config, stores, attempt.as_of)
    if not holdout:
        return candidates, lacking
    # Without labels there is nothing to choose by.
    for window in config.windows if config.labels is not None else config.windows[:1]:
        span = training_span(schema, stores, attempt.as_of, window, before=holdout[0])
        if span is None or any(span == one.span for one in candidates.values()):
            continue
        loss = _champion_loss(model, stores, attempt, window, span, holdout_rows)
        if loss is not None:
            candidates[window] = _Candidate(span, loss, None)
            continue
        rows = match_labels(schema, stores, *span)
        why = _too_little(config, rows, span[1])
        if why is None:
            try:
                recipe, folder = Recipe.of(model, window), folders.enter_context(packing_folder())
                if not candidates and is_new_code(stores, attempt, model.code_version):
                    try_code(recipe, schema, stores, rows)
                fitted = fit_model(recipe, schema, stores, span, folder)
                candidates[window] = _Candidate(span, _measure_loss(config, stores, fitted, holdout_rows), fitted)
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
    return TrainResult(run, fitted_span(tags), int(metrics["learnt_rows"]), "", False, tags[WINDOW_TAG], tried, spent)


def _champion_loss(
    model: ModelFolder,
    stores: Stores,
    attempt: DueAttempt,
    window: Window,
    span: tuple[str, str],
    holdout_rows: LabelledRows,
) -> float | None:
    """The champion's mean loss on the holdout where a challenger of the window would learn just what it has learnt."""
    champion = promotion_decided(stores.ledger, attempt.as_of)
    if champion is None or champion.baseline or holdout_rows.rows.empty:
        return None
    if (champion.code, champion.trained_on) != (model.code_version, span):
        return None
    # A batch that was taken in again since, or a label that may come later, makes another training set of the span.
    revised = any(known_revisions(stores.ledger, feed, attempt.as_of) for feed in _FEEDS)
    if revised or model.config.labels is None:
        return None
    schema, metric = model.config.data_schema, METRICS[model.config.gate.metric]
    try:
        if not Recipe.of(model, window).spec.has_recipe_of(stores.models.load_promoted(champion).spec):
            return None
        return float(np.mean(champion_losses(schema, metric, stores, champion, holdout_rows)))
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


def _measure_loss(config: ModelConfig, stores: Stores, fitted: FittedModel, holdout: LabelledRows) -> float:
    """Mean loss on the holdout; 0 where there are no labels to tell by."""
    if config.labels is None or holdout.rows.empty:
        return 0.0
    features, _ = gather_features(config.data_schema, stores, fitted.packed, holdout)
    predicted = call_predict(fitted.packed, features, f"{holdout.rows['batch'].min()} to {holdout.rows['batch'].max()}")
    with np.errstate(over="ignore"):
        target = holdout.rows[config.labels.column].to_numpy(dtype=float)
        loss = float(np.mean(METRICS[config.gate.metric].row_losses(target, predicted)))
    if not np.isfinite(loss):
        raise FeaturesInvalid(
            f"model {fitted.packed.spec.model}: {config.gate.metric} on the holdout cannot be told: predictions "
            f"lie between {predicted.min():.4g} and {predicted.max():.4g}, labels between {target.min():.4g} and "
            f"{target.max():.4g}; give labels a range in expectations.yaml, or look at features.py"
        )
    return loss


def _choose_window(windows: list[Window], losses: dict[str, float], before: list[dict[str, float]]) -> Window:
    """The window that has done best over this attempt and those before that tried the same ones.

    Losses are told in shares of the first window's, and older attempts count less and less. On kept losses of real
    streams that cost less than few attempts that count alike, which follow noise, or many, which follow nothing.

    :param losses: by window, the mean loss on this attempt's holdout.
    :param before: the same of earlier attempts, newest first.
    """
    same = [losses, *(one for one in before if one.keys() == losses.keys())]
    first = str(windows[0])

    def relative(window: Window) -> float:
        ratios = [one[str(window)] / one[first] if one[first] else 1.0 for one in same]
        return float(np.average(ratios, weights=_FADING ** np.arange(len(ratios))))

    return min(windows, key=relative)
