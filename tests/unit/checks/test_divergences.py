"""Divergences: Evidently's own values but for bins of numbers, alone and for many samples at once."""

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

from evergreen.checks.divergences import bin_edges, compare_cells, find_cells, spread_of
from evergreen.checks.reference import build_reference
from tests.tallied import judge_columns, measure

OURS = {
    "wasserstein": wasserstein_stat_test,
    "psi": psi_stat_test,
    "jensenshannon": jensenshannon_stat_test,
    "kl": kl_div_stat_test,
}
BINNED = ("psi", "jensenshannon", "kl")


def sides(kind):
    random = np.random.default_rng(1)
    one, other = random.lognormal(0, 1, 1001), random.lognormal(0.2, 1, 300)
    if kind == "few values":
        return pd.Series(random.poisson(2, 1001), dtype=float), pd.Series(random.poisson(3, 300), dtype=float)
    if kind == "constant":
        return pd.Series([5.0] * 1001), pd.Series([5.0] * 200 + [6.0] * 100)
    return pd.Series(one), pd.Series(other)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("wasserstein", "many values"), *[(name, kind) for name in OURS for kind in ("few values", "constant")]],
)
def test_numbers_are_as_far_apart_as_evidently_says(name, kind):
    reference, current = sides(kind)
    theirs = OURS[name].func(reference, current, ColumnType.Numerical, 0.1)[0]
    described = {"quantiles": sorted(reference), "missing": 0.0}
    assert measure(name, described, current) == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("name", BINNED)
def test_of_many_values_the_bins_are_ours_and_what_is_made_of_them_is_evidently_s(name):
    reference, current = sides("many values")
    edges = bin_edges(np.sort(reference))
    binned = [pd.Series(np.searchsorted(edges, side)).astype(str).astype(object) for side in (reference, current)]
    theirs = OURS[name].func(*binned, ColumnType.Categorical, 0.1)[0]
    assert measure(name, {"quantiles": sorted(reference)}, current) == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("outliers", [[], [1e5], [-1e5], [1e300], [1.7e308, -1.7e308]], ids=str)
@pytest.mark.parametrize("side", ["batch", "reference"])
@pytest.mark.parametrize("name", BINNED)
def test_an_outlier_hides_no_shift_and_is_none(name, side, outliers):
    random = np.random.default_rng(5)
    learnt, same, moved = random.normal(20, 5, 12_000), random.normal(20, 5, 1000), random.normal(35, 5, 1000)
    for one in (learnt,) if side == "reference" else (same, moved):
        one[: len(outliers)] = outliers
    rows, batches = pd.DataFrame({"fare": learnt}), pd.Series(np.repeat(np.arange(12), 1000))
    reference = build_reference(rows, set(), ["fare"], batches, 1000, 1, divergences={"fare": name})
    judged = [judge_columns(reference, pd.DataFrame({"fare": batch}), 1)["fare"] for batch in (same, moved)]
    assert [one["drifted"] for one in judged] == [False, True]
    assert judged[1]["distance"] > 0.5


@pytest.mark.parametrize("name", BINNED)
def test_the_distance_hardly_moves_for_an_outlier(name):
    random = np.random.default_rng(6)
    described = {"quantiles": np.sort(random.normal(20, 5, 1001)).tolist()}
    batch = random.normal(25, 5, 1000)
    without = measure(name, described, pd.Series(batch))
    batch[0] = 1.7e308
    assert measure(name, described, pd.Series(batch)) == pytest.approx(without, rel=0.02)


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(7).lognormal(0, 2, 5000),
        np.random.default_rng(7).integers(0, 100, 5000),
        np.maximum(np.random.default_rng(7).normal(-1, 1, 5000), 0),
        np.minimum(np.random.default_rng(7).normal(1, 1, 5000), 0),
    ],
    ids=["many", "whole", "mostly nought", "mostly the largest"],
)
def test_bins_are_made_of_the_cells_of_the_calibration(values):
    points = np.quantile(values, np.linspace(0, 1, 1001))
    edges, cells = bin_edges(points), find_cells(points)
    bounds = cells[1:] / 2 + cells[:-1] / 2
    assert set(edges) <= set(bounds)
    own = np.searchsorted(edges, values)
    assert (own == np.searchsorted(edges, cells[np.searchsorted(bounds, values)])).all()
    shares = np.bincount(own) / len(values)
    _, often = np.unique(values, return_counts=True)
    assert shares.max() < max(0.12, often.max() / len(values) + 0.02)
    assert shares.min() > 0.005


@pytest.mark.parametrize("largest", [1, -1])
@pytest.mark.parametrize("name", BINNED)
def test_a_value_that_most_rows_have_is_told_from_those_beside_it(name, largest):
    random = np.random.default_rng(8)
    learnt = largest * np.where(random.random(12_000) < 0.9, 100.0, random.uniform(0, 100, 12_000))
    batch = learnt[:1000].copy()
    described = build_reference(
        pd.DataFrame({"fare": learnt}), set(), ["fare"], pd.Series(np.repeat(np.arange(12), 1000)), 1000, 1
    ).columns["fare"]
    assert measure(name, described, pd.Series(batch)) < 0.1
    batch[batch == largest * 100.0] = largest * 99.0
    assert measure(name, described, pd.Series(batch)) > 0.5


@pytest.mark.parametrize("name", BINNED)
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
    together = compare_cells(name, points, spread_of(np.repeat(points, one[0])))(one, other)
    alone = measure(name, {"quantiles": np.repeat(points, one[0]).tolist()}, pd.Series(np.repeat(points, other[0])))
    assert together[0] == pytest.approx(alone)
    assert together.shape == (3,)


@pytest.mark.parametrize("name", ["wasserstein", "ks", "psi", "jensenshannon", "kl"])
def test_nothing_to_compare_is_no_distance(name):
    empty, full = pd.Series([np.nan, np.inf]), pd.Series([1.0, 2.0])
    assert measure(name, {"quantiles": [1.0, 2.0]}, empty) == 0.0
    assert measure(name, {"quantiles": []}, full) == 0.0
    assert measure(name, {"quantiles": [1.0, 2.0]}, full) == pytest.approx(0.0)


def test_one_value_beyond_all_measure_neither_hides_a_shift_nor_is_one():
    random = np.random.default_rng(6)
    clean, batch = random.normal(20, 5, 12_000), random.normal(20, 5, 1000)
    for far in (1e5, 1.7e308):
        spoilt = pd.Series(np.append(clean, [far, -far]))
        reference = build_reference(
            pd.DataFrame({"load": spoilt}), set(), ["load"], pd.Series(np.arange(len(spoilt)) // 1001), 1000, 1
        )
        for values, drifted in (
            (batch, False),
            (np.append(batch, far), False),
            (batch + 15, True),
            (np.append(batch + 15, -far), True),
            # A unit that changes for all is another matter.
            (batch * 1000, True),
        ):
            judged = judge_columns(reference, pd.DataFrame({"load": values}), 1)["load"]
            assert judged["drifted"] is drifted, (far, len(values), judged)
    assert measure("wasserstein", {"quantiles": np.sort(clean).tolist()}, pd.Series(batch * 1000)) > 10
