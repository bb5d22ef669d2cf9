"""The recipe that a packed model carries, read back under another config.yaml."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from evergreen.config.contract import ModelConfig
from evergreen.config.expectations import ExpectationsConfig
from evergreen.config.feeds import LabelFeed
from evergreen.config.model_folder import ModelFolder
from evergreen.features.packing import _fit, baseline_of, describe_recipe, recipe_of
from evergreen.losses import best_constant
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
def test_a_recipe_is_what_was_packed_whatever_the_config_says(today):
    packed = describe_recipe(folder())
    recipe = recipe_of(folder(**today), packed)
    assert describe_recipe(recipe) == packed
    assert isinstance(recipe.config.labels, LabelFeed)


def test_a_model_that_was_packed_without_labels_is_fitted_without_any():
    packed = describe_recipe(folder(labels="none"))
    assert recipe_of(folder(), packed).config.labels is None


def test_what_a_model_packed_earlier_does_not_tell_is_todays():
    packed = {n: one for n, one in describe_recipe(folder()).items() if n not in ("rowwise", "window", "max_delay")}
    today = folder(**OTHER, labels=labels(max_delay=1))
    config = recipe_of(today, packed).config
    assert (config.training, config.labels.max_delay) == (today.config.training, 1)
    assert config.model == folder().config.model


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
    baseline = baseline_of(folder(**of_task, gate={"metric": metric}))
    assert (baseline.config.features.lookback, baseline.config.windows) == (0, ("all",))
    for name, text in baseline.code.items():
        (tmp_path / name).write_text(text)
    rows = pd.DataFrame({"minutes": target})
    estimator = _fit(baseline, tmp_path, pd.DataFrame({"constant": 0.0}, index=rows.index), rows, waiting)
    unseen = np.array([[1.0], [-5.0]])
    predicted = estimator.predict(unseen) if task == "regression" else estimator.predict_proba(unseen)[:, 1]
    assert predicted == pytest.approx([best_constant(metric, np.array(target), waiting)] * 2)
