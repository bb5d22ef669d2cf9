"""Boosted trees that were compiled for few rows answer as scikit-learn does, bit by bit, or are not used."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression

from evergreen.serving import quick_rows
from evergreen.serving.quick_rows import as_numbers, compile_rows
from tests.unit.features.test_contributions import CATEGORIES, NUMBERS, pack
from tests.unit.small_loop import CLASSES

BOOSTED: dict[str, tuple[Any, dict[str, Any]]] = {
    "absolute error": (HistGradientBoostingRegressor(loss="absolute_error", max_iter=40), {}),
    "quantile": (HistGradientBoostingRegressor(loss="quantile", quantile=0.9, max_iter=40), {}),
    "classes": (HistGradientBoostingClassifier(max_iter=40), CLASSES),
}
# Values as a request brings them: missing ones, whole numbers, and some far from all that was learnt.
ROWS = NUMBERS.assign(count=np.arange(len(NUMBERS)))
STRANGE = pd.DataFrame({"a": [np.nan, np.inf, -1e300, 0.0], "kind": [3.0, np.nan, -np.inf, 9.0], "count": [0, 1, 2, 3]})


@pytest.mark.parametrize("name", BOOSTED)
@pytest.mark.parametrize("count", [1, 3, 50])
def test_what_is_compiled_predicts_the_same_bits(name: str, count: int, tmp_path: Path) -> None:
    estimator, config = BOOSTED[name]
    learnt = ROWS.assign(a=ROWS["a"].mask(ROWS["count"] % 5 == 0))
    packed = pack(tmp_path, estimator, learnt, measured=False, **config)
    quick = compile_rows(packed)
    assert quick is not None
    asked = pd.concat([STRANGE, learnt], ignore_index=True)
    for first in range(0, 60, count):
        some = asked.iloc[first : first + count]
        numbers = as_numbers(some)
        assert numbers is not None
        assert np.array_equal(packed.predict_features(some), quick.predict_features(numbers))
    # The version itself is as it was, by the names of its features.
    assert list(packed.estimator.feature_names_in_) == ["a", "kind", "count"]


def test_what_is_no_boosting_of_numbers_is_left_to_scikit_learn(tmp_path: Path) -> None:
    assert compile_rows(pack(tmp_path / "line", LinearRegression(), NUMBERS, measured=False)) is None
    native = HistGradientBoostingRegressor(categorical_features="from_dtype", max_iter=5)
    assert compile_rows(pack(tmp_path / "native", native, CATEGORIES, measured=False)) is None
    by_place = HistGradientBoostingRegressor(categorical_features=[1], max_iter=5)
    assert compile_rows(pack(tmp_path / "place", by_place, NUMBERS, measured=False)) is None
    assert as_numbers(CATEGORIES) is None
    assert as_numbers(pd.DataFrame({"a": [1.0], "yes": [True]})) is None


@pytest.mark.parametrize("fault", ["differs", "raises"])
def test_trees_that_are_walked_otherwise_are_not_used(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    packed = pack(tmp_path, HistGradientBoostingRegressor(max_iter=5), NUMBERS, measured=False)
    honest = quick_rows._walk

    def walk(roots: Any, row: list[float], total: float) -> float:
        if fault == "raises":
            raise KeyError("another release's field")
        return float(np.nextafter(honest(roots, row, total), np.inf))

    monkeypatch.setattr(quick_rows, "_walk", walk)
    assert compile_rows(packed) is None
    assert "its trees could not be compiled" in caplog.text
