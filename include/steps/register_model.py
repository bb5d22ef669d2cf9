"""Register the version that a won attempt leads to."""

from dataclasses import dataclass
from pathlib import Path

from include.checks.drift import PREDICTION, build_reference, watched_columns
from include.config.locations import Locations
from include.config.model_folder import ModelFolder
from include.errors import ApprovalMissing, NotReady
from include.features.history import call_predict
from include.features.known import last_label_batches
from include.features.labelled import gather_rows
from include.features.packing import FittedModel, fit_model, packing_folder, recipe_of
from include.judging.attempts import DueAttempt
from include.records import ApprovalRecord, AttemptRecord
from include.steps.train_model import log_fitted, version_tags
from include.storage.packed_model import PackedModel
from include.storage.stores import Stores, open_stores


@dataclass(frozen=True)
class RegisterResult:
    """A registered version.

    :param version: its number.
    """

    version: int


def register_model(model: ModelFolder, at: Locations, attempt: DueAttempt) -> RegisterResult:
    """Refit the recipe that won on all labels known at the attempt, and register it as a version, once.

    :raises ApprovalMissing: if only a human may promote it, and nobody has said yes.
    """
    stores = open_stores(at, model.id)
    record = require_passed(model, stores, attempt)
    version = stores.models.find_version(attempt.id)
    if version is not None:
        return RegisterResult(version)
    run = stores.models.find_run(attempt.id, "champion")
    if run is None:
        judged = _judged(model, stores, attempt)
        code = {name: (judged.folder / name).read_text(encoding="utf-8") for name in model.code}
        # A yes may come days after the judgement, and config.yaml may say something else by then.
        recipe = recipe_of(model, judged.contract)
        span = serving_span(recipe, stores, attempt)
        with packing_folder() as folder:
            fitted = fit_model(recipe, stores, span, folder, code)
            _add_reference(recipe, stores, fitted, folder)
            run = log_fitted(recipe, stores, attempt, "champion", fitted, span, folder, record.code)
    tags = version_tags(stores.models.run_tags(run))
    description = f"Attempt {attempt.id} at batch {attempt.as_of}: {record.why}. Refitted on labels up to then."
    return RegisterResult(stores.models.create_version(run, attempt.id, tags, description))


def require_passed(model: ModelFolder, stores: Stores, attempt: DueAttempt) -> AttemptRecord:
    """The record of an attempt that may be promoted.

    :raises NotReady: if it has not been judged.
    :raises ApprovalMissing: if it was refused, or waits for a human.
    """
    record = stores.ledger.get(AttemptRecord, attempt.verdict, attempt.number - 1)
    if record is None:
        raise NotReady(f"model {model.id}: attempt {attempt.id} has not been judged; judge it first")
    approval = stores.ledger.get(ApprovalRecord, attempt.id)
    approved = record.outcome == "needs approval" and approval is not None and approval.approved
    if record.outcome != "passed" and not approved:
        raise ApprovalMissing(f"model {model.id}: attempt {attempt.id} is {record.outcome}: {record.why}")
    return record


def serving_span(model: ModelFolder, stores: Stores, attempt: DueAttempt) -> tuple[str, str]:
    """First and last label batch that the serving model learns from.

    :param model: under the recipe that was judged.
    """
    known = last_label_batches(model.config, stores, attempt.as_of, model.config.training.window)
    return known[0], known[-1]


def _judged(model: ModelFolder, stores: Stores, attempt: DueAttempt) -> PackedModel:
    """The challenger that was judged."""
    run = stores.models.find_run(attempt.id, "challenger")
    if run is None:
        raise NotReady(f"model {model.id}: MLflow has no challenger run of attempt {attempt.id}; restore it")
    return stores.models.load_run(run)


def _add_reference(model: ModelFolder, stores: Stores, fitted: FittedModel, folder: Path) -> None:
    """Describe what the model learnt from, so that later batches can be compared with it."""
    config = model.config
    rows = gather_rows(config, stores, fitted.labelled)
    rows = rows.assign(**{PREDICTION: call_predict(fitted.packed, fitted.features, "of its training")})
    columns = watched_columns(config)
    categorical = {name for name in columns if config.rows.columns[name].type in ("category", "boolean")}
    per_batch = int(rows["batch"].value_counts().median()) * config.check.every
    reference = build_reference(
        rows,
        categorical,
        [*columns, PREDICTION],
        rows["batch"],
        max(per_batch, 1),
        config.model.seed,
        divergences=dict(config.check.divergence),
        at=rows.get(config.rows.event_time),
    )
    reference.save(folder)
