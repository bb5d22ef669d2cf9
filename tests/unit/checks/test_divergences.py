"""Divergences: Evidently's own values, alone and for many samples at once."""

import numpy as np
import pandas as pd
import pytest
from evidently.legacy.calculations.stattests import (
    chi_stat_test,
    jensenshannon_stat_test,
    kl_div_stat_test,
    ks_stat_test,
    psi_stat_test,
    wasserstein_stat_test,
)
from evidently.legacy.core import ColumnType
from scipy import stats

from include.checks.divergences import compare_cells, measure, spread_of

OURS = {
    "wasserstein": wasserstein_stat_test,
    "psi": psi_stat_test,
    "jensenshannon": jensenshannon_stat_test,
    "kl": kl_div_stat_test,
}


def sides(kind):
    random = np.random.default_rng(1)
    one, other = random.lognormal(0, 1, 1001), random.lognormal(0.2, 1, 300)
    if kind == "few values":
        return pd.Series(random.poisson(2, 1001), dtype=float), pd.Series(random.poisson(3, 300), dtype=float)
    if kind == "constant":
        return pd.Series([5.0] * 1001), pd.Series([5.0] * 200 + [6.0] * 100)
    return pd.Series(one), pd.Series(other)


@pytest.mark.parametrize("kind", ["many values", "few values", "constant"])
@pytest.mark.parametrize("name", list(OURS))
def test_numbers_are_as_far_apart_as_evidently_says(name, kind):
    reference, current = sides(kind)
    theirs = OURS[name].func(reference, current, ColumnType.Numerical, 0.1)[0]
    described = {"quantiles": sorted(reference), "missing": 0.0}
    assert measure(name, described, current) == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("name", ["psi", "jensenshannon", "kl"])
def test_categories_are_as_far_apart_as_evidently_says(name):
    random = np.random.default_rng(2)
    reference = pd.Series(random.choice(list("abcd"), 1000)).astype(object)
    current = pd.Series(random.choice(list("abce"), 300)).astype(object)
    theirs = OURS[name].func(reference, current, ColumnType.Categorical, 0.1)[0]
    described = {"counts": reference.value_counts().to_dict(), "missing": 0.0}
    assert measure(name, described, current) == pytest.approx(theirs, rel=1e-9)


def test_the_statistics_give_the_p_values_that_evidently_tells():
    reference, current = sides("many values")
    gap = measure("ks", {"quantiles": sorted(reference)}, current)
    assert gap == pytest.approx(stats.ks_2samp(reference, current).statistic)
    assert ks_stat_test.func(reference, current, ColumnType.Numerical, 0.05)[0] == stats.ks_2samp(reference, current)[1]
    random = np.random.default_rng(3)
    kinds, now = (pd.Series(random.choice(list("abcd"), n)).astype(object) for n in (1000, 300))
    w = measure("chisquare", {"counts": kinds.value_counts().to_dict()}, now)
    theirs = chi_stat_test.func(kinds, now, ColumnType.Categorical, 0.05)[0]
    assert stats.chi2.sf(w**2 * 300, 3) == pytest.approx(theirs)


@pytest.mark.parametrize("name", ["wasserstein", "ks", "psi", "jensenshannon", "kl"])
def test_many_samples_at_once_are_measured_as_each_alone(name):
    """On values that both see alike, the calibration's distances are the check's."""
    random = np.random.default_rng(4)
    points = np.arange(10.0)
    one, other = random.integers(1, 50, (3, 10)), random.integers(1, 50, (3, 10))
    together = compare_cells(name, points, spread_of(np.repeat(points, one[0])), 300)(one, other)
    alone = measure(name, {"quantiles": np.repeat(points, one[0]).tolist()}, pd.Series(np.repeat(points, other[0])))
    assert together[0] == pytest.approx(alone)
    assert together.shape == (3,)


@pytest.mark.parametrize("name", ["wasserstein", "ks", "psi", "jensenshannon", "kl"])
def test_nothing_to_compare_is_no_distance(name):
    empty, full = pd.Series([np.nan, np.inf]), pd.Series([1.0, 2.0])
    assert measure(name, {"quantiles": [1.0, 2.0]}, empty) == 0.0
    assert measure(name, {"quantiles": []}, full) == 0.0
    assert measure(name, {"quantiles": [1.0, 2.0]}, full) == pytest.approx(0.0)
