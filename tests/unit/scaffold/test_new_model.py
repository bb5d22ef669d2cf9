"""Proposals: what the data say is taken from them, what they do not say is asked for, and nothing is made up."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evergreen.checks.expectations import check_expectations
from evergreen.config.fields import ColumnType
from evergreen.config.model_folder import load_model_folder
from evergreen.config.patterns import FilePattern
from evergreen.errors import ConfigInvalid, FileUnreadable, FolderNotWritten
from evergreen.scaffold.answers import Answers
from evergreen.scaffold.ask_person import take_proposal
from evergreen.scaffold.follow_names import follow_names
from evergreen.scaffold.propose_model import propose_model
from evergreen.scaffold.read_files import read_files
from evergreen.scaffold.split_history import split_history
from evergreen.scaffold.tell_proposal import tell_proposal
from evergreen.scaffold.write_folder import require_free, write_folder
from evergreen.sources.landing import list_files
from tests.shapes import make_categorical

ROWS = 400


def make_sales(**columns):
    """Four hundred sales, two a day, whose amount follows from price and shop, with some noise."""
    random = np.random.default_rng(7)
    day = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(ROWS) // 2, "D")
    price = random.uniform(1, 9, ROWS).round(2)
    frame = pd.DataFrame(
        {
            "sale_id": [f"S{i:05d}" for i in range(ROWS)],
            "sold_at": day.strftime("%Y-%m-%d"),
            "price": price,
            "shop": random.choice(["north", "south"], ROWS),
            "amount": (price * 3 + random.normal(0, 3, ROWS)).round(2),
        }
    )
    return frame.assign(**{name: make(frame) if callable(make) else make for name, make in columns.items()})


@pytest.fixture
def propose(tmp_path):
    """Propose from frames, one a file, with flags as a user would give them."""

    def run(*frames, ask=lambda question, problem: None, **given):
        paths = []
        for i, frame in enumerate(frames):
            paths.append(tmp_path / f"sales{i}.csv")
            frame.to_csv(paths[-1], index=False)
        flags = {"key": ("sale_id",), "event_time": "sold_at", "target": "amount", "every": "week"} | given
        return propose_model("sales", read_files(paths), Answers(**flags), ask)

    return run


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


@pytest.mark.parametrize(("form", "told"), [("%d/%m/%Y", "%d/%m/%Y"), ("%b %d, %Y", "%b %d, %Y"), ("%Y%m%d", "%Y%m%d")])
def test_the_date_format_is_explicit_with_its_evidence(form, told, propose):
    proposal = propose(make_sales(sold_at=lambda f: pd.to_datetime(f["sold_at"]).dt.strftime(form)))
    assert proposal.chosen.event.type.format == told
    assert proposal.chosen.event.readings[0].evidence.startswith("400 of 400 values read so")


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


def test_what_nobody_answers_is_told_all_at_once_with_what_is_possible(propose):
    with pytest.raises(FolderNotWritten) as refused:
        propose(make_sales(), key=(), event_time=None, target=None, every=None)
    told = str(refused.value)
    assert [line.partition(":")[0] for line in told.splitlines() if line.startswith("--")] == [
        "--event-time", "--target", "--key", "--every",
    ]  # fmt: skip
    assert "sale_id  no two of 400 rows alike" in told
    assert "amount  " in told


def test_proposals_are_taken_where_they_are_asked_for(propose):
    proposal = propose(make_sales(), key=(), event_time=None, every=None, ask=take_proposal)
    assert (proposal.chosen.key, proposal.chosen.event.name) == (("sale_id",), "sold_at")
    assert proposal.chosen.every == "month", "fourteen rows a week are few"


def test_an_answer_that_does_not_fit_is_asked_again(propose):
    answers, problems = iter(["amout", "amount"]), []

    def ask(question, problem):
        problems.append(problem)
        return next(answers)

    assert propose(make_sales(), target=None, ask=ask).chosen.target.name == "amount"
    assert problems == [None, "--target amout: no such column in sales0.csv; did you mean amount?"]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"target": "shop2"}, r"--target shop2: no such column in sales0\.csv; did you mean shop\?"),
        ({"target": "sold_at"}, "--target sold_at: is the event time"),
        (
            {"key": ("shop",)},
            "--key shop: 398 of 400 rows have the key of another row and differ from it, such as shop",
        ),
        ({"key": ("sale_id", "amount")}, "--key amount: is the target"),
        ({"event_time": "price"}, r"--event-time price: '[\d.]+' does not read as a date"),
        ({"task": "classification"}, r"--task classification: amount has \d+ values; valid: 0 and 1"),
    ],
    ids=["no such column", "target is time", "key repeats", "key is target", "time is number", "too many classes"],
)
def test_answers_are_held_against_the_data(flags, told, propose):
    with pytest.raises(FolderNotWritten, match=told):
        propose(make_sales(), **flags)


@pytest.mark.parametrize(
    ("values", "yes", "no", "remark"),
    [
        (["Yes", "No"], ("Yes",), ("No",), ""),
        (["n", "y"], ("y",), ("n",), ""),
        (["<=50K", ">50K"], (">50K",), ("<=50K",), ">50K (80 rows) is foretold, <=50K (320 rows) is not; if it is"),
        (
            [1, 2],
            ("2",),
            ("1",),
            "2 (80 rows) is foretold, 1 (320 rows) is not; if it is",
        ),
    ],
    ids=str,
)
def test_a_target_of_two_values_is_a_boolean_that_says_which_is_which(values, yes, no, remark, propose, tmp_path):
    often, rarely = (values[1], values[0]) if values[0] == "Yes" else values
    frame = make_sales(won=lambda f: np.where(np.arange(ROWS) % 5, often, rarely))
    proposal = propose(frame, target="won")
    assert (proposal.chosen.task, proposal.chosen.target.type.yes, proposal.chosen.target.type.no) == (
        "classification", yes, no,
    )  # fmt: skip
    assert proposal.chosen.remarks.get("won", "").startswith(remark)
    assert ("won" in proposal.chosen.remarks) == bool(remark)
    (target,) = load_model_folder(write_folder(proposal, tmp_path / "models")).config.labels.target.values()
    assert (target.type, target.yes, target.no) == ("boolean", yes, no)


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
        ("day", 1, 1, ["hour"]),
        ("week", 1, 1, ["hour", "weekday"]),
        ("week", 1, 0, ["hour"]),
        ("week", 0, 1, ["weekday"]),
        ("week", 0, 0, []),
    ],
)
def test_hour_and_weekday_are_features_where_they_vary_within_a_batch_and_foretell(
    every, by_hour, by_weekday, parts, propose
):
    at = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(ROWS) * 5, "h")
    noise = np.random.default_rng(4).normal(0, 0.5, ROWS)
    amount = by_hour * (at.hour > 12) + 2 * by_weekday * (at.weekday > 4) + noise
    frame = make_sales(sold_at=at.strftime("%Y-%m-%d %H:%M"), amount=amount.round(3))
    assert list(propose(frame, every=every).features.calendar) == parts


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


def test_categories_without_number_and_new_ones_are_learnt_and_scored(propose, tmp_path):
    frame = pd.concat([make_sales()] * 20, ignore_index=True)
    frame = frame.assign(sale_id=range(len(frame)), town=[f"T{i % 300}" for i in range(len(frame))])
    proposal = propose(frame)
    assert proposal.features.categories == ("shop", "town")
    model = load_model_folder(write_folder(proposal, tmp_path / "models"))
    code: dict = {}
    for text in model.code.values():
        exec(text, code)
    batch = pd.DataFrame({name: facts.values for name, facts in proposal.columns.items()})
    estimator = code["build_estimator"](1).fit(code["build_features"](batch, batch.iloc[:0]), batch["amount"])
    new = code["build_features"](batch.assign(town="unheard of", shop=None), batch.iloc[:0])
    assert np.isfinite(estimator.predict(new)).all()


def test_two_columns_that_name_a_row_together_are_proposed(propose):
    frame = make_sales(till=lambda f: np.arange(ROWS) % 2).drop(columns="sale_id")
    proposal = propose(frame.drop(columns=["price"]).assign(n=1.5), key=(), ask=take_proposal)
    assert proposal.chosen.key == ("sold_at", "till")


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


def test_columns_without_use_are_left_out_with_the_reason(propose):
    frame = make_sales(
        country="DE",
        empty="",
        note=lambda f: [f"Sold to customer number {i} at the counter, paid in cash" for i in range(ROWS)],
        euro=lambda f: [f"{i},50 €" for i in range(ROWS)],
        row_no=lambda f: np.arange(ROWS),
        Known=lambda f: np.arange(ROWS) % 3,
        Shop=lambda f: f["shop"],
    )
    reasons = propose(frame).left_out
    assert reasons == {
        "country": "holds 'DE' alone",
        "empty": "holds no value",
        "note": "free text: 400 values in 400 rows, fewer than 10 rows each",
        "euro": "numbers in a form that is not read, such as '0,50 €'; write the number alone",
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


@pytest.mark.parametrize(
    ("names", "every", "pattern"),
    [
        (["2020-03-01/part-0.csv.gz", "2020-03-02/part-0.csv.gz"], "day", "{batch:%Y-%m-%d}/part-*.csv.gz"),
        (["2020/03/01/a.csv", "2020/03/02/b.csv"], "day", "{batch:%Y/%m/%d}/*.csv"),
        (["sales-2020-03.csv.gz", "sales-2020-04.csv.gz"], "month", "sales-{batch:%Y-%m}.csv.gz"),
        (["sales_20200301_a1.csv", "sales_20200308_a2.csv"], "week", "sales_{batch:%Y%m%d}_a*.csv"),
        (["h_2020-03-01T05.parquet", "h_2020-03-01T06.parquet"], "hour", "h_{batch:%Y-%m-%dT%H}.parquet"),
        (["sales-2020-03.csv", "sales-2020-04.csv"], "day", None),
        (["one.csv", "two.csv"], "day", None),
        (["a_99999999.csv", "a_99999998.csv"], "day", None),
    ],
    ids=str,
)
def test_the_pattern_follows_the_names_of_several_files(names, every, pattern):
    followed = follow_names(tuple(Path("data") / name for name in names), every)
    assert (followed.pattern if followed else None) == pattern
    if followed:
        assert [FilePattern(pattern).moment_of(name) for name in names] == list(followed.dates)


def test_files_named_by_their_batches_stay_as_they_are(tmp_path):
    sales, paths = make_sales(), []
    day = pd.to_datetime(sales["sold_at"])
    # The first week's shop opened on its second day.
    for week, part in sales[day >= "2024-01-02"].groupby(day - pd.to_timedelta(day.dt.weekday, "D")):
        paths.append(tmp_path / f"{week:%Y-%m-%d}" / "part-0.csv")
        paths[-1].parent.mkdir()
        part.to_csv(paths[-1], index=False)
    given = Answers(key=("sale_id",), event_time="sold_at", target="amount", every="week")
    proposal = propose_model("sales", read_files(paths), given, take_proposal)
    assert (proposal.pattern, proposal.assigned.calendar.name(0)) == ("{batch:%Y-%m-%d}/part-*.csv", "2024-01-01")
    model = load_model_folder(write_folder(proposal, tmp_path / "models"))
    listed = list_files(tmp_path, model.config.source, model.config.calendar)
    assert len(listed) == len(paths) == proposal.assigned.span
    later = Answers(key=("sale_id",), event_time="sold_at", target="amount", every="day")
    assert propose_model("sales", read_files(paths), later, take_proposal).pattern is None, "weeks are no days"


def write_labels(tmp_path, known="%Y-%m-%d"):
    """Sales whose outcome is known up to 40 days later, and for the last ones never; early outcomes are good ones."""
    random = np.random.default_rng(9)
    sales = make_sales()
    good = random.random(ROWS) < 0.5
    days = np.where(good, 3, 30) + random.integers(0, 10, ROWS)
    told = pd.to_datetime(sales["sold_at"]) + pd.to_timedelta(days, "D")
    labels = pd.DataFrame(
        {"sale_id": sales["sale_id"], "good": np.where(good, "Yes", "No"), "told": told.dt.strftime(known)}
    )
    labels = labels[told < "2024-07-01"]
    # What trends with time tells nothing of a label that the time does not tell.
    sales["price"] = (sales["price"] + np.arange(ROWS) / 40).round(2)
    sales["state"] = np.where(told < "2024-07-01", "closed", "open")
    sales["closed_by"] = np.where(told < "2024-07-01", "north", "")
    sales.to_csv(tmp_path / "sales.csv", index=False)
    labels.to_csv(tmp_path / "labels.csv", index=False)
    return read_files([tmp_path / "sales.csv"]), read_files([tmp_path / "labels.csv"])


def test_a_label_file_becomes_a_feed_and_what_tells_only_that_a_label_is_due_is_left_out(tmp_path):
    sales, labels = write_labels(tmp_path, "%d.%m.%Y")
    given = Answers(event_time="sold_at", target="good", every="week")
    proposal = propose_model("sales", sales, given, take_proposal, labels)
    assert proposal.leaks == {
        "state": "tells which rows of a batch have good yet (AUC 1.00 on rows held out)",
        "closed_by": "is there where good is, and nowhere else",
    }
    assert (proposal.chosen.key, proposal.left_out["told"]) == (("sale_id",), "comes with the label")
    missing = ROWS - labels.rows.num_rows
    told = tell_proposal(proposal, tmp_path, served=True)
    assert (
        f"mind      good is missing in {missing} of 400 rows ({missing / ROWS:.1%}): they are scored, and"
        in "\n".join(told)
    )
    assert "mind      half of the labels came within 2 weeks, nine in ten within 5" in told
    assert any(line.startswith("mind      on average 100.0% in the earlier half, ") for line in told)
    split = "--labels " + str(tmp_path / "labels.csv") + " --label-time told=%d.%m.%Y"
    assert any(line.endswith(split) for line in told)
    config = load_model_folder(write_folder(proposal, tmp_path / "models")).config
    assert (config.labels.files.text, config.labels.key) == ("sales_labels_{batch:%Y-%m-%d}*.csv", ("sale_id",))
    assert (config.labels.max_delay, config.labels.target["good"].yes) == (90, ("Yes",))
    assert not {"state", "closed_by", "told", "good"} & set(config.rows.columns)


def test_label_files_that_are_named_by_batch_came_in_that_batch(tmp_path):
    """As the bookings of docs/examples/hotel lie in their landing folder."""
    write_labels(tmp_path)
    sales, labels = (pd.read_csv(tmp_path / name) for name in ("sales.csv", "labels.csv"))
    paths = {"sales": [], "labels": []}
    for name, frame, time in (("sales", sales, "sold_at"), ("labels", labels, "told")):
        day = pd.to_datetime(frame[time])
        for week, part in frame.groupby(day - pd.to_timedelta(day.dt.weekday, "D")):
            paths[name].append(tmp_path / "landing" / f"{name}_{week:%Y-%m-%d}.csv.gz")
            paths[name][-1].parent.mkdir(exist_ok=True)
            part.drop(columns="told", errors="ignore").to_csv(paths[name][-1], index=False)
    given = Answers(event_time="sold_at", target="good", every="week")
    proposal = propose_model("sales", read_files(paths["sales"]), given, take_proposal, read_files(paths["labels"]))
    assert proposal.delays.quantile([0.5, 0.9]).tolist() == [2, 5]
    model = load_model_folder(write_folder(proposal, tmp_path / "models"))
    assert model.config.labels.files.text == "labels_{batch:%Y-%m-%d}.csv.gz"
    assert not [line for line in tell_proposal(proposal, tmp_path, served=True) if "--label-time" in line]
    done = split_history(model, paths["sales"], tmp_path / "again", paths["labels"])
    came = {path.name[7:17]: len(pd.read_csv(path)) for path in paths["labels"]}
    assert {batch: count for batch, count in done.labels.items() if count} == came


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"key": ("shop",)}, r"--labels: labels\.csv lacks shop; expected the key of the row that a label is about"),
        ({"target": "bad"}, r"--target bad: no such column in labels\.csv; it has good, told"),
        ({"label_time": "when"}, r"--label-time when: no such column in labels\.csv; it has sale_id, good, told"),
    ],
    ids=["no key", "no target", "no time"],
)
def test_a_label_file_that_does_not_fit_is_refused(flags, told, tmp_path):
    sales, labels = write_labels(tmp_path)
    with pytest.raises(FolderNotWritten, match=told):
        propose_model("sales", sales, Answers(event_time="sold_at", every="week", **flags), take_proposal, labels)


def test_a_target_with_gaps_is_told_of(propose, tmp_path):
    proposal = propose(make_sales(amount=lambda f: f["amount"].where(np.arange(ROWS) % 4 > 0)))
    told = tell_proposal(proposal, tmp_path, served=True)
    assert (
        "mind      amount is missing in 100 of 400 rows (25.0%): they are scored, and not learnt from before it is "
        "known; if it comes later, name the files that bring it by --labels"
    ) in told


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
        for expected in (model.expectations.rows, model.expectations.labels):
            failures = check_expectations(frame, expected, folder / "expectations.yaml")
            acting += [one for one in failures if one.severity != "info"]
    assert acting == []


def write_german(tmp_path, price="{:.2f}"):
    """Sales between semicolons, of which the amounts have points between thousands."""
    frame = make_sales(amount=lambda f: (f["price"] * 300 + np.arange(ROWS)).astype(int).map("{:,}".format))
    frame["amount"] = frame["amount"].str.replace(",", ".")
    frame["price"] = frame["price"].map(price.format).str.replace(".", ",")
    frame.to_csv(tmp_path / "sales.csv", index=False, sep=";")
    return frame


def propose_german(tmp_path, ask=lambda question, problem: None, **given):
    flags = {"key": ("sale_id",), "event_time": "sold_at", "target": "amount", "every": "week"} | given
    return propose_model("sales", read_files([tmp_path / "sales.csv"]), Answers(**flags), ask)


def test_numbers_are_declared_as_the_file_writes_them_and_read_so(tmp_path):
    frame = write_german(tmp_path)
    proposal = propose_german(tmp_path, keep=("price",))
    model = load_model_folder(write_folder(proposal, tmp_path / "models"))
    assert model.config.rows.columns["price"] == ColumnType(type="float", decimal=",")
    assert model.config.labels.target["amount"] == ColumnType(type="float", decimal=",", thousands=".")
    amounts = frame["amount"].str.replace(".", "").astype(float)
    assert proposal.chosen.target.values.tolist() == amounts.tolist()
    first = next(text for text in frame["amount"] if "." in text)
    lines = tell_proposal(proposal, model.path, served=True)
    read = f"{first!r} is read as {first.replace('.', '')}, by how other columns write a fraction"
    assert f"mind      amount: {read}" in lines


def test_numbers_that_read_two_ways_are_asked_for(tmp_path):
    write_german(tmp_path, price="{:.0f}")
    with pytest.raises(FolderNotWritten, match="--decimal amount=MARK: What stands before a fraction in amount") as why:
        propose_german(tmp_path)
    assert '(decimal: ",", thousands: "." in config.yaml)' in str(why.value)
    for flag in (",", "amount=,"):
        target = propose_german(tmp_path, decimal=(flag,)).chosen.target
        assert (target.type.decimal, target.type.thousands, target.values.max() > 1000) == (",", ".", True)
    asked = propose_german(tmp_path, ask=lambda question, problem: "," if problem else ";").chosen.target
    assert asked.type.thousands == "."
    assert propose_german(tmp_path, decimal=(".",)).chosen.target.type == ColumnType(type="float")
    with pytest.raises(FolderNotWritten, match=r"--decimal amount=;: does not read amount; valid: \. or ,"):
        propose_german(tmp_path, decimal=(";",))
    with pytest.raises(FolderNotWritten, match=r"--decimal amont: no such column in sales\.csv"):
        propose_german(tmp_path, decimal=(",", "amont=,"))


def test_two_numbers_of_a_format_are_told_apart_by_their_size(tmp_path):
    frame = make_sales(price="1,5", amount=lambda f: np.where(f["price"] > 5, "10,5", "9,5"))
    frame.to_csv(tmp_path / "sales.csv", index=False, sep=";")
    declared = propose_german(tmp_path, keep=("price",)).chosen.target.type
    assert (declared.yes, declared.no) == (("10,5",), ("9,5",))


def test_semicolons_and_an_encoding_are_seen(tmp_path):
    shape = make_categorical(tmp_path)
    files = read_files([shape.file])
    assert (files.delimiter, files.encoding) == (";", "cp1252")
    assert "größe 0" in files.rows.column_names


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (("a,b\n",), r"sales0\.csv: holds no rows"),
        (("",), r"sales0\.csv: is empty"),
        (("a,b\n1,2\n", "a,c\n1,2\n"), r"sales1\.csv, line 1: lacks b; adds c; expected the columns of sales0\.csv"),
        (("a,b\n1,2\n3\n",), r"sales0\.csv, line 3: has 1 fields where the header has 2"),
    ],
    ids=["no rows", "empty", "other columns", "torn row"],
)
def test_files_that_cannot_be_a_history_are_refused_by_name(texts, told, tmp_path):
    paths = [tmp_path / f"sales{i}.csv" for i in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    with pytest.raises(FileUnreadable, match=told):
        read_files(paths)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileUnreadable, match=r"gone\.csv: cannot be read"):
        read_files([tmp_path / "gone.csv"])


def test_a_folder_is_never_overwritten(propose, tmp_path):
    proposal, root = propose(make_sales()), tmp_path / "models"
    folder = write_folder(proposal, root)
    kept = {path.name: path.read_text() for path in folder.iterdir()}
    with pytest.raises(FolderNotWritten, match="is there already, and nothing is overwritten"):
        require_free("sales", tmp_path / "elsewhere", [root])
    with pytest.raises(OSError, match="not empty"):
        write_folder(proposal, root)
    assert {path.name: path.read_text() for path in folder.iterdir()} == kept
    assert [path.name for path in root.iterdir()] == ["sales"]


def test_a_name_that_no_model_can_have_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ConfigInvalid, match="valid: letters, digits"):
        require_free("my sales", tmp_path, [])


def test_names_that_yaml_and_python_trip_over_reach_the_folder_unharmed(propose, tmp_path):
    names = ["no", "1", "a: b", "it's # 1", 'say "x"', "tab\there", "größe", "x.y", "{c}", "back\\slash"]
    values = {name: np.random.default_rng(i).normal(0, 1, ROWS).round(3) for i, name in enumerate(names)}
    folder = write_folder(propose(make_sales().assign(**values)), tmp_path / "models")
    model = load_model_folder(folder)
    assert set(names) <= set(model.config.rows.columns)
    module: dict = {}
    exec(model.code["features.py"], module)
    assert set(names) <= set(module["NUMBERS"])


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
