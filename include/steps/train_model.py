"""Train a challenger."""

from dataclasses import dataclass
from pathlib import Path

from include.config.locations import Locations
from include.config.model_folder import ModelFolder
from include.errors import FeaturesInvalid, NotReady
from include.features.known import last_label_batches
from include.features.labelled import match_labels
from include.features.packing import FittedModel, example_of, fit_model, packing_folder, signature_of
from include.judging.attempts import DueAttempt, holdout_of
from include.records import AttemptRecord
from include.storage.model_store import Evidence
from include.storage.stores import Stores, open_stores

_TRACED = {f"evergreen.{name}" for name in ("model", "verdict", "as_of", "data", "code", "trained_on")}


@dataclass(frozen=True)
class TrainResult:
    """A trained challenger.

    :param run: id of its MLflow run; None where there was too little to learn from, or the attempt was judged before.
    :param trained_on: first and last label batch.
    :param rows: labelled rows that it learnt from.
    :param why: why there is no run, if there is none.
    """

    run: str | None
    trained_on: tuple[str, str]
    rows: int
    why: str = ""


def train_model(model: ModelFolder, at: Locations, attempt: DueAttempt) -> TrainResult:
    """Fit a challenger on the labels known before the holdout, and log it.

    A run of this attempt that is there already is used, with the span and the rows that it was fitted on: nothing is
    trained twice, whatever config.yaml says by now. The model's own code failing is no run either: the attempt is then
    refused for it, as trying again would be.

    :raises NotReady: if there are no labels before the holdout.
    """
    stores = open_stores(at, model.id)
    run = stores.models.find_run(attempt.id, "challenger")
    if run is not None:
        span = fitted_span(stores.models.run_tags(run)) or training_span(model, stores, attempt)
        return TrainResult(run, span, int(stores.models.run_metrics(run)["rows"]))
    judged = stores.ledger.get(AttemptRecord, attempt.verdict, attempt.number - 1)
    if judged is not None:
        return TrainResult(None, judged.trained_on, judged.training_rows)
    span = training_span(model, stores, attempt)
    rows = len(match_labels(model.config, stores, *span).rows)
    if rows < model.config.gate.min_rows:
        why = f"{rows} labelled rows to learn from, {model.config.gate.min_rows} are needed"
        return TrainResult(None, span, rows, why)
    with packing_folder() as folder:
        try:
            fitted = fit_model(model, stores, span, folder)
        except FeaturesInvalid as error:
            return TrainResult(None, span, rows, str(error))
        run = log_fitted(model, stores, attempt, "challenger", fitted, span, folder, model.code_version)
    return TrainResult(run, span, rows)


def training_span(model: ModelFolder, stores: Stores, attempt: DueAttempt) -> tuple[str, str]:
    """First and last label batch that a challenger learns from: the window that ends before the holdout."""
    config = model.config
    holdout = holdout_of(config, stores, attempt.as_of)
    learnt = (
        last_label_batches(config, stores, attempt.as_of, config.training.window, before=holdout[0]) if holdout else []
    )
    if not learnt:
        raise NotReady(
            f"model {model.id}: no labels known before the {config.gate.holdout} batches up to {attempt.as_of}; "
            "wait for more labels"
        )
    return learnt[0], learnt[-1]


def log_fitted(
    model: ModelFolder,
    stores: Stores,
    attempt: DueAttempt,
    role: str,
    fitted: FittedModel,
    span: tuple[str, str],
    folder: Path,
    code: str,
) -> str:
    """Log a fitted model with its evidence; its data version is put on record first."""
    config = model.config
    stores.ledger.put(fitted.data)
    evidence = Evidence(
        tags={
            "evergreen.model": model.id,
            "evergreen.verdict": attempt.verdict,
            "evergreen.as_of": attempt.as_of,
            "evergreen.data": fitted.data.id,
            "evergreen.code": code,
            "evergreen.trained_on": " to ".join(span),
        },
        params={
            "seed": config.model.seed,
            "window": config.training.window,
            "lookback": config.features.lookback,
            "features": len(fitted.features.columns),
        },
        metrics={"rows": float(len(fitted.features)), "unmatched_labels": float(fitted.labelled.unmatched)},
        source=stores.lake.table_uri("clean"),
        data=fitted.data.id,
    )
    example = example_of(config.rows.columns)
    return stores.models.log_model(attempt.id, role, folder, signature_of(model), example, evidence)


def version_tags(run_tags: dict[str, str]) -> dict[str, str]:
    """The tags by which a version is traced to verdict, data and code: those of the run that fitted it."""
    return {name: value for name, value in run_tags.items() if name in _TRACED}


def fitted_span(tags: dict[str, str]) -> tuple[str, str] | None:
    """First and last label batch that a run or a version was fitted on; None in tags from before they told."""
    first, _, last = tags.get("evergreen.trained_on", "").partition(" to ")
    return (first, last) if last else None
