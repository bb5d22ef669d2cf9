"""In which format dates are written, and where the first batch begins."""

import re

import numpy as np
import pandas as pd
import pytest

from evergreen.config.model_folder import load_model_folder
from evergreen.errors import FolderNotWritten
from evergreen.scaffold.ask_person import take_proposal
from evergreen.scaffold.write_folder import write_folder
from tests.unit.scaffold.sales import ROWS, make_sales


@pytest.mark.parametrize(("form", "told"), [("%d/%m/%Y", "%d/%m/%Y"), ("%b %d, %Y", "%b %d, %Y"), ("%Y%m%d", "%Y%m%d")])
def test_the_date_format_is_explicit_with_its_evidence(form, told, propose):
    proposal = propose(make_sales(sold_at=lambda f: pd.to_datetime(f["sold_at"]).dt.strftime(form)))
    assert proposal.chosen.event.type.format == told
    assert proposal.chosen.event.readings[0].evidence.startswith("400 of 400 values read so")


def test_a_month_that_has_no_shorter_name_is_no_other_reading(propose):
    reading = propose(make_sales(sold_at=lambda f: pd.to_datetime(f["sold_at"]).dt.strftime("%d %b %Y"))).chosen.event
    assert [(one.form, one.rivals) for one in reading.readings] == [("%d %b %Y", ())]


def test_parts_of_a_date_are_no_question_where_a_column_has_it_whole(propose):
    def parts(frame, hours):
        there = pd.to_datetime(frame["sold_at"]) - pd.Timedelta(hours=hours)
        return frame.assign(year=there.dt.year, month=there.dt.month, day=there.dt.day)

    assert "a date also stands" not in propose(parts(make_sales(), 5)).chosen.remarks["sold_at"]
    told = propose(parts(make_sales(), 24 * 40)).chosen.remarks["sold_at"]
    assert "a date also stands in year, month, day" in told


@pytest.mark.parametrize(("form", "counts"), [("%s", 1), ("%s%3N", 1_000), ("%s%6N", 1_000_000)])
def test_moments_counted_from_1970_on_are_dates_under_a_name_that_says_so(form, counts, propose, tmp_path):
    seconds = lambda f: pd.to_datetime(f["sold_at"]).astype("datetime64[s]").astype("int64") * counts  # noqa: E731
    frame = make_sales(created_at=seconds, phone=seconds).drop(columns="sold_at")
    proposal = propose(frame, event_time=None, ask=take_proposal)
    assert (proposal.chosen.event.name, proposal.chosen.event.type.format) == ("created_at", form)
    assert proposal.assigned.calendar.name(0) == "2024-01-01"
    assert "phone" not in proposal.features.dates
    model = load_model_folder(write_folder(proposal, tmp_path / "models"))
    assert model.config.rows.columns["created_at"].format == form
    assert propose(frame, event_time="phone").chosen.event.type.format == form


@pytest.mark.parametrize(("days", "every"), [("MS", "month"), ("W-MON", "week"), ("B", "day")])
def test_batches_are_as_long_as_the_time_between_dates(days, every, propose):
    dates = pd.date_range("2024-01-01", periods=40, freq=days).repeat(60)
    frame = pd.DataFrame({"sale_id": range(len(dates)), "sold_at": dates.strftime("%Y-%m-%d")})
    frame = frame.assign(price=frame.sale_id % 7, amount=frame.sale_id % 11)
    proposal = propose(frame, every=None, ask=take_proposal)
    assert proposal.chosen.every == every


def swapped_days(frame):
    """Dates whose day and month are both at most 12, in no order."""
    random = np.random.default_rng(3)
    return [f"{day:02d}/{month:02d}/2024" for day, month in random.integers(1, 13, (ROWS, 2))]


def test_dates_that_read_two_ways_are_asked_for(propose):
    with pytest.raises(FolderNotWritten, match=r"--date-format: How are the dates in sold_at written\?") as refused:
        propose(make_sales(sold_at=swapped_days))
    assert "%d/%m/%Y  rows step back" in str(refused.value)
    assert "%m/%d/%Y  rows step back" in str(refused.value)
    chosen = propose(make_sales(sold_at=swapped_days), date_format="%m/%d/%Y")
    assert chosen.chosen.event.type.format == "%m/%d/%Y"
    with pytest.raises(FolderNotWritten, match=r'"%Y": does not read sold_at; formats that read all of it: "%d/%m/%Y"'):
        propose(make_sales(sold_at=swapped_days), date_format="%Y")


def test_stray_dates_do_not_move_the_start(propose):
    dates = make_sales()["sold_at"].tolist() * 5
    frame = pd.concat([make_sales()] * 5, ignore_index=True).assign(
        sale_id=range(5 * ROWS), sold_at=["1970-01-01", *dates[1:-1], "2099-12-31"]
    )
    assigned = propose(frame).assigned
    assert assigned.calendar.name(0) == "2024-01-01"
    assert (assigned.before, assigned.after, assigned.last) == (1, 1, "2024-07-15")


def test_a_few_rows_of_the_evening_before_do_not_move_the_start(propose):
    frame = pd.concat([make_sales()] * 10, ignore_index=True)
    dates = np.where(frame.index < 1, "2023-12-31", frame["sold_at"])
    for every in ("week", "month"):
        assigned = propose(frame.assign(sale_id=range(len(frame)), sold_at=dates), every=every).assigned
        assert (assigned.calendar.name(0), assigned.before) == ("2024-01-01", 1)
    assert propose(make_sales(), every="week").assigned.before == 0


def test_times_that_repeat_are_mentioned(propose):
    at = pd.Timestamp("2024-01-01") + pd.to_timedelta([0, 0, *range(2, ROWS)], "h")
    proposal = propose(make_sales(sold_at=at.strftime("%Y-%m-%d %H:%M")))
    assert proposal.chosen.remarks["sold_at"] == "1 of 400 rows have the time of an earlier row"


def test_a_year_and_a_month_without_a_day_are_put_together(propose):
    sold = pd.to_datetime(make_sales()["sold_at"])
    frame = make_sales().drop(columns="sold_at").assign(**{"Yr.Sold": sold.dt.year, "Mo.Sold": sold.dt.month})
    told = r"no column reads as dates; Yr\.Sold, Mo\.Sold are parts of one[\s\S]*anew with what it lacks:\n\n([\s\S]*)"
    with pytest.raises(FolderNotWritten, match=told) as refused:
        propose(frame, event_time=None)
    script = re.search(told, str(refused.value))[1].partition("rows.to_csv")[0]
    kept: dict = {}
    exec(script, kept)
    assert kept["rows"]["event_time"].tolist() == sold.dt.strftime("%Y-%m-01").tolist()
