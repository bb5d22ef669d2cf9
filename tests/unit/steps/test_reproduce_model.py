"""A version fitted once more from its record, aside: equal byte for byte, or what differs."""

import pytest

from evergreen.errors import ModelNotFound, SourceChanged
from evergreen.records import ReproductionRecord
from evergreen.replay.status import describe_version
from evergreen.steps import reproduce_model as step
from evergreen.steps.reproduce_model import describe_reproduced, reproduce_model
from tests.short_loop import records, tables
from tests.unit.small_loop import ROWS, SmallLoop, day, doubled

BOOSTED = """\
from sklearn.ensemble import HistGradientBoostingRegressor


def build_estimator(seed):
    return HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=5, random_state=seed)
"""
# It ignores its seed, and shuffles the rows that it learns from.
UNSEEDED = """\
from sklearn.linear_model import SGDRegressor


def build_estimator(seed):
    return SGDRegressor()
"""


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """The baseline, and version 2, which learnt from two days."""
    loop = SmallLoop.begun(tmp_path_factory.mktemp("lived"), 3, estimator=BOOSTED, retrain={"any": ["never"]})
    assert [(one.version, one.baseline) for one in loop.promotions] == [(1, True), (2, False)]
    return loop


@pytest.fixture
def loop(lived, tmp_path):
    """A copy, to go on with."""
    return lived.copied(tmp_path)


def reproduce(loop, version):
    return reproduce_model(loop.model, loop.at, version, "ada: an audit")


@pytest.mark.parametrize(("version", "rows"), [(1, ROWS), (2, 2 * ROWS)])
def test_it_is_equal_byte_for_byte_and_registers_nothing(version, rows, loop):
    before, runs = records(loop.model, loop.at) | tables(loop.model, loop.at), loop.stores.models._search
    count = len(runs(f"{day(2)}.0", "champion", "FINISHED"))
    record = reproduce(loop, version)
    assert (record.equal, record.rows, record.found, record.as_of) == (True, rows, (), day(3))
    told = list(describe_reproduced(loop.model.id, record))
    assert told[0].startswith(
        f"small: version {version} is reproduced: equal, parameters sha1 {record.parameters[:12]}"
    )
    assert told[0].endswith(f"and predictions on {rows} rows byte for byte")
    after = records(loop.model, loop.at) | tables(loop.model, loop.at)
    assert {name for name in after if name not in before} == {f"reproduction/{version}/0.json"}
    assert len(runs(f"{day(2)}.0", "champion", "FINISHED")) == count
    # Again it changes nothing.
    assert reproduce(loop, version) == record
    assert len(list(loop.stores.ledger.all(ReproductionRecord, str(version)))) == 1
    assert f"  reproduced at batch {day(3)}: equal (ada: an audit)" in list(
        describe_version(loop.model, loop.at, version)
    )


def test_what_the_working_tree_says_by_now_does_not_count(loop):
    edited = loop.using(features={"lookback": 2})
    (edited.model.path / "features.py").write_text("def build_features(batch, history):\n    raise RuntimeError\n")
    assert reproduce(edited, 2).equal


def test_a_recipe_that_ignores_its_seed_differs_and_says_so(tmp_path):
    loop = SmallLoop.under(tmp_path, estimator=UNSEEDED, retrain={"any": ["never"]})
    loop.run(doubled, 1, 2)
    record = reproduce(loop, loop.promotions[-1].version)
    assert not record.equal
    told = "\n".join(describe_reproduced(loop.model.id, record))
    assert "small: version 2 is not reproduced" in told
    assert f"predictions on {record.rows} of {record.rows} rows differ, by at most " in told
    assert "the parameters differ: " in told
    assert "the packages are those that packed it: look for what draws at random without the seed" in told


def test_other_packages_are_named(loop, monkeypatch):
    monkeypatch.setattr(step, "installed", lambda name: "0.1" if name == "scikit-learn" else "9.9")
    found = reproduce(loop, 2).found
    assert any(one.startswith("scikit-learn 1.") and one.endswith(" packed it, 0.1 is installed") for one in found)


def test_rows_that_are_no_longer_those_of_the_record_are_named(loop):
    rows = loop.stores.lake.read_any("clean", day(1), 0)
    loop.stores.lake.replace("clean", day(1), 0, rows.slice(1), {})
    with pytest.raises(SourceChanged, match=rf"batch {day(1)}.*is not what its record says"):
        reproduce(loop, 2)


def test_a_version_that_there_is_not_is_answered_with_those_that_there_are(lived):
    with pytest.raises(ModelNotFound, match=r"model small has no promoted version 9; promoted versions: 1, 2$"):
        reproduce(lived, 9)
