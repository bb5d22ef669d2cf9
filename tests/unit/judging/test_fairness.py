"""The fairness report: by hand, against Fairlearn's own rates, and nothing of small groups."""

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import equalized_odds_difference, selection_rate

from evergreen.config.gate_config import GateConfig
from evergreen.judging.fairness import report_fairness

RANDOM = np.random.default_rng(1)


def classified(rows=600):
    region = RANDOM.choice(["east", "north", "west"], rows, p=[0.5, 0.3, 0.2])
    target = (RANDOM.random(rows) < 0.4).astype(int)
    old = np.clip(0.5 * target + RANDOM.uniform(0, 0.6, rows), 0, 1)
    new = np.clip(old + 0.2 * (region == "west"), 0, 1)
    return target, old, new, pd.DataFrame({"region": region})


def test_a_regression_by_hand():
    target = np.array([1.0, 2.0, 3.0, 4.0])
    old, new = np.array([0.0, 2.0, 1.0, 1.0]), np.array([1.0, 1.0, 3.0, 6.0])
    gate = GateConfig(metric="mae", min_rows=2, sensitive=("sex",))
    (report,) = report_fairness(gate, target, old, new, pd.DataFrame({"sex": ["f", "f", "m", "m"]}))
    assert (report.column, report.left_out_groups, report.left_out_rows) == ("sex", 0, 0)
    women, men = report.groups
    assert (women.value, women.rows, men.value, men.rows) == ("f", 2, "m", 2)
    assert women.champion == {"mae": 0.5, "mean_residual": 0.5}
    assert men.champion == {"mae": 2.5, "mean_residual": 2.5}
    assert women.challenger == {"mae": 0.5, "mean_residual": 0.5}
    assert men.challenger == {"mae": 1.0, "mean_residual": -1.0}
    assert report.champion_gap == {"mae": 2.0, "mean_residual": 2.0}
    assert report.challenger_gap == {"mae": 0.5, "mean_residual": 1.5}


def test_rates_are_fairlearns():
    target, old, new, rows = classified()
    gate = GateConfig(metric="brier", min_rows=50, sensitive=("region",))
    (report,) = report_fairness(gate, target, old, new, rows)
    assert [group.value for group in report.groups] == ["east", "north", "west"]
    for group in report.groups:
        mask = (rows["region"] == group.value).to_numpy()
        assert group.rows == mask.sum()
        assert group.challenger["selection_rate"] == pytest.approx(selection_rate(target[mask], new[mask] >= 0.5))
        assert group.challenger["brier"] == pytest.approx(np.mean((target[mask] - new[mask]) ** 2))
    gap = equalized_odds_difference(target, (new >= 0.5).astype(int), sensitive_features=rows["region"])
    assert max(report.challenger_gap["true_positive_rate"], report.challenger_gap["false_positive_rate"]) == (
        pytest.approx(gap)
    )
    assert report.challenger_gap["selection_rate"] > report.champion_gap["selection_rate"]


def test_small_groups_are_counted_and_not_named():
    target, old, new, rows = classified()
    rows.loc[:2, "region"] = "Elm Street 3"
    rows.loc[3:4, "region"] = None
    gate = GateConfig(metric="logloss", min_rows=50, sensitive=("region",))
    (report,) = report_fairness(gate, target, old, new, rows)
    assert (report.left_out_groups, report.left_out_rows) == (2, 5)
    assert "Elm" not in report.model_dump_json()
    assert "missing" not in report.model_dump_json()
    assert sum(group.rows for group in report.groups) == 595


def test_no_group_may_be_large_enough():
    target, old, new, rows = classified()
    (report,) = report_fairness(GateConfig(metric="brier", min_rows=601, sensitive=("region",)), target, old, new, rows)
    assert (report.groups, report.challenger_gap, report.left_out_groups, report.left_out_rows) == ((), {}, 3, 600)


def test_a_group_without_positives_has_no_true_positive_rate():
    target, old, new, rows = classified()
    target = np.where(rows["region"] == "west", 0, target)
    gate = GateConfig(metric="brier", min_rows=50, sensitive=("region",))
    (report,) = report_fairness(gate, target, old, new, rows)
    west = report.groups[2]
    assert "true_positive_rate" not in west.challenger
    assert "false_positive_rate" in west.challenger
    east, north = (group.challenger["true_positive_rate"] for group in report.groups[:2])
    assert report.challenger_gap["true_positive_rate"] == pytest.approx(abs(east - north))


def test_missing_values_are_a_group_and_numbers_name_groups_as_they_stand():
    target, old, new, _ = classified()
    rows = pd.DataFrame(
        {"age": pd.array(np.repeat([30, 40, None], 200), dtype="Int64"), "member": np.tile([True, False], 300)}
    )
    gate = GateConfig(metric="brier", min_rows=50, sensitive=("age", "member"))
    age, member = report_fairness(gate, target, old, new, rows)
    assert [group.value for group in age.groups] == ["30", "40", "missing"]
    assert [group.value for group in member.groups] == ["False", "True"]
