"""Which type a column gets, and which columns are left out, each with the reason."""

import re

import numpy as np
import pandas as pd
import pytest

from evergreen.config.model_folder import load_model_folder
from evergreen.errors import FolderNotWritten
from evergreen.scaffold.answers import Answers
from evergreen.scaffold.ask_person import take_proposal
from evergreen.scaffold.propose_model import propose_model
from evergreen.scaffold.read_files import read_files
from evergreen.scaffold.tell_proposal import tell_proposal
from evergreen.scaffold.write_folder import write_folder
from tests.unit.scaffold.sales import ROWS, make_sales


def test_columns_get_the_types_that_the_loop_reads(propose):
    frame = make_sales(
        visits=lambda f: np.arange(ROWS) % 7,
        member=lambda f: np.where(np.arange(ROWS) % 3, "true", "false"),
        code=lambda f: [f"{i % 40:03d}" for i in range(ROWS)],
        born=lambda f: [f"{1 + i % 28:02d}.{1 + i % 12:02d}.{1960 + i % 40}" for i in range(ROWS)],
    )
    proposal = propose(frame)
    types = {facts.name: facts.type.type for facts in proposal.declared}
    assert types == {
        "sale_id": "string", "sold_at": "date", "price": "float", "shop": "category", "visits": "integer",
        "member": "boolean", "code": "category", "born": "date",
    }  # fmt: skip
    assert proposal.columns["born"].type.format == "%d.%m.%Y"
    assert proposal.features.dates == ("born",)
    assert "sale_id" not in proposal.features.categories


def test_numbers_with_odd_ones_are_told_by_the_odd_ones(propose):
    house = [f"{i % 150}" if i % 25 else f"{i % 150}A" for i in range(ROWS)]
    frame = make_sales(
        few=lambda f: [f"{i % 50}" if i % 40 else f"{i % 4}A" for i in range(ROWS)],
        house=house,
        nearly=lambda f: ["174A", *(str(i / 7) for i in range(1, ROWS))],
        words=lambda f: np.array(["one", "two", "three"])[np.arange(ROWS) % 3],
    )
    proposal = propose(frame)
    assert proposal.columns["few"].type.type == proposal.columns["words"].type.type == "category"
    assert proposal.columns["few"].remark == "numbers but for 10 of 400 values ('0A')"
    assert proposal.left_out["house"] == "numbers but for 16 of 400 values ('0A', '25A', '50A' and 3 more)"
    assert proposal.columns["nearly"].type.type == "float"
    assert proposal.columns["nearly"].remark.startswith("1 values do not read so ('174A'): their rows go to quarantine")


def test_what_tells_the_time_is_no_feature(propose):
    """Of first-of-month dates the weekday numbers the batches; so do years, days, counters, and ages of one thing."""
    day = pd.Timestamp("2023-01-01") + pd.to_timedelta(np.arange(ROWS), "D")
    noise = np.random.default_rng(3).normal(0, 4, ROWS)
    frame = make_sales(
        sold_at=day.strftime("%Y-%m-%d"),
        year=day.year,
        month=day.month,
        day=day.day,
        wd=day.weekday,
        run=(np.arange(ROWS) * 10 + noise).round(1),
        opened=lambda f: np.where(np.arange(ROWS) % 9, "2019-05-01", ""),
        rate=lambda f: 1 + np.sin(day.month.to_numpy()),
    )
    proposal = propose(frame, every="month")
    assert {name: why.partition(",")[0] for name, why in proposal.left_out.items()} == {
        "year": "is the year of sold_at",
        "day": "is the day of the month of sold_at",
        "run": "only counts on with time",
        "opened": "the time from it to sold_at only counts on from batch to batch",
    }
    assert proposal.features.numbers == ("price", "month", "wd", "rate"), "a whole year was seen"
    assert proposal.features.calendar == {}, "wd is the weekday already"
    monthly = propose(frame.assign(sold_at=day.to_period("M").start_time.strftime("%Y-%m-%d")), every="month")
    assert monthly.features.calendar == {}
    assert monthly.features.numbers == ("price", "month", "day", "wd", "rate"), "within a month they tell rows apart"
    short = propose(frame[day < "2023-11-01"], every="month")
    assert short.left_out["month"] == "is the month of sold_at, which tells batches apart and not rows"
    kept = propose(frame, every="month", keep=("year", "opened"), drop=("rate", "day", "month"))
    assert kept.features.numbers == ("price", "year", "wd")
    assert kept.features.dates == ("opened",)
    assert kept.left_out["rate"] == "by --drop"


