"""In which format dates are written, and where the first batch begins."""

import numpy as np
import pandas as pd
import pytest

from evergreen.errors import FolderNotWritten
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
