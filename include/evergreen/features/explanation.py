"""What a version goes by: how much worse it gets without each feature, and how predictions follow the most important.

Measured once, where the version is made, and packed with it: a page shows it without running the version.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype
from pydantic import BaseModel, ConfigDict
from sklearn.inspection import permutation_importance

from evergreen.features.building import call_predict
from evergreen.losses import METRICS
from evergreen.storage.packed_model import PackedModel

EXPLANATION = "explanation.json"
# What it may cost: predictions of so many rows in all, each feature exchanged so often between so many rows at most.
_PREDICTED, _REPEATS, _ROWS, _FEWEST = 300_000, 3, 1_000, 50
# Features whose dependence is told, at so many values, as the mean over so many rows.
_MOST_IMPORTANT, _VALUES, _AVERAGED = 5, 10, 200
Value = bool | int | float | str


class FeatureExplanation(BaseModel):
    """One feature.

    :ivar importance: by how much the metric grows where its values are exchanged between rows; mean over the repeats.
    :ivar spread: standard deviation over the repeats.
    :ivar values: that occur: quantiles from 5 % to 95 % of numbers, else the commonest.
    :ivar shares: of the rows, for which each value stands; they sum to 1.
    :ivar dependence: the mean prediction where all rows have the value; of the most important features only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    importance: float
    spread: float
    values: tuple[Value, ...]
    shares: tuple[float, ...]
    dependence: tuple[float, ...] = ()


class Explanation(BaseModel):
    """What a version goes by.

    :ivar metric: the gate's.
    :ivar value: its value on the rows as they are.
    :ivar rows: of the holdout, on which importance was measured.
    :ivar features: the most important first.
    :ivar trouble: why there are none; empty where there are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_number: Literal[1] = 1
    metric: str
    value: float | None = None
    rows: int = 0
    features: dict[str, FeatureExplanation] = {}
    trouble: str = ""


def measure_explanation(
    judged: PackedModel, version: PackedModel, features: pd.DataFrame, target: np.ndarray
) -> Explanation:
    """What a version goes by, on a bounded number of rows; the same arguments give the same.

    :param judged: the model of the version's recipe that has not learnt from these rows: of it importance is measured.
    :param version: whose dependence is told.
    :param features: (n, features) of the holdout.
    :param target: (n,) its outcomes.
    :raises FeaturesInvalid: if the estimator fails on features in combinations that never came.
    """
    random, metric = np.random.default_rng(judged.spec.seed), METRICS[judged.spec.metric]
    most = min(_ROWS, max(_FEWEST, _PREDICTED // (_REPEATS * max(1, features.shape[1]))))
    chosen = np.sort(random.choice(len(features), min(most, len(features)), replace=False))
    rows, outcomes = features.iloc[chosen].reset_index(drop=True), target[chosen]
    what = "of its holdout, with features exchanged"

    def score(_: object, features: pd.DataFrame, target: np.ndarray) -> float:
        return -metric.of(metric.row_losses(target, call_predict(judged, features, what)))

    seed = judged.spec.seed
    found = permutation_importance(
        judged.estimator, rows, outcomes, scoring=score, n_repeats=_REPEATS, random_state=seed
    )
    order = np.argsort(-found.importances_mean, kind="stable")
    told = {}
    for rank, i in enumerate(order.tolist()):
        name = rows.columns[i]
        values, shares = typical_values(rows[name])
        dependence = _mean_predictions(version, rows.head(_AVERAGED), name, values) if rank < _MOST_IMPORTANT else ()
        told[str(name)] = FeatureExplanation(
            importance=float(found.importances_mean[i]),
            spread=float(found.importances_std[i]),
            values=values,
            shares=shares,
            dependence=dependence,
        )
    value = -score(None, rows, outcomes)
    return Explanation(metric=metric.name, value=value, rows=len(rows), features=told)


def _mean_predictions(
    version: PackedModel, rows: pd.DataFrame, name: str, values: tuple[Value, ...]
) -> tuple[float, ...]:
    predicted = call_predict(version, with_values(rows, name, values), f"of its holdout, {name} set", given_away=True)
    return tuple(predicted.reshape(len(rows), len(values)).mean(axis=0).tolist()) if values else ()


def typical_values(column: pd.Series) -> tuple[tuple[Value, ...], tuple[float, ...]]:
    """Values of a feature that occur, and for which share of the rows each stands."""
    known = column.dropna()
    if is_numeric_dtype(column.dtype) and not is_bool_dtype(column.dtype):
        known = known[np.isfinite(known.to_numpy(dtype=float))]
        # Of none there are none.
        known = known.quantile(np.linspace(0.05, 0.95, _VALUES), interpolation="nearest").dropna()
    plain = (one.item() if isinstance(one, np.generic) else one for one in known)
    counts = Counter(one if isinstance(one, bool | int | float) else str(one) for one in plain).most_common(_VALUES)
    counts.sort(key=lambda one: (isinstance(one[0], str), one[0]))
    whole = sum(count for _, count in counts)
    return tuple(value for value, _ in counts), tuple(count / whole for _, count in counts)


def with_values(rows: pd.DataFrame, name: str, values: tuple[Value, ...]) -> pd.DataFrame:
    """Each row once with each of some values of a feature, row by row: (rows x values, features)."""
    many = rows.iloc[np.repeat(np.arange(len(rows)), len(values))].reset_index(drop=True)
    kind, column = rows[name].dtype, pd.Series(list(values) * len(rows))
    if isinstance(kind, pd.CategoricalDtype):
        known = list(kind.categories)
        column = pd.Series(pd.Categorical(column, [*known, *(one for one in values if one not in known)], kind.ordered))
    elif not is_numeric_dtype(kind):
        column = column.astype(kind)
    many[name] = column
    return many


def read_explanation(files: Mapping[str, bytes]) -> Explanation | None:
    """The explanation among a version's packed files; None by an earlier release, of a baseline, and without labels."""
    return Explanation.model_validate_json(files[EXPLANATION]) if EXPLANATION in files else None
