"""Register the version that a won attempt leads to."""

import logging
from dataclasses import dataclass
from pathlib import Path

from evergreen.checks.reference import build_reference, watched_columns
from evergreen.config.contract import ModelConfig
from evergreen.config.data_schema import DataSchema
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import ApprovalMissing, FeaturesInvalid, ModelIncompatible, NotReady
from evergreen.features.batch_statistics import PREDICTION
from evergreen.features.building import call_predict
from evergreen.features.explanation import EXPLANATION, Explanation, measure_explanation
from evergreen.features.label_batches import training_span
from evergreen.features.labelled import gather_features, gather_rows, match_labels
from evergreen.features.packing import FittedModel, Recipe, fit_model, packed_hashes, packing_folder
from evergreen.features.version_tags import BASELINE_TAG, log_fitted, version_tags
from evergreen.foreign_text import DESCRIPTION, for_markdown
from evergreen.incidents import MEND_CODE, report
from evergreen.judging.attempts import DueAttempt
from evergreen.judging.model_card import write_card
from evergreen.records import ApprovalRecord, AttemptRecord, ClosingRecord, PromotionRecord, Words
from evergreen.storage.lease import hold_lease
from evergreen.storage.packed_model import PackedModel
from evergreen.storage.stores import Stores, stores_of

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RegisterResult:
    """A registered version.

    :param version: its number; None where what was judged could not be fitted again.
    """

    version: int | None


def register_model(model: ModelFolder, at: Locations, attempt: DueAttempt, page: str = "") -> RegisterResult:
    """Refit what won on all labels known at the attempt, and register it as a version with its card, once.

    Where the refit fails, the attempt ends refused; where nobody serves, the baseline is registered in its place.

    :param page: where people see the model; MLflow links to it.
    :raises ApprovalMissing: if only a human may promote it, and nobody has said yes.
    :raises NotReady: while another process is at the attempt.
    """
    stores = stores_of(model, at)
    record = require_passed(model, stores, attempt)
    with hold_lease(at, model.id, attempt.verdict):
        version = _register(model, stores, attempt, record)
        if version is not None and record.version is None:
            _describe(model, stores, record, version, page)
        return RegisterResult(version)


def _describe(model: ModelFolder, stores: Stores, record: AttemptRecord, version: int, page: str) -> None:
    """Let MLflow tell what the model is, and write the version's card, unless a run that was killed has."""
    config, pages = model.config, stores.models.pages
    told = (
        f"**{for_markdown(config.title)}**",
        config.description,
        f"Owner: {for_markdown(config.owner)}",
        f"Intended use: {config.intended_use}" if config.intended_use else "",
        f"Limitations: {config.limitations}" if config.limitations else "",
        f"[Its page in Airflow]({page})" if page.startswith("http") else "",
        "The alias `champion` shows who serves; Evergreen's ledger decides.",
    )
    pages.describe_model("\n\n".join(filter(None, told))[:DESCRIPTION])
    run = stores.models.find_run(record.verdict, "champion")
    if run is None or pages.has_card(run):
        return
    packed = stores.models.load_run(run, packed_hashes(stores, record.verdict, "champion"))
    pages.put_card(run, write_card(config, stores, record, version, run, packed))


def _register(model: ModelFolder, stores: Stores, attempt: DueAttempt, record: AttemptRecord) -> int | None:
    version = record.version or stores.models.find_version(attempt.verdict)
    if version is not None:
        return version
    run = stores.models.find_run(attempt.verdict, "champion")
    if run is None:
        try:
            run = _refit(model, stores, attempt, record)
        except FeaturesInvalid as error:
            text = f"{model.id}: attempt {record.id} at batch {record.as_of} has passed, and its refit failed: {error}."
            serves = "The champion stays." if record.against else "The baseline serves."
            report(stores.ledger, "unfit", record.as_of, Words(text, serves, MEND_CODE))
            if record.against or record.baseline:
                why = f"the refit failed: {error}"
                stores.ledger.put(ClosingRecord(as_of=record.as_of, verdict=record.verdict, outcome="refused", why=why))
                return None
            _logger.warning("%s %s", text, serves)
            run = _fit(model, Recipe.of_baseline(model), stores, attempt, record, {BASELINE_TAG: "yes"})
    tags = version_tags(stores.models.run_data(run).tags)
    what = f"{record.why}. Fitted" if (BASELINE_TAG in tags) == record.baseline else "The baseline, fitted"
    description = f"Attempt {attempt.verdict} at batch {attempt.as_of}: {what} on labels up to then."
    return stores.models.create_version(run, attempt.verdict, tags, description)


