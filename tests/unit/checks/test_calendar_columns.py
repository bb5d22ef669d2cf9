"""Columns that follow the event time: they move on with it, and do not drift by that."""

import numpy as np
import pandas as pd
import pytest

from evergreen.checks.reference import build_reference
from tests.tallied import judge_columns

CATEGORICAL = {"season", "weekend", "shift"}


def draw(first, days, size=200, seed=1):
    random = np.random.default_rng([seed, first])
    day = np.repeat(np.arange(first, first + days), size)
    at = pd.Series(
        pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(day * 24 + random.uniform(0, 24, len(day)), "h")
    )
    season = np.array(["winter", "spring", "summer", "fall"])[at.dt.month % 12 // 3]
    rows = pd.DataFrame(
        {
            "month": at.dt.month,
            "weekday": at.dt.weekday + 1,
            "season": season,
            "weekend": at.dt.weekday >= 5,
            "shift": np.where(at.dt.hour < 8, "night", "day"),
            "currency": 1,
            "level": np.repeat(random.normal(0, 1, days), size),
        }
    )
    return rows, at, pd.Series(day)


def refer(columns, first=0, days=12, size=200):
    rows, at, day = draw(first, days, size)
    return build_reference(rows, CATEGORICAL, columns, day, size, 1, at=at)


@pytest.mark.parametrize("column", ["month", "season", "weekday", "weekend"])
def test_a_column_of_the_calendar_does_not_drift_as_time_goes_on(column):
    reference = refer([column])
    blind = build_reference(*_without_time(column))
    alarms = 0
    for day in range(12, 366, 7):
        rows, at, _ = draw(day, 1)
        assert not judge_columns(reference, rows, day - 11, at)[column]["drifted"]
        alarms += judge_columns(blind, rows, day - 11)[column]["drifted"]
    assert alarms or column.startswith("week")


def test_the_numbers_say_which_part_of_the_time_a_column_follows():
    rows, at, _ = draw(100, 1)
    judged = judge_columns(refer(["month"]), rows, 89, at)["month"]
    assert judged["distance"] > judged["threshold"]
    assert judged["follows"] == "month"


def test_a_column_that_no_longer_says_its_month_drifts():
    rows, at, _ = draw(100, 1)
    assert judge_columns(refer(["month"]), rows.assign(month=7), 89, at)["month"]["drifted"]


def test_what_is_constant_is_not_the_month_because_it_is_january():
    reference = refer(["currency"])
    rows, at, _ = draw(100, 1)
    assert not judge_columns(reference, rows, 89, at)["currency"]["drifted"]
    assert judge_columns(reference, rows.assign(currency=3), 89, at)["currency"]["drifted"]


def test_a_function_of_the_hour_is_learnt_and_held_to():
    rows, at, day = draw(0, 12)
    reference = build_reference(rows, CATEGORICAL, ["shift"], day, 200, 1, at=at)
    night = at.dt.hour < 8
    rows, at = rows[night].reset_index(drop=True), at[night].reset_index(drop=True)
    assert not judge_columns(reference, rows, 1, at)["shift"]["drifted"]
    assert judge_columns(reference, rows.assign(shift="day"), 1, at + pd.Timedelta(hours=0))["shift"]["drifted"]


def test_what_is_constant_within_a_batch_is_no_function_of_its_date():
    assert "follows" not in refer(["level"]).columns["level"]


def _without_time(column):
    rows, _, day = draw(0, 12)
    return rows, CATEGORICAL, [column], day, 200, 1
