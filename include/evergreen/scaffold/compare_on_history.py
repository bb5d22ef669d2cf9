"""What lowers the error on batches that were not learnt from: tried on the history, one half predicted by the other."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from evergreen.scaffold.assign_batches import AssignedRows
from evergreen.scaffold.profile_columns import ColumnFacts

Arguments = dict[str, int | float | str]
# Of trees from many large ones to few small ones: noise asks for these, detail for those.
_SIZES: tuple[Arguments, ...] = (
    {"max_iter": 200, "learning_rate": 0.08},
    {"max_iter": 200, "learning_rate": 0.05, "max_leaf_nodes": 15},
    {"max_iter": 60, "max_leaf_nodes": 7},
)
# A history that grows carries larger trees: they are taken where they err hardly more.
_HARDLY = 1.01
_SAMPLE = 5_000
_LEAST_ROWS, _LEAST_BATCHES, _FEW = 200, 4, 2_000


@dataclass(frozen=True)
class Halves:
    """A history cut in two, every other batch in each.

    :param rows: positions of the rows that are used.
    :param answer: (rows,) the target as numbers.
    :param odd: (rows,) which half each is of.
    """

    rows: np.ndarray
    answer: np.ndarray
    odd: np.ndarray
    classification: bool

    @classmethod
    def of(cls, outcome: pd.Series, usable: np.ndarray, assigned: AssignedRows, classification: bool) -> Self | None:
        """Of the rows that have a target, at most some thousands; None where there are too few batches to tell.

        :param usable: (rows,) which of them may be used.
        """
        rows = np.flatnonzero(outcome.notna() & usable & (assigned.numbers >= 0))
        rows = np.sort(np.random.default_rng(0).permutation(rows)[:_SAMPLE])
        answer, odd = outcome.to_numpy(dtype=float)[rows], assigned.numbers[rows] % 2 == 1
        few = len(set(assigned.numbers[rows])) < _LEAST_BATCHES
        if few or min(len(set(answer[odd])), len(set(answer[~odd]))) < 2:
            return None
        return cls(rows, answer, odd, classification)

    def sum_errors(self, features: np.ndarray, arguments: Arguments) -> float:
        """The summed absolute error, or log loss, on either half, of a model of the other.

        :param features: (rows, features) numbers.
        :param arguments: of the model.
        """
        # A column without a value in what is learnt from cannot be cut into bins.
        held = ~np.isnan(features)
        features = features[:, held[self.odd].any(axis=0) & held[~self.odd].any(axis=0)]
        if not features.shape[1]:
            features = np.zeros((len(self.rows), 1))
        summed = 0.0
        for seen in (self.odd, ~self.odd):
            learnt, asked, answer = features[seen], features[~seen], self.answer[~seen]
            if self.classification:
                classifier = HistGradientBoostingClassifier(early_stopping=False, random_state=0, **arguments)
                share = classifier.fit(learnt, self.answer[seen]).predict_proba(asked)[:, 1].clip(1e-4, 1 - 1e-4)
                summed += float(-np.log(np.where(answer == 1, share, 1 - share)).sum())
            else:
                regressor = HistGradientBoostingRegressor(early_stopping=False, random_state=0, **arguments)
                summed += float(np.abs(regressor.fit(learnt, self.answer[seen]).predict(asked) - answer).sum())
        return summed


def choose_arguments(
    columns: list[ColumnFacts], outcome: pd.Series, assigned: AssignedRows, classification: bool
) -> Arguments:
    """Arguments of the gradient boosting that is proposed: size of the trees, and whether the median is learnt.

    :param columns: what is learnt from.
    :param outcome: (rows,) the target, NaN where it is missing.
    """
    rows = int(outcome.notna().sum())
    # Leaves of few rows are sure of themselves, which the log loss does not forgive.
    plain: Arguments = {"l2_regularization": 1.0} if classification else {}
    sizes = [one | plain for one in (*_SIZES[:2], _SIZES[2] | {"min_samples_leaf": max(2, min(20, rows // 60))})]
    halves = Halves.of(outcome, np.ones(len(outcome), dtype=bool), assigned, classification)
    if halves is None or len(halves.rows) < _LEAST_ROWS or not columns:
        return sizes[-1 if rows < _FEW else 0]
    features = np.column_stack([as_number(facts).to_numpy(dtype=float)[halves.rows] for facts in columns])
    errors = [halves.sum_errors(features, size) for size in sizes]
    chosen, least = next(
        (size, error) for size, error in zip(sizes, errors, strict=True) if error <= _HARDLY * min(errors)
    )
    median = chosen | {"loss": "absolute_error"}
    return median if not classification and halves.sum_errors(features, median) * _HARDLY < least else chosen


def as_number(facts: ColumnFacts) -> pd.Series:
    """A column as a tree reads it: categories in the order of their names, dates as seconds."""
    if facts.is_date:
        seconds: pd.Series = (facts.values - facts.values.min()).dt.total_seconds()
        return seconds
    if facts.is_number:
        return facts.values.astype(float)
    codes, _ = pd.factorize(facts.values, sort=True)
    return pd.Series(np.where(codes < 0, np.nan, codes), dtype=float)
