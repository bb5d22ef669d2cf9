"""Proposals: what the data say is taken from them, what they do not say is asked for, and nothing is made up."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from include.config.model_folder import load_model_folder
from include.errors import ConfigInvalid, FileUnreadable, FolderNotWritten
from include.scaffold.answers import Answers
from include.scaffold.ask_person import take_proposal
from include.scaffold.propose_model import propose_model
from include.scaffold.read_files import read_files
from include.scaffold.write_folder import require_free, write_folder
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


def test_a_text_target_is_refused_with_lines_that_write_it_as_0_and_1(propose, tmp_path):
    frame = make_sales(won=lambda f: np.where(np.arange(ROWS) % 5, "yes", "no"))
    with pytest.raises(FolderNotWritten, match=r"--target won: its two values are 'yes' \(320 rows\)") as refused:
        propose(frame, target="won")
    script = str(refused.value).partition("\n\n")[2]
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
    mended = pd.read_csv(tmp_path / "sales0_mended.csv")
    assert mended["won"].value_counts().to_dict() == {0: 320, 1: 80}
    assert propose(mended, target="won").chosen.task == "classification"


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
        euro=lambda f: [f"{i},50" for i in range(ROWS)],
        row_no=lambda f: np.arange(ROWS),
        Known=lambda f: np.arange(ROWS) % 3,
        Shop=lambda f: f["shop"],
    )
    reasons = propose(frame).left_out
    assert reasons == {
        "country": "holds 'DE' alone",
        "empty": "holds no value",
        "note": "free text: 400 values in 400 rows; at most 100 are taken as categories",
        "euro": "numbers in a form that is not read, such as '0,50'; write them with a decimal point alone",
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
    placed = propose(frame).placed
    assert placed.calendar.name(0) == "2024-01-01"
    assert (placed.before, placed.after, placed.last) == (1, 1, "2024-07-15")


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
    """Prices in cents, or per pack of four, are told apart from prices that have risen by half."""
    sales = make_busy_sales()
    (limit,) = [
        one.arguments
        for one in propose(sales, every="day").row_expectations
        if one.type == "expect_column_median_to_be_between" and one.arguments["column"] == "price"
    ]
    assert limit["severity"] == "critical"
    for factor, kept in ((1.5, True), (1 / 1.5, True), (4, False), (0.01, False)):
        assert (limit["min_value"] <= sales["price"].median() * factor <= limit["max_value"]) == kept, factor


def test_a_column_whose_middle_is_nothing_has_no_unit_to_guard(propose):
    noise = np.random.default_rng(5).normal(0, 1, ROWS).round(3)
    proposed = propose(make_busy_sales(noise=noise), every="day").row_expectations
    medians = [one.arguments["column"] for one in proposed if one.type == "expect_column_median_to_be_between"]
    assert "price" in medians
    assert "noise" not in medians
