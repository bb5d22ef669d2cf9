"""What MLflow is told of a fitted model: the tags of its run and version, parameters, metrics."""

from typing import Any

from evergreen.config.expectations_config import ExpectationsConfig
from evergreen.features.packing import FittedModel, record_files
from evergreen.features.signature import example_of, signature_of
from evergreen.foreign_text import one_line
from evergreen.storage.logged_model import Evidence, Trial
from evergreen.storage.stores import Stores

TRIED_TAG, WINDOW_TAG, BASELINE_TAG = "evergreen.tried", "evergreen.window", "evergreen.baseline"
SEARCHED_TAG = "evergreen.searched"
_SPAN_TAG, _BETWEEN = "evergreen.trained_on", " to "
# MLflow takes names of 250 characters.
_LONGEST = 200
_TRACED = {f"evergreen.{name}" for name in ("model", "verdict", "as_of", "data", "code")} | {_SPAN_TAG, BASELINE_TAG}


def log_fitted(
    stores: Stores,
    attempt: str,
    as_of: str,
    role: str,
    fitted: FittedModel,
    code: str,
    expectations: ExpectationsConfig,
    tags: dict[str, str] | None = None,
    spent: float = 0.0,
    trials: tuple[Trial, ...] = (),
) -> str:
    """Log a fitted model with its evidence as one run; its data version and its files' hashes are put on record first.

    :param attempt: what it was fitted for.
    :param as_of: the batch that the attempt is made at.
    :param code: the code version.
    :param expectations: of rows, within which the example of an input lies.
    :param spent: CPU seconds that the attempt has taken so far.
    :param trials: of the search for its parameters.
    :returns: the run's id.
    """
    spec = fitted.packed.spec
    stores.ledger.put(fitted.data)
    record_files(stores, attempt, as_of, role, fitted.packed.folder)
    traced = {
        "evergreen.model": spec.model,
        "evergreen.verdict": attempt,
        "evergreen.as_of": as_of,
        "evergreen.data": fitted.data.id,
        "evergreen.code": code,
        _SPAN_TAG: _BETWEEN.join(fitted.span),
    }
    evidence = Evidence(
        tags={**traced, **(tags or {})},
        params=spec.model_dump(include={"seed", "window", "lookback"})
        | ({"rows": spec.rows} if spec.rows is not None else {})
        | {"features": len(spec.features or ())}
        | estimator_params(fitted.packed.estimator),
        metrics=_count_rows(fitted) | {"cpu_seconds": spent},
        source=stores.lake.table_uri("clean"),
        data=fitted.data.id,
        trials=trials,
    )
    signature, example = signature_of(spec.columns), example_of(spec.columns, expectations)
    return stores.models.log_model(attempt, role, fitted.packed.folder, signature, example, evidence)


def estimator_params(estimator: Any) -> dict[str, str]:
    """What an estimator is and was set to, by names that MLflow takes; steps within it stand by their own names.

    :param estimator: one of scikit-learn's, or like them.
    """
    settings = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
    told = {"estimator": type(estimator).__name__}
    for name, value in sorted(settings.items()):
        # A list of steps says nothing that they do not say themselves.
        if not (
            isinstance(value, list) and any(hasattr(part, "get_params") for step in value for part in _parts(step))
        ):
            told["estimator." + name.replace("__", ".")[:_LONGEST]] = _tell(value)
    return told


def _parts(step: Any) -> tuple[Any, ...]:
    return step if isinstance(step, tuple) else (step,)


def _tell(value: Any) -> str:
    """A setting in words that are the same in each process: without a function's address."""
    if hasattr(value, "get_params"):
        return type(value).__name__
    return one_line(str(getattr(value, "__name__", value)))[:_LONGEST]


def version_tags(run_tags: dict[str, str]) -> dict[str, str]:
    """The tags by which a version is traced to verdict, data and code: those of the run that fitted it."""
    return {name: value for name, value in run_tags.items() if name in _TRACED}


def fitted_span(tags: dict[str, str]) -> tuple[str, str]:
    """First and last label batch that a run or a version was fitted on."""
    first, _, last = tags[_SPAN_TAG].partition(_BETWEEN)
    return first, last


def _count_rows(fitted: FittedModel) -> dict[str, float]:
    kept, labelled = fitted.maturity.kept, fitted.labelled
    return {
        "learnt_rows": float(kept.sum()),
        "unmatched_labels": float(labelled.unmatched),
        "waiting_rows": float(len(labelled.waiting)),
        "left_out_rows": float((~kept).sum()),
        "label_bend": fitted.maturity.bend,
    }
