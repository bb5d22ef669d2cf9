"""A feature view's values are those that had arrived before a batch, in training, in its predictions, and online."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evergreen.config.locations import view_roots
from evergreen.config.view_folder import load_views
from evergreen.errors import NotReady, Outage
from evergreen.features.building import build_features
from evergreen.features.labelled import gather_features, match_labels, standing_claim
from evergreen.features.online import write_online
from evergreen.features.view_values import get_view, view_stores
from evergreen.records import ClaimRecord, DataRecord, IncidentRecord, PromotionRecord, ValuesRecord
from evergreen.replay.runner import Runner
from evergreen.serving.champions import Champion
from evergreen.steps.compute_views import compute_views
from evergreen.storage.stores import Stores
from tests.unit.small_loop import SmallLoop, day
from tests.unit.views import VIEW_PY, VIEW_YAML, expected_features, land, make_arrivals, run, view_loop, write_view


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    """Nine days."""
    place = tmp_path_factory.mktemp("views")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVERGREEN_FEATURES", str(place / "features"))
        # Which no later test but the last one meets.
        odd = "def build_view(rows):\n    if rows['x'].max() > 99:\n        raise ValueError('odd')"
        loop = view_loop(place, code=VIEW_PY.replace("def build_view(rows):", odd))
        run(loop, *range(1, 10))
        yield loop


def champion(loop: SmallLoop, claim: ClaimRecord):
    """The version that scored a batch."""
    assert claim.promotion is not None
    promotion = loop.stores.ledger.require(PromotionRecord, "champion", claim.promotion - 1)
    return loop.stores.models.load_promoted(promotion)


def test_batches_were_scored_by_a_version_that_reads_the_view(loop):
    claims = [standing_claim(loop.stores, day(n)) for n in range(3, 10)]
    assert any(claim.version for claim in claims)
    assert champion(loop, claims[-1]).spec.views == {"zones": 1}


def test_predictions_are_made_of_what_had_arrived_before_the_batch(loop):
    for number in range(4, 10):
        claim = standing_claim(loop.stores, day(number))
        made = loop.stores.lake.read_any("predictions", day(number), claim.revision).to_pandas().sort_values("id")
        wanted = champion(loop, claim).predict_features(expected_features(number))
        np.testing.assert_allclose(made["prediction"], wanted, rtol=0, atol=1e-12)


def test_training_reads_of_each_row_what_its_batch_read_though_more_has_arrived_since(loop):
    schema = loop.model.config.data_schema
    packed = champion(loop, standing_claim(loop.stores, day(9)))
    labelled = match_labels(schema, loop.stores, day(1), day(9))
    features, read = gather_features(schema, loop.stores, packed, labelled)
    wanted = pd.concat([expected_features(number) for number in range(1, 10)], ignore_index=True)
    pd.testing.assert_frame_equal(features.reset_index(drop=True), wanted, rtol=0, atol=1e-12)
    assert {p.batch for p in read if p.table == "@views/zones.v1"} == {day(n) for n in range(1, 9)}


def test_some_values_are_missing_and_some_rows_came_late():
    """So that the comparison above can fail."""
    features = pd.concat([expected_features(number) for number in range(1, 10)])
    assert 0.05 < (features["zones.trips"] == -1).mean() < 0.5


def test_a_claim_lists_the_values_that_were_read(loop):
    claim = standing_claim(loop.stores, day(9))
    listed = loop.stores.ledger.require(DataRecord, claim.data).partitions
    found = {p.batch: p.content for p in listed if p.table == "@views/zones.v1"}
    assert list(found) == [day(7), day(8)]
    assert all(content.startswith("2:") for content in found.values())


def test_a_batch_built_again_later_reads_the_same(loop):
    claim = standing_claim(loop.stores, day(5))
    packed = champion(loop, standing_claim(loop.stores, day(9)))
    built = build_features(loop.model.config.data_schema, loop.stores, packed, claim)
    pd.testing.assert_frame_equal(built.features, expected_features(5), rtol=0, atol=1e-12)


def test_the_service_says_which_batch_of_which_view_the_online_store_lacks_and_answers_once_it_is_there(loop):
    store = Path(loop.at.online.removeprefix("sqlite:///"))
    content = store.read_bytes()
    store.unlink()
    champion = Champion(loop.model, loop.at)
    champion.follow()
    assert champion.current is None
    assert "view zones version 1: the online store has it up to no batch, expected 2024-01-09; let compute_views" in (
        champion.trouble
    )
    with pytest.raises(NotReady, match="no version answers: view zones version 1"):
        champion.require()
    # It is made of the lake, and comes to the same.
    compute_views(loop.model, loop.at, day(9), load_views(loop.model, view_roots(), []))
    champion.follow()
    rows = as_rows(make_arrivals(10))
    again = champion.require().predict(rows).tolist()
    store.write_bytes(content)
    assert again == champion.require().predict(rows).tolist()


def test_without_an_online_store_nothing_is_written_and_the_service_says_so(loop):
    nowhere = Champion(loop.model, replace(loop.at, online=""))
    nowhere.follow()
    assert "EVERGREEN_ONLINE is empty; let it name one" in nowhere.trouble
    write_online(get_view(loop.stores, "zones", 1), Stores(replace(loop.at, online=""), "small"), 5)


def test_a_store_that_does_not_answer_is_an_outage_of_that_request(loop, tmp_path):
    served = answering(loop, 10)
    broken = tmp_path / "online.db"
    broken.write_text("no database, but longer than the header of one would be " * 20)
    views = replace(served.views, stores=Stores(replace(loop.at, online=f"sqlite:///{broken}"), "small"))
    with pytest.raises(Outage, match="online store"):
        replace(served, views=views).predict(as_rows(make_arrivals(10)))


@pytest.mark.parametrize("content", ["x", "1", "[1]", "{}", '["a", "b"]', "[1, 2, 3]"])
def test_what_somebody_else_has_written_into_the_store_is_told_by_view(loop, tmp_path, content):
    served, file = answering(loop, 10), tmp_path / "online.db"
    shutil.copy(loop.at.online.removeprefix("sqlite:///"), file)
    with closing(sqlite3.connect(file)) as store, store:
        store.execute("UPDATE latest SET content = ?", (content,))
    views = replace(served.views, stores=Stores(replace(loop.at, online=f"sqlite:///{file}"), "small"))
    with pytest.raises(Outage, match=r"zones.*the online store holds what are no values of trips, mean_x: .*; delete"):
        replace(served, views=views).predict(as_rows(make_arrivals(10)))


def test_a_request_gets_what_the_batch_will(loop):
    """Asked before the batch arrives, with its rows; then the batch comes, with some more that are late."""
    served = answering(loop, 10)
    online = served.predict(as_rows(make_arrivals(10)))
    features = served.views.join(make_arrivals(10)[["id", "at", "zone", "x"]])
    run(loop, 10)
    claim = standing_claim(loop.stores, day(10))
    made = loop.stores.lake.read_any("predictions", day(10), claim.revision).to_pandas().sort_values("id")
    assert claim.version == served.version
    assert online.tolist() == made["prediction"].tolist()
    found = features[["x", "zones.trips", "zones.mean_x"]].fillna(-1.0)
    pd.testing.assert_frame_equal(found, expected_features(10), rtol=0, atol=1e-12)


def test_a_champion_goes_on_with_its_version_where_config_yaml_declares_the_next(loop):
    """No task computes the old one any more; scoring does, and writes it to the online store."""
    folder = view_roots()[0]
    write_view(folder.parent, VIEW_YAML.replace("version: 1", "version: 2"), VIEW_PY.replace('"mean"', '"median"'))
    newer = loop.using(features={"views": {"zones": 2}}, retrain={"any": [{"every": 99}]})
    run(newer, 11)
    claim = standing_claim(loop.stores, day(11))
    made = loop.stores.lake.read_any("predictions", day(11), claim.revision).to_pandas().sort_values("id")
    packed = champion(loop, claim)
    assert packed.spec.views == {"zones": 1}
    np.testing.assert_allclose(made["prediction"], packed.predict_features(expected_features(11)), rtol=0, atol=1e-12)
    for version in (1, 2):
        assert view_stores(loop.stores).ledger.get(ValuesRecord, f"zones.v{version}.{day(11)}") is not None
    assert answering(newer, 12).packed.spec.views == {"zones": 1}


def test_a_view_that_fails_on_a_batch_leaves_the_next_without_predictions_and_says_why(loop):
    newer = loop.using(features={"views": {"zones": 2}}, retrain={"any": [{"every": 99}]})
    land(newer, 12)
    file = Path(loop.at.landing) / "small" / f"rows_{day(12)}.csv"
    file.write_text(file.read_text() + f"99999,{day(12)} 05:00:00,a,1000.0,3.0\n")
    Runner(newer.model, newer.at, sinks=()).run_batch(day(12))
    # Its own rows find what was known before them.
    assert standing_claim(loop.stores, day(12)).version is not None
    run(newer, 13)
    claim = standing_claim(loop.stores, day(13))
    assert (claim.version, claim.unscored) == (None, "failed")
    assert (
        "reads what could not be computed: view zones version 1, view.py, build_view on batch 2024-01-12: raised"
        in (claim.why)
    )
    *_, incident = loop.stores.ledger.all(IncidentRecord, "unscored")
    assert "batch 2024-01-13 has no predictions" in incident.text
    assert "view zones version 1" in incident.text


def answering(loop: SmallLoop, number: int):
    """The version that answers rows of a batch, as `evergreen serve` has it."""
    champion = Champion(loop.model, loop.at)
    champion.follow()
    assert champion.trouble == ""
    served = champion.require()
    assert served.batch == day(number)
    return served


def as_rows(arrivals: pd.DataFrame) -> dict[str, list[object]]:
    """Rows as a request brings them, in the order of their keys."""
    return {name: arrivals[name].tolist() for name in ("id", "at", "zone", "x")}
