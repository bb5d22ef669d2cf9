"""One prediction is explained by the version that made it, from the rows of then."""

import re

import pytest
from click.testing import CliRunner

from evergreen.cli import cli
from evergreen.errors import Refused
from evergreen.replay.explain import explain_prediction
from evergreen.steps.rescore_batches import rescore_batches
from tests.unit.small_loop import SmallLoop, day, doubled, make_rows

FEATURES = """\
def build_features(batch, history):
    return batch[["x"]].assign(odd=batch["id"] % 2)
"""
TREE = """\
from sklearn.tree import DecisionTreeRegressor


def build_estimator(seed):
    return DecisionTreeRegressor(max_depth=3, random_state=seed)
"""


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> SmallLoop:
    """Of three days the last is scored by a tree, and then once more by the baseline."""
    loop = SmallLoop.under(tmp_path_factory.mktemp("lived"), FEATURES, TREE, retrain={"any": ["never"]})
    loop.run(doubled, 1, 2, 3)
    return loop


def test_what_features_brought_adds_up_to_what_is_on_record(loop: SmallLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERGREEN_MODELS", str(loop.model.path.parent))
    monkeypatch.setenv("EVERGREEN_HOME", str(loop.model.path.parent.parent))
    said = CliRunner().invoke(cli, ["explain", "small", day(3), "3007"], catch_exceptions=False).output
    value = loop.predictions(3).set_index("id")["prediction"][3007]
    assert f"revision 0: {value:.10g} by version 2" in said
    (base,) = re.findall(r"SHAP values, on the scale of the prediction: from (\S+) they add up", said)
    brought = {name: float(told) for name, told in re.findall(r"(x|odd) +([+-]\S+)  where it is", said)}
    assert set(brought) == {"x", "odd"}
    assert float(base) + sum(brought.values()) == pytest.approx(value, rel=1e-4)
    x = make_rows(3, doubled).set_index("id")["x"][3007]
    assert f"where it is {x}" in said


def test_of_a_batch_scored_again_each_prediction_is_explained(loop: SmallLoop) -> None:
    rescore_batches(loop.model, loop.at, day(2), day(2), 2, "ada: an audit")
    told = explain_prediction(loop.model, loop.at, day(2), ("2007",))
    assert list(told) == ["prediction", "contributions", "revision 2, prediction", "revision 2, contributions"]
    assert told["contributions"] == ["nothing: it is the baseline, the same for all rows"]
    assert told["revision 2, contributions"][0].startswith("SHAP values")


def test_a_key_that_is_not_there_is_told_as_a_trace_tells_it(loop: SmallLoop) -> None:
    with pytest.raises(Refused, match=f"batch {day(3)} has no prediction for id 9: no row of it has that key"):
        explain_prediction(loop.model, loop.at, day(3), ("9",))
