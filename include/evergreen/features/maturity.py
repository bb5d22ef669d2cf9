"""Late labels that are bent: where outcomes of one kind come sooner, young rows that have a label mislead.

A booking for a hundred days ahead that has its label after seventy was cancelled: whoever keeps it learns that all such
bookings are. No weight mends this, since its counterpart cannot have arrived; it is left out until it is due. Where the
delay has nothing to do with the outcome, the young rows are the freshest there are, and all of them stay.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype
from sklearn.ensemble import HistGradientBoostingClassifier

from evergreen.batches import Calendar
from evergreen.config.data_schema import DataSchema
from evergreen.features.labelled import LabelledRows, concat_features, gather_features
from evergreen.storage.packed_model import PackedModel
from evergreen.storage.stores import Stores

# Real bookings were served better at 0.95 than at 0.8 or 0.9. The ratio was 0.94 and more on real streams with random
# delays, 0.2 to 0.61 on bookings and on delays that followed the outcome.
# On 416 rows with unrelated delays it was once 0.74: fewer than a thousand cannot tell.
_DUE, _BENT = 0.95, 0.7
_LEAST_ROWS, _MOST_ROWS = 1_000, 100_000


@dataclass(frozen=True)
class Arrivals:
    """How the labels of rows have come, as known at a cut.

    :param features: (n + m, features) of the n labelled rows, then of the m that wait for a label.
    :param target: (n,) the labels.
    :param delay: (n,) batches from row to label.
    :param age: (n + m,) batches from row to cut.
    """

    features: pd.DataFrame
    target: np.ndarray
    delay: np.ndarray
    age: np.ndarray


@dataclass(frozen=True)
class Maturity:
    """Which labelled rows may be learnt from.

    :param kept: (n,) False for rows that are left out.
    :param bend: how much more seldom the slowest outcome has arrived than a row's own, on average over the rows of
        kinds that are not due: 1 where the delay does not depend on the outcome, and where no such row is.
    """

    kept: np.ndarray
    bend: float = 1.0


def learn_maturity(
    schema: DataSchema,
    stores: Stores,
    packed: PackedModel,
    labelled: LabelledRows,
    features: pd.DataFrame,
    last: str,
) -> Maturity:
    """Which labelled rows may be learnt from, as known at the last batch of their span.

    Rows that have waited for longer than ``labels.max_delay`` get no label any more, and tell nothing of those to come.

    :param schema: under which they are labelled.
    :param packed: what is being fitted.
    :param features: (n, features) of the labelled rows.
    :param last: last batch of the span.
    """
    labels, calendar, waiting = schema.labels, schema.calendar, labelled.waiting
    everything = Maturity(np.ones(len(features), dtype=bool))
    if labels is None or waiting.empty:
        return everything
    oldest = calendar.shift(last, -labels.max_delay)
    if (waiting["batch"] < oldest).all():
        return everything
    late = replace(labelled, rows=waiting[waiting["batch"] >= oldest].reset_index(drop=True))
    both = concat_features([features, gather_features(schema, stores, packed, late)[0]])
    batch, known = (_indices(calendar, labelled.rows[name]) for name in ("batch", "known"))
    age = calendar.index(last) - np.append(batch, _indices(calendar, late.rows["batch"]))
    target = labelled.rows[labels.column].to_numpy(dtype=float)
    return find_mature_rows(Arrivals(both, target, known - batch, age), packed.spec.seed)


def _indices(calendar: Calendar, batches: pd.Series) -> np.ndarray:
    return batches.map({one: calendar.index(one) for one in batches.unique()}).to_numpy(dtype=np.int64)


def find_mature_rows(arrivals: Arrivals, seed: int) -> Maturity:
    """Leave out labelled rows of kinds that are not due yet, where labels are bent.

    A row is due if by its features and its age 95 % of its like have their label. Labels are bent if, for rows that are
    not, another outcome would have arrived less than 70 % as often. All rows are kept where fewer than half
    of them, or rows of one outcome only, would be left.

    :param seed: of the random ages at which arrivals are compared.
    :returns: every row kept, without any fit, if 95 % of all rows have their label, every label came at once, or there
        are fewer than 1,000 labels.
    """
    labelled = len(arrivals.target)
    everything = np.ones(labelled, dtype=bool)
    if labelled >= _DUE * len(arrivals.age) or labelled < _LEAST_ROWS or not arrivals.delay.any():
        return Maturity(everything)
    numbers = _as_numbers(arrivals.features)
    has_label = np.arange(len(arrivals.age)) < labelled
    due = _probability(np.column_stack([numbers, arrivals.age]), has_label, seed)[:labelled] >= _DUE
    if due.all():
        return Maturity(everything)
    bend = float(_ratio(numbers[:labelled], arrivals, seed)[~due].mean())
    too_few = 2 * due.sum() < labelled or len(np.unique(arrivals.target[due])) < 2
    return Maturity(everything if bend >= _BENT or too_few else due, bend)


def _ratio(numbers: np.ndarray, arrivals: Arrivals, seed: int) -> np.ndarray:
    """By what ratio the slowest outcome has arrived at a row's age, of how often the row's own has.

    Learnt from labelled rows, each asked at a random age up to its own whether its label was there: delays are cut off
    alike for each outcome, and unrelated ones give 1.

    :returns: (n,) above 0, at most 1.
    """
    target, age = arrivals.target, arrivals.age[: len(arrivals.target)]
    asked = np.random.default_rng(seed).integers(0, age + 1)
    arrived = arrivals.delay <= asked
    outcomes = np.unique(target)
    if len(outcomes) > 10:
        outcomes = np.quantile(target, [0.1, 0.3, 0.5, 0.7, 0.9])
    others = [np.column_stack([numbers, np.full(len(age), one), age]) for one in outcomes]
    inputs = np.column_stack([numbers, target, asked])
    actual, *each = _probabilities(inputs, arrived, [np.column_stack([numbers, target, age]), *others], seed)
    ratio: np.ndarray = np.minimum(1.0, np.min(each, axis=0) / np.maximum(actual, 1e-3))
    return ratio


def _probability(inputs: np.ndarray, happened: np.ndarray, seed: int) -> np.ndarray:
    return _probabilities(inputs, happened, [inputs], seed)[0]


def _probabilities(inputs: np.ndarray, happened: np.ndarray, wanted: list[np.ndarray], seed: int) -> list[np.ndarray]:
    """How probable it is that something has happened, by gradient boosting on at most 100,000 rows."""
    if happened.all() or not happened.any():
        return [np.full(len(one), float(happened[0])) for one in wanted]
    rows = np.arange(len(inputs))
    if len(rows) > _MOST_ROWS:
        rows = np.random.default_rng(seed).choice(rows, _MOST_ROWS, replace=False)
    model = HistGradientBoostingClassifier(max_iter=60, learning_rate=0.08, early_stopping=False, random_state=seed)
    model.fit(inputs[rows], happened[rows])
    return [model.predict_proba(one)[:, 1] for one in wanted]


def _as_numbers(features: pd.DataFrame) -> np.ndarray:
    """(rows, features) numbers; what is none is told by how often it occurs."""
    columns = [np.empty((len(features), 0))]
    for name in features.columns:
        column = features[name]
        if is_datetime64_any_dtype(column):
            values = column.astype("int64").to_numpy(dtype=float)
        elif is_numeric_dtype(column):
            values = column.to_numpy(dtype=float, na_value=np.nan)
        else:
            text = column.astype(str)
            values = text.map(text.value_counts()).to_numpy(dtype=float)
        columns.append(np.where(np.isfinite(values), values, np.nan)[:, None])
    return np.hstack(columns)
