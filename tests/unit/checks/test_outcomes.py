"""The outcomes that a check tells, against the version's own first labels and against a constant, by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evergreen.checks.outcomes import _outcome_schema, check_outcomes
from evergreen.judging.promotions import promotion_decided
from tests.unit.small_loop import SmallLoop, day, doubled, make_rows


def noisy(x, random):
    """The line, told worse."""
    return 10 + 2 * x + random.normal(0, 0.3, len(x))


def flat(x, random):
    """No line any more, but its level."""
    return 10 + 2 * x.mean() + random.normal(0, 0.1, len(x))


LAWS = {**dict.fromkeys(range(1, 6), doubled), 6: noisy, 7: noisy, 8: flat, 9: flat}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Version 2 has learnt a line of two days; three days are like them, two noisy, two flat."""
    loop = SmallLoop.under(tmp_path_factory.mktemp("outcomes"), retrain={"any": ["never"]})
    for number, law in LAWS.items():
        loop.run(law, number) if number < 3 else loop.take(law, number)
    return loop


def outcome(loop, number, worse_by=0.05):
    """What a check at a day concludes of the outcomes."""
    promotion = promotion_decided(loop.stores.ledger, day(number - 1))
    return check_outcomes(loop.model.config, loop.stores, day(number), promotion, worse_by)


def error_of(loop, *numbers):
    """The mean absolute error of what was predicted for some days."""
    missed = [(loop.predictions(n)["prediction"] - make_rows(n, LAWS[n])["y"]).abs() for n in numbers]
    return pd.concat(missed).mean()


def test_outcomes_are_measured_against_the_versions_own_first_labels(outcomes):
    first = outcome(outcomes, 4)
    assert (first.state, first.numbers["at_first"]) == ("ok", None)
    assert first.numbers["error"] == pytest.approx(error_of(outcomes, 3, 4))
    same, grown = outcome(outcomes, 6, worse_by=9.0), outcome(outcomes, 7)
    assert (same.state, grown.state) == ("ok", "bad")
    assert grown.numbers["error"] == pytest.approx(error_of(outcomes, 6, 7))
    assert grown.numbers["at_first"] == pytest.approx(error_of(outcomes, 3, 4))
    growth = grown.numbers["error"] / grown.numbers["at_first"] - 1
    assert outcome(outcomes, 7, worse_by=growth - 0.01).state == "bad"
    assert outcome(outcomes, 7, worse_by=growth + 0.01).state == "ok"


def test_outcomes_that_are_worse_than_a_constant_are_bad_whatever_may_grow(outcomes):
    learnt = np.concatenate([make_rows(1, doubled)["y"], make_rows(2, doubled)["y"]])
    y = pd.concat([make_rows(8, flat)["y"], make_rows(9, flat)["y"]])
    found = outcome(outcomes, 9, worse_by=1000.0)
    assert found.numbers["constant"] == pytest.approx((y - np.median(learnt)).abs().mean())
    assert found.numbers["error"] == pytest.approx(error_of(outcomes, 8, 9))
    assert found.state == "bad"
    assert f"worse than a constant, which has {found.numbers['constant']:.4g}" in found.why


def test_the_baseline_is_no_worse_than_the_constant_that_it_is(outcomes):
    found = outcome(outcomes, 2)
    assert (found.state, found.numbers["constant"]) == ("ok", None)
    assert found.numbers["error"] == pytest.approx(error_of(outcomes, 2))


def test_a_version_is_judged_under_its_own_columns_and_the_streams_delay(outcomes):
    config = outcomes.model.config
    promotion = promotion_decided(outcomes.stores.ledger, day(5))
    own = config.data_schema
    target = own.labels.type.model_copy(update={"renamed_from": (own.labels.column,)})
    today = replace(own, labels=replace(own.labels, column="renamed", type=target, max_delay=9))
    schema = _outcome_schema(today, outcomes.stores, promotion)
    assert (schema.labels.column, schema.labels.max_delay) == (own.labels.column, 9)
    assert schema.labels.type.renamed_from == ("renamed",)
