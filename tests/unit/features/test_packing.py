"""The recipe that a packed model carries, read back under another config.yaml."""

from pathlib import Path

import pytest
import yaml

from include.config.contract import ModelConfig
from include.config.expectations import ExpectationsConfig
from include.config.feeds import LabelFeed
from include.config.model_folder import ModelFolder
from include.features.packing import _describe_recipe, recipe_of
from tests.unit.conftest import CONFIG

OTHER = {
    "features": {"lookback": 3, "rowwise": False},
    "model": {"task": "regression", "seed": 99, "trusted_types": ["some.Type"]},
    "training": {"window": 2},
}


def folder(**changes):
    config = ModelConfig.model_validate(yaml.safe_load(CONFIG) | changes)
    return ModelFolder("a", Path("a"), config, ExpectationsConfig(), {})


def labels(**changes):
    return yaml.safe_load(CONFIG)["labels"] | changes


@pytest.mark.parametrize("today", [{}, OTHER, {"labels": labels(max_delay=0)}, {"labels": "none"}])
def test_a_recipe_is_what_was_packed_whatever_the_config_says(today):
    packed = _describe_recipe(folder())
    recipe = recipe_of(folder(**today), packed)
    assert _describe_recipe(recipe) == packed
    assert isinstance(recipe.config.labels, LabelFeed)


def test_a_model_that_was_packed_without_labels_is_fitted_without_any():
    packed = _describe_recipe(folder(labels="none"))
    assert recipe_of(folder(), packed).config.labels == "none"


def test_what_a_model_packed_earlier_does_not_tell_is_todays():
    packed = {n: one for n, one in _describe_recipe(folder()).items() if n not in ("rowwise", "window", "max_delay")}
    today = folder(**OTHER, labels=labels(max_delay=1))
    config = recipe_of(today, packed).config
    assert (config.training, config.labels.max_delay) == (today.config.training, 1)
    assert config.model == folder().config.model
