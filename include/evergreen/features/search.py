"""A search for an estimator's parameters, among those that the model folder suggests, within what it learns from."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evergreen.config.data_schema import DataSchema
from evergreen.config.model_spec import ModelSpec, Param
from evergreen.errors import FeaturesInvalid, needs_extra
from evergreen.features.packing import FittedModel, Recipe, fit_estimator, fit_model, load_code
from evergreen.losses import METRICS
from evergreen.records import SearchedParams
from evergreen.storage.limit_own_code import own_code
from evergreen.storage.logged_model import Trial
from evergreen.storage.model_from_code import predict_target
from evergreen.storage.stores import Stores

# Parts of the label batches: the first is learnt from only, each other one is predicted from those before it.
_PARTS = 4


@dataclass(frozen=True)
class Search:
    """What a search came to.

    :param told: for the record.
    :param trials: each set that was tried; the first is that of estimator.py.
    """

    told: SearchedParams
    trials: tuple[Trial, ...]


def fit_searched(
    fitted: FittedModel, code: Mapping[str, str], today: DataSchema, stores: Stores, folder: Path
) -> tuple[FittedModel, Search]:
    """Search for parameters within what a model was fitted on, and fit it once more by those that were chosen.

    :param fitted: the model by the parameters of estimator.py, which stays where none are better.
    :param code: that it was fitted with.
    :param folder: an empty folder that becomes the packed model. Errors: as of ``search_params``.
    """
    spec, rows = fitted.packed.spec.recipe, fitted.labelled.rows[fitted.maturity.kept]
    search = search_params(fitted, rows[next(iter(spec.target))])
    if not search.told.params:
        return fitted, search
    recipe = Recipe(spec.model_copy(update={"params": search.told.params}), code)
    return fit_model(recipe, today, stores, fitted.span, folder), search


def search_params(fitted: FittedModel, target: pd.Series) -> Search:
    """Try sets of parameters on inner splits by the arrival of labels, and choose the one of the smallest loss.

    Parameters of estimator.py are tried first, and stay where none is better. Each split learns from the label batches
    before those that it predicts, as the loop does; the holdout takes no part. The same rows and seed give the same,
    unless ``search.seconds`` ends it.

    :param fitted: the model by the parameters of estimator.py.
    :param target: (n,) the outcomes of the rows that it was fitted on.
    :raises ExtraMissing: without Optuna.
    :raises FeaturesInvalid: if no set can be fitted, or estimator.py has no ``suggest``.
    """
    with needs_extra("search", "training.search"):
        import optuna
    spec, kept = fitted.packed.spec, fitted.maturity.kept
    assert spec.search is not None
    folder, features = fitted.packed.folder, fitted.features[kept].reset_index(drop=True)
    known = fitted.labelled.rows["known"].to_numpy()[kept]
    splits = list(_split(spec, known, target.to_numpy()))
    trials: list[Trial] = []

    def objective(trial: "optuna.Trial | None") -> float:
        params, loss, problem = dict[str, Param](), None, ""
        try:
            params = suggest_params(spec, folder, trial) if trial is not None else {}
            loss = _measure(spec.model_copy(update={"params": params}), folder, features, target, splits)
        except FeaturesInvalid as error:
            problem = str(error)
            raise
        finally:
            trials.append(Trial(params, loss, problem))
        return loss

    if splits:
        with suppress(FeaturesInvalid):
            objective(None)
        # It would log each set that fails with its trace; MLflow's run of the set tells what was wrong.
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=spec.seed))
        study.optimize(objective, spec.search.trials, spec.search.seconds, catch=(FeaturesInvalid,))
    return Search(_conclude(spec, trials), tuple(trials))


def _conclude(spec: ModelSpec, trials: list[Trial]) -> SearchedParams:
    """The set of the smallest loss; of equal ones the first. Without a split nothing was tried."""
    assert spec.search is not None
    failed = [one.problem for one in trials[1:] if one.loss is None]
    if failed and len(failed) == len(trials) - 1:
        raise FeaturesInvalid(
            f"model {spec.model}, training.search: none of {len(failed)} sets of parameters could be fitted; the "
            f"first: {failed[0]}"
        )
    told = {"asked": spec.search.trials, "trials": max(0, len(trials) - 1), "failed": len(failed)}
    fitted = [one for one in trials if one.loss is not None]
    if not fitted:
        return SearchedParams(**told, params={}, default=None, best=None)
    best = min(fitted, key=lambda one: float(one.loss or 0))
    return SearchedParams(**told, params=dict(best.params), default=trials[0].loss, best=best.loss)


def suggest_params(spec: ModelSpec, folder: Path, trial: Any) -> dict[str, Param]:
    """What the code in a folder suggests.

    :param trial: of Optuna.
    :raises FeaturesInvalid: if the code raises, or returns anything else than parameters by name.
    """
    suggest = load_code(spec, folder / "estimator.py", "estimator", "suggest").suggest
    where = f"model {spec.model}, estimator.py, suggest"
    with own_code(where, spec.time_limit):
        params = suggest(trial)
    plain = bool | int | float | str | None
    if not isinstance(params, Mapping) or not all(
        isinstance(name, str) and isinstance(value, plain) for name, value in params.items()
    ):
        raise FeaturesInvalid(
            f"{where}: returned {params!r:.200}; expected a dictionary of numbers, texts, truths or None, by name"
        )
    return dict(params)


def _split(spec: ModelSpec, known: np.ndarray, target: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions to learn from and to predict; names of batches sort as time does."""
    parts = [part for part in np.array_split(np.unique(known), _PARTS) if len(part)]
    for part in parts[1:]:
        before, here = np.flatnonzero(known < part[0]), np.flatnonzero(np.isin(known, part))
        if spec.task == "regression" or len(np.unique(target[before])) == 2:
            yield before, here


def _measure(
    spec: ModelSpec,
    folder: Path,
    features: pd.DataFrame,
    target: pd.Series,
    splits: list[tuple[np.ndarray, np.ndarray]],
) -> float:
    """The mean loss over all that is predicted."""
    losses = []
    for before, here in splits:
        estimator = fit_estimator(spec, folder, features.iloc[before], target.iloc[before], 0)
        with own_code(f"model {spec.model}, its estimator with {spec.params}", spec.time_limit):
            predicted = np.asarray(predict_target(estimator, spec.task, features.iloc[here]), dtype=float)
        with np.errstate(over="ignore"):
            losses.append(METRICS[spec.metric].row_losses(target.iloc[here].to_numpy(dtype=float), predicted))
    loss = float(np.mean(np.concatenate(losses)))
    if not np.isfinite(loss):
        raise FeaturesInvalid(f"model {spec.model}, its estimator with {spec.params}: predicts what is not finite")
    return loss
