"""Files of a history: how they are written, how they are named, and those that cannot be one."""

from pathlib import Path

import pandas as pd
import pytest

from evergreen.config.model_folder import load_model_folder
from evergreen.config.patterns import FilePattern
from evergreen.errors import FileUnreadable
from evergreen.scaffold.answers import Answers
from evergreen.scaffold.ask_person import take_proposal
from evergreen.scaffold.follow_names import follow_names
from evergreen.scaffold.propose_model import propose_model
from evergreen.scaffold.read_files import read_files
from evergreen.scaffold.write_folder import write_folder
from evergreen.sources.landing import list_files
from tests.shapes import make_categorical
from tests.unit.scaffold.sales import make_sales


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
