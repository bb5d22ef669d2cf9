"""Boosted trees for a request of one row: scikit-learn calls them one by one, each on an array that it checks.

The same numbers are added in the same order, so that an answer equals the batch's to the last bit. What is not certain
to be equal is left to scikit-learn.
"""

import copy
import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from evergreen.storage.packed_model import PackedModel

_logger = logging.getLogger(__name__)
# An inner node: feature, threshold, whether what is missing goes left, left, right; a leaf is its value.
_Node = tuple[int, float, bool, Any, Any] | float
# Rows up to which walking trees in Python is faster than calling them.
_FEW = 4
# Nodes are held once more, of some hundred bytes each.
_MOST_NODES = 200_000
_PROBES = 64


def compile_rows(packed: PackedModel) -> PackedModel | None:
    """The same version with an estimator that takes arrays, and few rows quickly.

    :returns: None for what are no boosted trees of numbers, and where one of some made-up rows is predicted otherwise.
    """
    boosted = packed.estimator
    if type(boosted) not in (HistGradientBoostingClassifier, HistGradientBoostingRegressor):
        return None
    try:
        return _compile(packed, boosted)
    except Exception:
        # It reads what scikit-learn does not promise to keep; without it a request takes longer, and no more.
        _logger.warning("model %s: its trees could not be compiled", packed.spec.model, exc_info=True)
        return None


def as_numbers(features: pd.DataFrame) -> np.ndarray | None:
    """Features as the array that scikit-learn makes of them; None where a column is no plain number."""
    numbers = features.to_numpy()
    return numbers if numbers.dtype.kind in "fiu" else None


def _compile(packed: PackedModel, boosted: Any) -> PackedModel | None:
    names = list(getattr(boosted, "feature_names_in_", ()))
    trees = [tree for iteration in boosted._predictors for tree in iteration]
    if boosted._preprocessor is not None or boosted.n_trees_per_iteration_ != 1 or not names:
        return None
    if sum(len(tree.nodes) for tree in trees) > _MOST_NODES or any(
        tree.nodes["is_categorical"].any() for tree in trees
    ):
        return None
    roots = [_nest(tree.nodes) for tree in trees]
    quick, baseline = copy.copy(boosted), boosted._baseline_prediction

    def predict_raw(rows: np.ndarray, n_threads: int | None = None) -> np.ndarray:
        if len(rows) > _FEW:
            return np.asarray(type(boosted)._raw_predict(quick, rows, n_threads))
        # As scikit-learn's own, which looks at each array first: these are finished features in the model's order.
        raw = np.zeros((len(rows), 1), dtype=baseline.dtype, order="F")
        raw += baseline
        for place, row in enumerate(np.asarray(rows, dtype=np.float64).tolist()):
            raw[place, 0] = _walk(roots, row, float(raw[place, 0]))
        return raw

    quick._raw_predict = predict_raw
    # An array has no names; those of the frame were compared with what it was trained on.
    del quick.feature_names_in_
    compiled, probes = replace(packed, estimator=quick), _make_probes(trees, len(names))
    slowly = packed.predict_features(pd.DataFrame(probes, columns=names))
    quickly = np.concatenate([compiled.predict_features(row[None, :]) for row in probes])
    if not np.array_equal(slowly, quickly):
        raise ValueError("predictions differ")
    return compiled


def _nest(nodes: np.ndarray) -> _Node:
    """A tree by its root; a node's children stand behind it."""
    fields = ("is_leaf", "value", "feature_idx", "num_threshold", "missing_go_to_left", "left", "right")
    made: list[_Node] = [0.0] * len(nodes)
    columns = [nodes[name].tolist() for name in fields]
    for place, (is_leaf, value, feature, threshold, missing, left, right) in reversed(
        list(enumerate(zip(*columns, strict=True)))
    ):
        made[place] = value if is_leaf else (feature, threshold, bool(missing), made[left], made[right])
    return made[0]


def _walk(roots: list[_Node], row: list[float], total: float) -> float:
    """Add what each tree says of a row, in their order."""
    for node in roots:
        while type(node) is tuple:
            feature, threshold, missing, left, right = node
            value = row[feature]
            node = left if value <= threshold or (missing and value != value) else right
        total += node  # type: ignore[operator]
    return total


def _make_probes(trees: list[Any], features: int) -> np.ndarray:
    """Rows on both sides of thresholds, and without values: what a row meets in the trees."""
    random = np.random.default_rng(0)
    probes = random.normal(size=(_PROBES, features))
    for feature in range(features):
        splits = [tree.nodes[(tree.nodes["is_leaf"] == 0) & (tree.nodes["feature_idx"] == feature)] for tree in trees]
        thresholds = np.concatenate([nodes["num_threshold"] for nodes in splits] + [np.zeros(1)])
        chosen = random.choice(thresholds, _PROBES)
        beside = np.stack([chosen, np.nextafter(chosen, np.inf), np.full(_PROBES, np.nan), np.full(_PROBES, np.inf)])
        probes[:, feature] = beside[random.choice(4, _PROBES, p=[0.4, 0.4, 0.15, 0.05]), np.arange(_PROBES)]
    return probes
