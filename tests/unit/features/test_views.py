"""A feature view's values are those that had arrived before a batch, in training, in its predictions, and online."""

import numpy as np
import pandas as pd
import pytest

from evergreen.features.building import build_features
from evergreen.features.labelled import gather_features, match_labels, standing_claim
from evergreen.records import ClaimRecord, DataRecord, PromotionRecord
from tests.unit.small_loop import SmallLoop, day
from tests.unit.views import expected_features, run, view_loop


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    """Nine days."""
    place = tmp_path_factory.mktemp("views")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVERGREEN_FEATURES", str(place / "features"))
        loop = view_loop(place)
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
