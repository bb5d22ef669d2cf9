"""The recipe that a packed model carries, read back under another config.yaml."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from evergreen.config.contract import ModelConfig
from evergreen.config.expectations_config import ExpectationsConfig
from evergreen.config.model_folder import ModelFolder
from evergreen.config.model_spec import ModelSpec
from evergreen.features.packing import Recipe, fit_estimator
from evergreen.losses import METRICS
from evergreen.storage.packed_model import CODE, PackedModel, read_files, write_spec
from tests.unit.conftest import CONFIG

OTHER = {
    "features": {"lookback": 3, "rowwise": False},
    "model": {"task": "regression", "seed": 99, "trusted_types": ["some.Type"]},
    "training": {"window": 2},
}

KINDS = {"regression": {"minutes": "float"}, "classification": {"minutes": "integer"}}


def folder(**changes):
    config = ModelConfig.model_validate(yaml.safe_load(CONFIG) | changes)
    return ModelFolder("a", Path("a"), config, ExpectationsConfig(), {})


def labels(**changes):
    return yaml.safe_load(CONFIG)["labels"] | changes


@pytest.mark.parametrize("today", [{}, OTHER, {"labels": labels(max_delay=0)}, {"labels": "none"}])
def test_a_recipe_is_what_was_packed_whatever_the_config_says(today, tmp_path):
    for name in CODE:
        (tmp_path / name).write_text(f"# {name}, as it was")
    spec = Recipe.of(folder(), "all").spec.model_copy(update={"features": ("x",), "constant": 1.0, "left_out": 3})
    write_spec(tmp_path, spec)
    recipe = Recipe.of_packed(PackedModel(tmp_path, spec, None, None, read_files(tmp_path)))
    assert recipe.spec == ModelSpec.of("a", folder().config, "all")
    assert recipe.code == {name: f"# {name}, as it was" for name in CODE}
    schema = recipe.spec.data_schema(folder(**today).config.data_schema)
    assert (schema.labels.column, schema.labels.max_delay) == ("minutes", folder().config.labels.max_delay)


def test_a_model_that_was_packed_without_labels_is_fitted_without_any():
    spec = ModelSpec.of("a", folder(labels="none").config, "all")
    assert spec.data_schema(folder().config.data_schema).labels is None


@pytest.mark.parametrize(
    ("today", "same"),
    [
        ({}, True),
        ({"training": {"window": 2}}, True),
        ({"gate": {"metric": "rmse"}}, True),
        ({"features": OTHER["features"]}, False),
        ({"model": OTHER["model"]}, False),
        ({"labels": labels(max_delay=0)}, False),
        ({"labels": labels(target={"minutes": "integer"})}, False),
        ({"labels": "none"}, False),
    ],
)
def test_two_versions_are_of_one_recipe_if_all_that_shapes_them_is_the_same(today, same):
    spec = ModelSpec.of("a", folder().config, "all").model_copy(update={"features": ("x",), "left_out": 2})
    assert ModelSpec.of("a", folder(**today).config, "all").has_recipe_of(spec) is same
    assert not ModelSpec.of("a", folder(**today).config, 3).has_recipe_of(spec)


@pytest.mark.parametrize("waiting", [0, 6])
@pytest.mark.parametrize(
    ("metric", "task", "target"),
    [
        ("mae", "regression", [1.0, 2.0, 9.0, 40.0, 3.5]),
        ("rmse", "regression", [1.0, 2.0, 9.0, 40.0, 3.5]),
        ("logloss", "classification", [1, 0, 0, 0, 0]),
        ("brier", "classification", [0, 0, 0, 0, 0]),
        ("logloss", "classification", [1, 1, 1, 1, 1]),
    ],
)
def test_the_baseline_predicts_the_best_constant_for_any_row(metric, task, target, waiting, tmp_path):
    of_task = {"model": {"task": task, "seed": 7}, "labels": labels(target=KINDS[task])}
    baseline = Recipe.of_baseline(folder(**of_task, gate={"metric": metric}))
    assert (baseline.spec.lookback, baseline.spec.window) == (0, "all")
    for name, text in baseline.code.items():
        (tmp_path / name).write_text(text)
    rows = pd.DataFrame({"minutes": target})
    features = pd.DataFrame({"constant": 0.0}, index=rows.index)
    estimator = fit_estimator(baseline.spec, tmp_path, features, rows["minutes"], waiting)
    unseen = np.array([[1.0], [-5.0]])
    predicted = estimator.predict(unseen) if task == "regression" else estimator.predict_proba(unseen)[:, 1]
    assert predicted == pytest.approx([METRICS[metric].best_constant(np.array(target), waiting)] * 2)