@pytest.mark.parametrize(
    ("every", "by_hour", "by_weekday", "parts"),
    [
        ("day", 1, 1, ["hour", "weekday"]),
        ("day", 1, 0, ["hour"]),
        ("week", 1, 1, ["hour", "weekday"]),
        ("week", 1, 0, ["hour"]),
        ("week", 0, 1, ["weekday"]),
        ("week", 0, 0, []),
    ],
)
def test_hour_and_weekday_are_features_where_they_vary_within_a_batch_or_come_round_and_predict(
    every, by_hour, by_weekday, parts, propose
):
    at = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(ROWS) * 5, "h")
    noise = np.random.default_rng(4).normal(0, 0.5, ROWS)
    amount = by_hour * (at.hour > 12) + 2 * by_weekday * (at.weekday > 4) + noise
    frame = make_sales(sold_at=at.strftime("%Y-%m-%d %H:%M"), amount=amount.round(3))
    assert list(propose(frame, every=every).features.calendar) == parts


def test_a_weekday_is_kept_of_batches_of_days_that_it_came_round_in(propose):
    frame = make_sales(wd=lambda f: pd.to_datetime(f["sold_at"]).dt.weekday)
    assert "wd" in propose(frame, every="day").features.numbers
    short = propose(frame.head(40), every="day")
    assert short.left_out["wd"] == "is the weekday of sold_at, one for all rows of a batch"


def test_a_column_is_kept_or_dropped_by_one_flag(propose, tmp_path):
    frame = make_sales(price_abroad=0.5, region="DE", empty="", tip=lambda f: f["amount"] * 0.2)
    proposal = propose(frame, keep=("price_abroad", "region", "empty", "tip"), drop=("shop",))
    types = {facts.name: facts.type.type for facts in proposal.declared}
    assert types == {
        "sale_id": "string", "sold_at": "date", "price": "float", "price_abroad": "float", "region": "category",
        "empty": "category", "tip": "float",
    }  # fmt: skip
    assert (proposal.leaks, proposal.left_out) == ({}, {"shop": "by --drop"})
    acting = [one for one in proposal.row_expectations if one.arguments.get("severity") in ("warning", "critical")]
    assert "price_abroad" not in {one.arguments["column"] for one in acting}
    assert (
        load_model_folder(write_folder(proposal, tmp_path / "models")).config.rows.columns["empty"].type == "category"
    )
    with pytest.raises(FolderNotWritten, match=r"--keep shp: no such column in sales0\.csv; did you mean shop\?"):
        propose(frame, keep=("shp",))
    with pytest.raises(
        FolderNotWritten, match=r"--keep shop,tip: no such column in .*, and may be given once for each"
    ):
        propose(frame, keep=("shop,tip",))
    with pytest.raises(FolderNotWritten, match="--keep and --drop name shop"):
        propose(frame, keep=("shop",), drop=("shop",))
    with pytest.raises(FolderNotWritten, match="--drop amount: is key, event time or target"):
        propose(frame, drop=("amount",))


def test_a_header_without_a_name_or_with_one_twice_is_noted(tmp_path):
    lines = make_sales().to_csv(index=False).splitlines()
    text = "\n".join([f"{lines[0]},,,x,x", *(f"{line},{i},,1,{i % 3}" for i, line in enumerate(lines[1:]))])
    (tmp_path / "sales.csv").write_text(text + "\n")
    given = Answers(key=("sale_id",), event_time="sold_at", target="amount", every="week")
    left_out = propose_model("sales", read_files([tmp_path / "sales.csv"]), given, take_proposal).left_out
    assert left_out == {
        "field 6 ()": "has no name in the header",
        "field 7 ()": "has no name in the header",
        "field 8 (x)": "'x' stands in the header more than once",
        "field 9 (x)": "'x' stands in the header more than once",
    }


def test_suspected_leaks_are_named_and_left_out(propose):
    frame = make_sales(
        tip=lambda f: (f["amount"] * 0.2).round(3),
        rest=lambda f: f["amount"] - (f["amount"] * 0.2).round(3),
        paid_on=lambda f: pd.to_datetime(f["sold_at"]) + pd.to_timedelta(np.arange(ROWS) % 30, "D"),
        bill=lambda f: np.exp(f["amount"] / 10) + np.random.default_rng(1).normal(0, 0.01, ROWS),
    )
    proposal = propose(frame)
    assert set(proposal.leaks) == {"tip", "rest", "paid_on", "bill"}
    assert proposal.leaks["paid_on"] == "lies after sold_at in 386 of 400 rows"
    assert "R² of ranks" in proposal.leaks["bill"]
    assert "price" in {facts.name for facts in proposal.declared}


