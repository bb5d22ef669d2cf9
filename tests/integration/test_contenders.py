"""Policies side by side: each comes to what it comes to alone, and what it shares is done once."""

import pandas as pd
import pytest

from evergreen.config.locations import Locations
from evergreen.replay.contenders import compare_policies
from evergreen.replay.history import as_table, collect_history
from evergreen.replay.runner import for_replay, replay
from tests.short_loop import STREAM, land, records, short_model

POLICIES = ("never", "every:4", "decay")


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """The models by policy, their contenders, where they are, and the span."""
    place = tmp_path_factory.mktemp("compared")
    folder = short_model(place)
    at = Locations.under(place)
    land(folder, at, *range(1, STREAM.batches + 1))
    models = {policy: for_replay(folder, None, policy, html=False) for policy in POLICIES}
    span = [folder.config.calendar.name(i) for i in range(STREAM.batches)]
    told: list[str] = []
    contenders = compare_policies(models, place / "comparison", at.landing, span, after_each=told.append)
    return models, contenders, place, span, told


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_comes_to_what_it_comes_to_alone(compared, policy, tmp_path):
    models, contenders, place, span, _ = compared
    alone = Locations.under(tmp_path, landing=str(place / "landing"))
    replay(models[policy], alone, span[0], span[-1])
    (one,) = (one for one in contenders if one.policy == policy)
    assert records(models[policy], one.at) == records(models[policy], alone)
    expected = as_table(collect_history(models[policy], alone, span[0], span[-1]))
    pd.testing.assert_frame_equal(as_table(one.history), expected)


def test_policies_differ_and_share_what_was_taken_in(compared):
    _, contenders, place, span, told = compared
    promotions = {one.policy: len(one.history.promotions) for one in contenders}
    assert promotions["never"] == 1 < promotions["every:4"]
    tables = {path.name for path in (place / "comparison").glob("policy-*/lake/tables/dev/taxi/*")}
    assert tables == {"predictions"}
    shared = {path.name for path in (place / "comparison/shared/lake/tables/dev/taxi").iterdir()}
    assert shared >= {"clean", "labels", "quarantine_rows"}
    assert sum(line.startswith("taking in") for line in told) < len(span)