def require_passed(model: ModelFolder, stores: Stores, attempt: DueAttempt) -> AttemptRecord:
    """The record of an attempt that may be promoted.

    :raises NotReady: if it has not been judged.
    :raises ApprovalMissing: if it was refused, or waits for a human.
    """
    record = stores.ledger.get(AttemptRecord, attempt.verdict)
    if record is None:
        raise NotReady(f"model {model.id}: attempt {attempt.verdict} has not been judged; judge it first")
    approval = stores.ledger.get(ApprovalRecord, attempt.verdict)
    approved = record.outcome == "needs approval" and approval is not None and approval.approved
    if record.outcome != "passed" and not approved:
        raise ApprovalMissing(f"model {model.id}: attempt {attempt.verdict} is {record.outcome}: {record.why}")
    return record


def _refit(model: ModelFolder, stores: Stores, attempt: DueAttempt, record: AttemptRecord) -> str:
    """Fit what won on all that is known at the attempt; returns its run."""
    if record.baseline:
        return _fit(model, Recipe.of_baseline(model), stores, attempt, record, {BASELINE_TAG: "yes"})
    # A yes may come days after the judgement, and config.yaml may say something else by then.
    judged = _judged(model, stores, attempt, record)
    return _fit(model, Recipe.of_packed(judged), stores, attempt, record, judged=judged)


def _fit(
    model: ModelFolder,
    recipe: Recipe,
    stores: Stores,
    attempt: DueAttempt,
    record: AttemptRecord,
    tags: dict[str, str] | None = None,
    judged: PackedModel | None = None,
) -> str:
    today = model.config.data_schema
    span = training_span(recipe.spec.data_schema(today), stores, attempt.as_of, recipe.spec.window)
    assert span is not None
    with packing_folder() as folder:
        fitted = fit_model(recipe, today, stores, span, folder)
        _add_reference(model.config, stores, fitted, folder)
        if judged is not None:
            _add_explanation(today, stores, judged, fitted.packed, record, folder)
        return log_fitted(
            stores, attempt.verdict, attempt.as_of, "champion", fitted, record.code, model.expectations, tags
        )


def _judged(model: ModelFolder, stores: Stores, attempt: DueAttempt, record: AttemptRecord) -> PackedModel:
    """The challenger that was judged; of a refresh the champion, for it would be the same."""
    if record.refresh:
        return stores.models.load_promoted(stores.ledger.require(PromotionRecord, "champion", record.against - 1))
    run = stores.models.find_run(attempt.verdict, "challenger")
    if run is None:
        raise NotReady(f"model {model.id}: MLflow has no challenger run of attempt {attempt.verdict}; restore it")
    return stores.models.load_run(run, packed_hashes(stores, attempt.verdict, "challenger"))


def _add_explanation(
    today: DataSchema, stores: Stores, judged: PackedModel, version: PackedModel, record: AttemptRecord, folder: Path
) -> None:
    """Tell what the version goes by, on the holdout of the model that was judged, which alone has not seen it."""
    schema = judged.spec.data_schema(today)
    if schema.labels is None or not record.holdout:
        return
    labelled = match_labels(schema, stores, record.holdout[0], record.as_of)
    if labelled.rows.empty:
        return
    target = labelled.rows[schema.labels.column].to_numpy(dtype=float)
    try:
        features, _ = gather_features(schema, stores, judged, labelled)
        told = measure_explanation(judged, version, features, target)
    except (FeaturesInvalid, ModelIncompatible) as error:
        # It has won all the same: it may fail on combinations of features that never came.
        _logger.warning("%s: what goes by which feature cannot be told: %s", version.spec.model, error)
        told = Explanation(metric=version.spec.metric, trouble=str(error))
    (folder / EXPLANATION).write_text(told.model_dump_json(indent=1), encoding="utf-8")


def _add_reference(config: ModelConfig, stores: Stores, fitted: FittedModel, folder: Path) -> None:
    """Describe what the model learnt from, so that later batches can be compared with it."""
    spec, today = fitted.packed.spec, config.data_schema
    schema = spec.data_schema(today)
    rows = gather_rows(schema, stores, fitted.labelled)
    rows = rows.assign(**{PREDICTION: call_predict(fitted.packed, fitted.features, "of its training")})
    columns = watched_columns(schema, config)
    categorical = {name for name in columns if schema.columns[name].type in ("category", "boolean")}
    per_batch = int(rows["batch"].value_counts().median()) * config.check.every
    reference = build_reference(
        rows,
        categorical,
        [*columns, PREDICTION],
        rows["batch"],
        max(per_batch, 1),
        spec.seed,
        divergences={schema.name_then(name, today): one for name, one in config.check.divergence.items()},
        at=rows.get(schema.event_time),
    )
    reference.save(folder)
