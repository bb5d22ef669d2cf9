"""Expectations that are proposed keep other units out and let the world change."""

import numpy as np
import pandas as pd
import pytest

from evergreen.checks.expectations import check_expectations
from evergreen.config.model_folder import load_model_folder
from evergreen.scaffold.answers import Answers
from evergreen.scaffold.ask_person import take_proposal
from evergreen.scaffold.propose_model import propose_model
from evergreen.scaffold.read_files import read_files
from evergreen.scaffold.write_folder import write_folder
from tests.unit.scaffold.sales import ROWS, make_sales


def make_rising(months):
    """A month's loans: a rate that drifts, a temperature by season, prices that rise, and a last month cut short."""
    random, frames = np.random.default_rng(11), []
    for i in range(months):
        rows = 200 if i < months - 1 else 8
        first = pd.Timestamp("2020-01-01") + pd.DateOffset(months=i)
        frames.append(
            pd.DataFrame(
                {
                    "lent_on": first.strftime("%Y-%m-%d"),
                    "rate": (0.5 + 0.004 * i**2 + random.normal(0, 0.02, rows)).round(3),
                    "base": round(0.1 + 0.002 * i**2, 3),
                    "outside": (-8 + 14 * np.sin(2 * np.pi * i / 12) + random.normal(0, 3, rows)).round(1),
                    "price": (random.lognormal(3, 1, rows) * 1.04**i).round(2),
                    "rooms": random.poisson(2 + 0.05 * i, rows),
                    "owed": (random.lognormal(5, 1, rows) * 1.03**i).round(2),
                }
            )
        )
    loans = pd.concat(frames, ignore_index=True)
    return loans.assign(loan=range(len(loans)))


@pytest.mark.parametrize("seen", [3, 6, 12])
def test_expectations_of_a_short_history_let_the_world_in(seen, tmp_path):
    """Three years of sound months, of which the first are seen: none is rejected, no row is kept apart."""
    loans = make_rising(36)
    early = loans[loans["lent_on"] < str(pd.Timestamp("2020-01-01") + pd.DateOffset(months=seen))[:10]]
    early.to_csv(tmp_path / "loans.csv", index=False)
    given = Answers(key=("loan",), event_time="lent_on", target="owed", every="month")
    proposal = propose_model("loans", read_files([tmp_path / "loans.csv"]), given, take_proposal)
    folder = write_folder(proposal, tmp_path / "models")
    model = load_model_folder(folder)
    acting = []
    for _, month in loans.groupby("lent_on"):
        frame = month.reset_index(drop=True)
        expected = (*model.expectations.rows, *model.expectations.labels)
        failures = check_expectations([frame], expected, folder / "expectations.yaml")
        acting += [one for one in failures if one.severity != "info"]
    assert acting == []


def test_a_sound_later_batch_breaks_no_proposed_expectation(propose):
    """What is proposed from the first half keeps every row of the second, whose prices are half as high again."""
    early, late = make_sales().iloc[: ROWS // 2], make_sales().iloc[ROWS // 2 :]
    late = late.assign(price=late["price"] * 1.5, amount=late["amount"] * 1.5)
    limits = {
        one.arguments["column"]: one.arguments
        for one in (*propose(early).row_expectations, *propose(early).label_expectations)
        if one.type == "expect_column_values_to_be_between"
    }
    assert set(limits) == {"price", "amount"}
    for column, limit in limits.items():
        assert late[column].between(limit["min_value"], limit["max_value"]).all(), column


def make_busy_sales(**columns):
    """Twenty-five sales a day: enough to say what a day looks like."""
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(ROWS) // 25, "D")
    return make_sales(sold_at=days.strftime("%Y-%m-%d"), **columns)


def test_a_column_in_another_unit_breaks_a_proposed_expectation(propose):
    """Prices in cents are told apart from prices that have risen by half, or fourfold."""
    sales = make_busy_sales()
    (limit,) = [
        one.arguments
        for one in propose(sales, every="day").row_expectations
        if one.type == "expect_column_median_to_be_between" and one.arguments["column"] == "price"
    ]
    assert limit["severity"] == "critical"
    for factor, kept in ((1.5, True), (1 / 1.5, True), (4, True), (100, False), (0.01, False)):
        assert (limit["min_value"] <= sales["price"].median() * factor <= limit["max_value"]) == kept, factor


def test_a_column_whose_middle_is_nothing_has_no_unit_to_guard(propose):
    noise = np.random.default_rng(5).normal(0, 1, ROWS).round(3)
    proposed = propose(make_busy_sales(noise=noise), every="day").row_expectations
    medians = [one.arguments["column"] for one in proposed if one.type == "expect_column_median_to_be_between"]
    assert "price" in medians
    assert "noise" not in medians