@pytest.mark.parametrize("made", ["compared", "divided"])
def test_two_columns_that_the_target_was_made_of_are_leaks(made, propose):
    random = np.random.default_rng(2)
    mine, theirs = random.poisson(4, ROWS), random.poisson(4, ROWS) + 1
    won = np.where(mine > theirs, "Yes", "No") if made == "compared" else (100 * mine / theirs).round()
    proposal = propose(make_sales(amount=won, mine=mine, theirs=theirs))
    assert set(proposal.leaks) == {"mine", "theirs"}
    told = " of (mine and theirs|theirs and mine) tells amount"
    assert all(re.match(f"the (difference|ratio){told}", why) for why in proposal.leaks.values())


def test_what_is_written_down_with_the_outcome_is_a_leak_though_some_of_it_is_there_alone(propose):
    random = np.random.default_rng(2)
    lost = random.random(ROWS) < 0.2
    left = lost & (random.random(ROWS) < 0.95)
    frame = make_sales(amount=lambda f: f["amount"].where(~lost), taken=lambda f: random.normal(0, 1, ROWS).round(2))
    frame["taken"] = frame["taken"].where(~left)
    assert propose(frame).leaks == {"taken": "is there where amount is, and hardly anywhere else"}


def test_the_day_of_another_zone_is_no_feature_either(propose):
    at = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(ROWS) * 3, "h")
    there = at - pd.Timedelta(hours=5)
    frame = make_sales(sold_at=at.strftime("%Y-%m-%dT%H:%M:%SZ"), day=there.day, hour_there=there.hour)
    proposal = propose(frame)
    assert proposal.left_out == {"day": "is the day of the month of sold_at, which tells batches apart and not rows"}
    assert "hour" not in proposal.features.calendar


def test_columns_without_use_are_left_out_with_the_reason(propose):
    frame = make_sales(
        country="DE",
        empty="",
        note=lambda f: [f"Sold to customer number {i} at the counter, paid in cash" for i in range(ROWS)],
        euro=lambda f: [f"({i}.50)" for i in range(ROWS)],
        row_no=lambda f: np.arange(ROWS),
        Known=lambda f: np.arange(ROWS) % 3,
        Shop=lambda f: f["shop"],
    )
    reasons = propose(frame).left_out
    assert reasons == {
        "country": "holds 'DE' alone",
        "empty": "holds no value",
        "note": "free text: 400 values in 400 rows, fewer than 10 rows each",
        "euro": "numbers in a form that is not read, such as '(0.50)'; write the number alone",
        "row_no": "another value in each row: it names rows, or counts them",
        "Known": "is a name of our own; rename it in the files to use it",
        "Shop": "differs from 'shop' in case alone, which the lake's tables do not tell apart; rename one",
    }


def test_only_texts_that_keep_numbers_apart_mean_missing(propose):
    frame = make_sales(
        weight=lambda f: np.where(np.arange(ROWS) % 9, f["price"].astype(str), "-"),
        land=lambda f: np.where(np.arange(ROWS) % 2, "NA", "DE"),
        grade=lambda f: np.where(np.arange(ROWS) % 4, "NULL", "A"),
    )
    proposal = propose(frame)
    assert proposal.files.nulls == ("", "NULL", "-")
    assert proposal.columns["land"].distinct == 2


def test_what_tells_most_and_is_no_suspect_is_named(propose, tmp_path):
    frame = make_sales(won=lambda f: (f["amount"] > f["amount"].median()).astype(int))
    frame = frame.assign(
        ended=np.where(np.arange(ROWS) % 2, frame["won"] * 50, 20) + np.arange(ROWS) % 13,
        noise=np.random.default_rng(2).normal(0, 1, ROWS).round(3),
    )
    proposal = propose(frame, target="won", drop=("amount",))
    (told,) = [line for line in tell_proposal(proposal, tmp_path, served=True) if line.startswith("look at")]
    assert re.fullmatch(r"look at   price \(AUC 0\.\d\d\), ended \(AUC 0\.\d\d\): tells won best; .*", told)
    proposal = propose(frame, target="noise")
    assert not [line for line in tell_proposal(proposal, tmp_path, served=True) if line.startswith("look at")]
