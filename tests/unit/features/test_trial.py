"""New code runs first in a process of its own: only what ends that process, or never comes back, counts there."""

import logging
from dataclasses import replace

import pytest

from evergreen.errors import CodeUnsafe
from evergreen.features import trial
from evergreen.features.labelled import match_labels
from evergreen.features.packing import Recipe
from evergreen.features.trial import try_code
from evergreen.judging import fit_windows
from evergreen.steps.judge_model import judge_model
from evergreen.steps.train_model import train_model
from tests.unit.small_loop import ESTIMATOR, FEATURES, SmallLoop, day, doubled

EXITS = "import os\n\n\ndef build_features(batch, history):\n    os._exit(7)\n"
WAITS = (
    "import threading\n\n\ndef build_features(batch, history):\n    threading.Event().wait()\n    return batch[['x']]\n"
)
RAISES = "def build_features(batch, history):\n    raise KeyError('x')\n"


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    loop = SmallLoop.under(tmp_path_factory.mktemp("trial")).using(features={"lookback": 1})
    loop.take(doubled, 1, 2, 3)
    return loop


@pytest.fixture
def run_code(loop):
    """Try other code on the loop's rows."""

    def run(features):
        schema = loop.model.config.data_schema
        recipe = Recipe(Recipe.of(loop.model, "all").spec, {"features.py": features, "estimator.py": ESTIMATOR})
        try_code(recipe, schema, loop.stores, match_labels(schema, loop.stores, day(1), day(3)))

    return run


@pytest.mark.parametrize("features", [FEATURES, RAISES, "1 / 0"], ids=["sound", "raises", "raises on import"])
def test_what_code_does_otherwise_is_met_where_it_counts(features, run_code):
    run_code(features)


def test_code_that_ends_its_process_ends_no_other(run_code):
    said = rf"^model small, features.py, build_features on batch {day(3)}: ended its process, with exit status 7$"
    with pytest.raises(CodeUnsafe, match=said):
        run_code(EXITS)


def test_it_is_given_the_batches_before(run_code):
    asks = "def build_features(batch, history):\n    import os\n    if len(history) == 40:\n        os._exit(9)\n"
    with pytest.raises(CodeUnsafe, match="exit status 9"):
        run_code(asks)


def test_a_process_that_hangs_without_any_work_says_nothing_of_the_code(run_code, monkeypatch, caplog):
    monkeypatch.setattr(trial, "_IDLE", 0.5)
    with caplog.at_level(logging.WARNING):
        run_code(WAITS)
    assert "came to nothing" in caplog.text


def test_code_that_was_fitted_is_not_tried_again(tmp_path, monkeypatch):
    """The first challenger is; the next of the same code is not, and the first of other code is."""
    tried = []
    monkeypatch.setattr(fit_windows, "try_code", lambda recipe, *_: tried.append(recipe.code["features.py"]))
    loop = SmallLoop.under(tmp_path)
    for number in (1, 2, 3, 4):
        loop.take(doubled, number)
        if number > 1:
            due = loop.ask(number)
            judge_model(loop.model, loop.at, due, train_model(loop.model, loop.at, due))
        if number == 3:
            edited = {**loop.model.code, "features.py": f"{FEATURES}# edited\n"}
            loop = replace(loop, model=replace(loop.model, code=edited))
    assert tried == [FEATURES, f"{FEATURES}# edited\n"]
