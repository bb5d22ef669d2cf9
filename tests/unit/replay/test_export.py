"""A version is written as ONNX only if it predicts there what it does here."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.linear_model import LinearRegression

from evergreen.cli import cli
from evergreen.errors import ExtraMissing, ModelNotFound, NotReady, Refused
from evergreen.replay import export
from evergreen.replay.export import export_onnx
from evergreen.storage.packed_model import PackedModel
from tests.unit.small_loop import CLASSES, SmallLoop, doubled

NUMBERS = """\
def build_features(batch, history):
    return batch[["x"]].assign(odd=batch["id"] % 2 == 1)
"""
TEXTS = """\
def build_features(batch, history):
    return batch[["x"]].assign(odd=(batch["id"] % 2).map({0: "even", 1: "odd"}))
"""
CATEGORIES = TEXTS.replace('"odd"}))', '"odd"}).astype("category"))')
PIPELINE = """\
from sklearn.compose import make_column_transformer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def build_estimator(seed):
    encoded = make_column_transformer((OneHotEncoder(), ["odd"]), (StandardScaler(), ["x"]))
    return make_pipeline(encoded, Ridge(alpha=0.1))
"""


def estimator(name: str, module: str = "ensemble", said: str = "random_state=seed") -> str:
    return f"from sklearn.{module} import {name}\n\n\ndef build_estimator(seed):\n    return {name}({said})\n"


def parted(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """What a tree finds in x, with an exception."""
    return ((x > 0.5) ^ (random.uniform(size=len(x)) < 0.1)).astype(int)


LINE = estimator("LinearRegression", "linear_model", "")
CONVERTED: dict[str, tuple[str, str, Any, dict[str, Any], tuple[str, ...]]] = {
    "a line": (NUMBERS, LINE, doubled, {}, ("features",)),
    "a forest": (
        NUMBERS, estimator("RandomForestRegressor", said="20, random_state=seed, n_jobs=1"), doubled, {}, ("features",)
    ),
    "a forest of classes": (
        NUMBERS, estimator("RandomForestClassifier", said="20, max_depth=2, random_state=seed, n_jobs=1"), parted,
        CLASSES, ("features",),
    ),
    "texts": (TEXTS, PIPELINE, doubled, {}, ("x", "odd")),
}  # fmt: skip


def lived(place: Path, features: str, code: str, law: Any = doubled, **changes: Any) -> SmallLoop:
    loop = SmallLoop.under(place, features, code, retrain={"any": ["never"]}, **changes)
    loop.run(law, 1, 2, 3)
    assert [one.baseline for one in loop.promotions] == [True, False]
    return loop


@pytest.mark.parametrize("name", CONVERTED)
def test_what_is_written_predicts_what_was_scored(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features, code, law, changes, inputs = CONVERTED[name]
    loop = lived(tmp_path, features, code, law, **changes)
    monkeypatch.setenv("EVERGREEN_MODELS", str(loop.model.path.parent))
    monkeypatch.setenv("EVERGREEN_HOME", str(tmp_path))
    file = tmp_path / "small.onnx"
    said = CliRunner().invoke(cli, ["export", "small", "--onnx", str(file)], catch_exceptions=False).output
    assert f"version 2, inputs: {', '.join(inputs)}" in said
    assert "on 40 rows of its holdout predictions differ by at most" in " ".join(said.split())
    session = onnxruntime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    assert (about["model"], about["version"], about["features"]) == ("small", "2", "x, odd")
    # A day that it has scored, by a program that knows nothing of this one.
    scored = loop.predictions(3)
    x, odd = np.linspace(0, 1, 40), scored["id"].to_numpy() % 2
    given: dict[str, Any] = {"features": np.column_stack([x, odd]).astype(np.float32)}
    if "features" not in inputs:
        texts = np.array(["even", "odd"], dtype=object)[odd]
        given = {"x": x.astype(np.float32).reshape(-1, 1), "odd": texts.reshape(-1, 1)}
    found = session.run(None, given)
    predicted = found[1][:, 1] if changes else np.ravel(found[0])
    assert predicted == pytest.approx(scored["prediction"].to_numpy(), rel=1e-4)


BOOSTING = "HistGradientBoostingRegressor"
REFUSED = {
    "boosting": (NUMBERS, estimator(BOOSTING, said="min_samples_leaf=5, max_iter=20")),
    "boosting with categories": (
        CATEGORIES, estimator(BOOSTING, said='min_samples_leaf=5, max_iter=20, categorical_features="from_dtype"')
    ),
    "boosting with numbers as categories": (
        NUMBERS, estimator(BOOSTING, said="min_samples_leaf=5, max_iter=20, categorical_features=[1]")
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> SmallLoop:
    """A line serves."""
    return lived(tmp_path_factory.mktemp("line"), NUMBERS, LINE)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_converted_is_refused_in_words(
    name: str, line: SmallLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, convert = REFUSED[name], export._convert
    namespace: dict[str, Any] = {}
    exec(code[1], namespace)

    def convert_boosting(named: str, packed: PackedModel, features: pd.DataFrame) -> Any:
        if code[0] == CATEGORIES:
            features = features.assign(odd=features["odd"].map({True: "odd", False: "even"}).astype("category"))
        boosting = namespace["build_estimator"](1).fit(features, np.arange(len(features)))
        return convert(named, replace(packed, estimator=boosting), features)

    monkeypatch.setattr(export, "_convert", convert_boosting)
    with pytest.raises(Refused, match="not exported: skl2onnx does not convert HistGradientBoostingRegressor") as error:
        export_onnx(line.model, line.at, None, tmp_path / "small.onnx")
    assert str(error.value).startswith("model small, version 2: ")
    assert "Linear models, forests and pipelines of them are converted" in str(error.value)
    assert not list(tmp_path.glob("small.onnx*"))


def test_a_conversion_that_predicts_otherwise_is_not_written(
    line: SmallLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, convert = line, export._convert
    wrong = LinearRegression().fit(pd.DataFrame({"x": [0.0, 1.0], "odd": [0.0, 0.0]}), [10.0, 12.5])

    def convert_another(named: str, packed: PackedModel, features: pd.DataFrame) -> Any:
        return convert(named, replace(packed, estimator=wrong), features)

    monkeypatch.setattr(export, "_convert", convert_another)
    with pytest.raises(Refused, match=r"it predicts otherwise in 40 of 40 rows of its holdout, by up to 0\.") as error:
        export_onnx(loop.model, loop.at, 2, tmp_path / "small.onnx")
    assert "at most 0.01% of that is expected. skl2onnx converts LinearRegression wrongly" in str(error.value)
    assert not list(tmp_path.glob("small.onnx*"))
    with pytest.raises(ModelNotFound, match="has no promoted version 9"):
        export_onnx(loop.model, loop.at, 9, tmp_path / "small.onnx")


def test_a_folder_that_is_not_there_is_told_before_anything_is_converted(tmp_path: Path) -> None:
    loop = SmallLoop.under(tmp_path)
    with pytest.raises(Refused, match=r"model\.onnx: found no folder .*/nowhere; make it"):
        export_onnx(loop.model, loop.at, None, tmp_path / "nowhere" / "model.onnx")


def test_without_a_version_or_the_packages_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = SmallLoop.under(tmp_path)
    loop.take(doubled, 1)
    with pytest.raises(NotReady, match="no version was promoted yet"):
        export_onnx(loop.model, loop.at, None, tmp_path / "small.onnx")
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ExtraMissing, match=r"evergreen export --onnx needs the package skl2onnx.*evergreen\[onnx\]"):
        export_onnx(loop.model, loop.at, None, tmp_path / "small.onnx")
