"""What each feature has brought: SHAP values that add up to the prediction, or occlusion that is called so, and why."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from evergreen.config.model_spec import ModelSpec
from evergreen.errors import Refused
from evergreen.features.contributions import explain_rows
from evergreen.features.explanation import EXPLANATION, measure_explanation
from evergreen.storage.packed_model import PackedModel
from tests.unit.small_loop import CLASSES, SmallLoop

RANDOM = np.random.default_rng(0)
ROWS = pd.DataFrame({"a": RANDOM.normal(size=400), "kind": RANDOM.choice(["x", "y", "z"], 400)})
KIND = ROWS["kind"].map({"x": 0.0, "y": 3.0, "z": 9.0})
OUTCOME = 2 * ROWS["a"] + KIND
NUMBERS = ROWS.assign(kind=KIND)
# Texts that read as numbers: others SHAP refuses itself.
CATEGORIES = ROWS.assign(kind=KIND.map("{:.0f}".format).astype("category"))


def pack(tmp_path: Path, estimator: Any, features: pd.DataFrame, measured: bool = True, **config: Any) -> PackedModel:
    """A fitted estimator as a version has it, with what was measured of it."""
    loop = SmallLoop.under(tmp_path, **config)
    spec = loop.model.config
    target = OUTCOME if spec.model.task == "regression" else (OUTCOME > 3).astype(int)
    packed = PackedModel(
        tmp_path, ModelSpec.of("small", spec, "all"), ModuleType("features"), estimator.fit(features, target)
    )
    if not measured:
        return packed
    told = measure_explanation(packed, packed, features, target.to_numpy(dtype=float))
    return PackedModel(
        tmp_path, packed.spec, packed.features, packed.estimator, {EXPLANATION: told.model_dump_json().encode()}
    )


TREES: dict[str, tuple[Any, dict[str, Any], str, Any]] = {
    "boosting": (HistGradientBoostingRegressor(max_iter=30, random_state=1), {}, "prediction", lambda x: x),
    "poisson": (
        HistGradientBoostingRegressor(max_iter=30, loss="poisson", random_state=1), {"y": "abs"}, "logarithm", np.exp
    ),
    "forest": (RandomForestRegressor(10, random_state=1), {}, "prediction", lambda x: x),
    "boosted classes": (HistGradientBoostingClassifier(max_iter=30, random_state=1), CLASSES, "log odds", expit),
    "a forest of classes": (RandomForestClassifier(10, random_state=1), CLASSES, "prediction", lambda x: x),
}  # fmt: skip


@pytest.mark.parametrize("name", TREES)
def test_shap_values_of_trees_add_up_to_the_prediction(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimator, config, scale, follow = TREES[name]
    if config == {"y": "abs"}:
        config = {}
        monkeypatch.setitem(globals(), "OUTCOME", OUTCOME.abs())
    packed = pack(tmp_path, estimator, NUMBERS, measured=False, **config)
    told = explain_rows(packed, NUMBERS.head(5), "2024-01-01")
    assert (told.method, told.scale, told.why) == ("SHAP", scale, "")
    assert told.base is not None
    assert follow(told.base + told.values.sum(axis=1)) == pytest.approx(told.predictions)
    assert told.values.shape == (5, 2)


def test_of_a_line_occlusion_is_the_way_from_the_mean(tmp_path: Path) -> None:
    """And why it is not SHAP is said."""
    packed = pack(tmp_path, LinearRegression(), NUMBERS)
    told = explain_rows(packed, NUMBERS.head(3), "2024-01-01")
    assert told.method == "occlusion"
    assert "SHAP of LinearRegression: raised InvalidModelError" in told.why
    # Ten quantiles stand for the feature, not each of its values.
    assert told.values[:, 0] == pytest.approx(2 * (NUMBERS["a"] - NUMBERS["a"].mean()).head(3), abs=0.2)
    assert told.values[:, 1] == pytest.approx((KIND - KIND.mean()).head(3), abs=0.8)


def test_native_categories_are_refused_and_occluded(tmp_path: Path) -> None:
    """SHAP takes them without an error, and is wrong: measured here, so that a release that mends it is seen."""
    shap = pytest.importorskip("shap")
    boosting = HistGradientBoostingRegressor(max_iter=30, categorical_features="from_dtype", random_state=1)
    packed = pack(tmp_path, boosting, CATEGORIES)
    explainer = shap.TreeExplainer(packed.estimator)
    sums = explainer.expected_value + explainer.shap_values(CATEGORIES, check_additivity=False).sum(axis=1)
    assert np.abs(sums - packed.predict_features(CATEGORIES)).max() > 1
    told = explain_rows(packed, CATEGORIES.head(3), "2024-01-01")
    assert told.method == "occlusion"
    assert told.why == (
        "SHAP reads the categories of HistGradientBoostingRegressor as numbers, and is wrong without saying so"
    )
    assert told.values[:, 1] == pytest.approx((KIND - KIND.mean()).head(3), abs=0.5)
    # A row alone has one category; the others are no missing values to it.
    alone = CATEGORIES.iloc[:1].assign(kind=lambda rows: rows["kind"].cat.remove_unused_categories())
    assert explain_rows(packed, alone, "2024-01-01").values[0] == pytest.approx(told.values[0])


def test_texts_are_occluded_within_a_pipeline(tmp_path: Path) -> None:
    encoded = make_column_transformer((OneHotEncoder(), ["kind"]), remainder="passthrough")
    packed = pack(tmp_path, make_pipeline(encoded, LinearRegression()), ROWS)
    told = explain_rows(packed, ROWS.head(3), "2024-01-01")
    assert "SHAP of Pipeline: raised InvalidModelError" in told.why
    assert told.values[:, 1] == pytest.approx((KIND - KIND.mean()).head(3), abs=0.1)


def test_values_that_do_not_add_up_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shap = pytest.importorskip("shap")
    monkeypatch.setattr(shap.TreeExplainer, "shap_values", lambda *_, **__: np.zeros((2, 2)))
    packed = pack(tmp_path, RandomForestRegressor(10, random_state=2), NUMBERS)
    told = explain_rows(packed, NUMBERS.head(2), "2024-01-01")
    assert (told.method, told.base) == ("occlusion", None)
    assert "SHAP of RandomForestRegressor does not add up: " in told.why


def test_without_shap_it_says_which_extra_brings_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shap", None)
    packed = pack(tmp_path, RandomForestRegressor(10, random_state=1), NUMBERS)
    told = explain_rows(packed, NUMBERS.head(2), "2024-01-01")
    assert told.method == "occlusion"
    assert told.why == (
        "SHAP needs the package shap, which is not installed; pip install 'airflow-provider-evergreen[explain]'"
    )
    bare = PackedModel(tmp_path, packed.spec, packed.features, packed.estimator)
    with pytest.raises(Refused, match="this version cannot be explained") as refused:
        explain_rows(bare, NUMBERS.head(2), "2024-01-01")
    assert "or was packed before these were kept. A version that is trained from now on has them" in str(refused.value)
