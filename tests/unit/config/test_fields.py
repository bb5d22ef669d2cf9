"""Field types of config.yaml: what each accepts, and what it says to the rest."""

import math
from datetime import UTC, date, datetime, timedelta

import pytest
from pydantic import ValidationError, create_model

from evergreen.config.fields import Column, ColumnType, Contract, Duration, Percent
from evergreen.config.patterns import FilePattern, Pattern, fill_batch
from evergreen.config.rows_config import RowsConfig
from evergreen.config.yaml_file import read_yaml

DAY = datetime(2024, 3, 5, tzinfo=UTC)


def read(field, written):
    """What a contract with one field of this type reads."""
    return create_model("One", __base__=Contract, field=(field, ...))(field=written).field


@pytest.mark.parametrize(
    ("field", "written", "value"),
    [
        (Percent, "2%", 0.02),
        (Percent, "2.5 %", 0.025),
        (Percent, "100%", 1.0),
        (Percent, "0%", 0.0),
        (Percent, 0.02, 0.02),
        (Percent, 0, 0.0),
        (Duration, "30m", timedelta(minutes=30)),
        (Duration, "30s", timedelta(seconds=30)),
        (Duration, "6h", timedelta(hours=6)),
        (Duration, "2 d", timedelta(days=2)),
        (Duration, "0h", timedelta(0)),
        (Duration, "forever", timedelta.max),
        (Column, "float", ColumnType(type="float")),
        (Column, {"type": "float"}, ColumnType(type="float")),
        (Column, {"timestamp": "%H:%M"}, ColumnType(type="timestamp", format="%H:%M")),
        (Column, {"date": "%d-%m-%Y"}, ColumnType(type="date", format="%d-%m-%Y")),
        (Column, {"type": "float", "renamed_from": "x"}, ColumnType(type="float", renamed_from=("x",))),
        (Column, {"type": "float", "renamed_from": ["x", "y"]}, ColumnType(type="float", renamed_from=("x", "y"))),
        (Column, {"type": "float", "decimal": ","}, ColumnType(type="float", decimal=",")),
        (Pattern, "a_{batch:%Y-%m-%d}.csv", FilePattern("a_{batch:%Y-%m-%d}.csv")),
    ],
)
def test_what_may_be_written(field, written, value):
    assert read(field, written) == value


@pytest.mark.parametrize(
    ("field", "written", "valid"),
    [
        (Percent, "two", "a percentage such as 2%"),
        (Percent, "-2%", "a percentage such as 2%"),
        (Percent, "2 percent", "a percentage such as 2%"),
        (Percent, "%", "a percentage such as 2%"),
        (Percent, "2%%", "a percentage such as 2%"),
        (Percent, [2], "valid: a percentage"),
        (Duration, "6 hours", "a duration such as"),
        (Duration, "6", "a duration such as"),
        (Duration, "-6h", "a duration such as"),
        (Duration, "1h30m", "a duration such as"),
        (Duration, "1.5h", "a duration such as"),
        (Duration, "for ever", "a duration such as"),
        (Duration, "6H", "a duration such as"),
        (Column, "flaot", "'float'"),
        (Column, {"type": "text"}, "'string'"),
        (Column, {"timestamp": "%H", "null": "NA"}, "Extra inputs"),
        (Column, {"type": "float", "default": "none"}, "found 'none' for float; valid: a float, or null"),
        (Column, {"type": "float", "default": float("nan")}, "valid: a float, or null"),
        (Column, {"type": "integer", "default": 1.5}, "valid: a integer, or null"),
        (Column, {"type": "integer", "default": True}, "valid: a integer, or null"),
        (Column, {"type": "category", "default": 1}, "valid: a category, or null"),
        (Column, {"type": "boolean", "default": 0}, "valid: a boolean, or null"),
        (Column, {"type": "date", "default": "31.1.2024"}, "valid: ISO 8601"),
        (Pattern, "trips.csv", "with the batch in it once"),
        (Pattern, "trips_{batch}.csv", "with the batch in it once"),
        (Pattern, "{batch:%Y}/{batch:%m}.csv", "with the batch in it once"),
        (Pattern, "trips_{batch:%Y-%m-%d", "with the batch in it once"),
        (Pattern, "trips_{batch:%B %Y}.csv", "%Y %y %m %d %H %M %j"),
    ],
)
def test_what_may_not_be_written_is_told_what_may(field, written, valid):
    with pytest.raises(ValidationError, match=valid):
        read(field, written)


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        ("float", 1, 1.0),
        ("integer", 0, 0),
        ("boolean", False, False),
        ("category", "none", "none"),
        ("date", DAY.date(), DAY.date()),
        ("date", "2024-03-05", DAY.date()),
        ("timestamp", DAY.date(), DAY),
        ("timestamp", "2024-03-05T01:00:00+01:00", DAY),
        ("timestamp", DAY.replace(tzinfo=None), DAY),
        ("float", None, None),
    ],
)
def test_a_default_is_a_value_of_the_type(kind, written, value):
    column = read(Column, {"type": kind, "default": written})
    assert column.has_default
    assert column.filler == value
    assert type(column.filler) is type(value)
    assert ColumnType.model_validate(column.model_dump(mode="json")).filler == value


def test_a_column_without_past_or_default_is_written_as_ever():
    assert ColumnType(type="float").model_dump(mode="json") == {"type": "float", "format": None}
    assert not ColumnType(type="float").has_default


@pytest.mark.parametrize(
    ("pattern", "name", "day"),
    [
        ("t_{batch:%Y-%m-%d}.csv", "t_2024-03-05.csv", datetime(2024, 3, 5)),
        ("t_{batch:%Y-%m-%d}*.csv", "t_2024-03-05.csv", datetime(2024, 3, 5)),
        ("t_{batch:%Y-%m-%d}*.csv", "t_2024-03-05_part-1.csv", datetime(2024, 3, 5)),
        ("*_{batch:%Y%m%d}.csv", "a_b_20240305.csv", datetime(2024, 3, 5)),
        ("{batch:%Y/%m/%d}/part*.csv", "2024/03/05/part1.csv", datetime(2024, 3, 5)),
        ("t{batch:%y%j}.csv", "t24065.csv", datetime(2024, 3, 5)),
        ("t{batch:%Y-%m-%dT%H}.csv", "t2024-03-05T23.csv", datetime(2024, 3, 5, 23)),
        ("t_{batch:%Y-%m-%d}.csv", "t_2024-03-05.csv.tmp", None),
        ("t_{batch:%Y-%m-%d}.csv", "t_2024-03-05xcsv", None),
        ("t_{batch:%Y-%m-%d}.csv", "t_2024-03-05.csv\n", None),
        ("t_{batch:%Y-%m-%d}.csv", "at_2024-03-05.csv", None),
        ("t_{batch:%Y-%m-%d}.csv", "t_2024-3-5.csv", None),
        ("t_{batch:%Y-%m-%d}.csv", "t_2024-02-30.csv", None),
        ("t_{batch:%Y-%m-%d}.csv", "t_2024-13-01.csv", None),
        ("t_{batch:%Y-%m-%d}*.csv", "t_2024-03-05/part.csv", None),
        ("t[{batch:%Y}].csv", "t[2024].csv", datetime(2024, 1, 1)),
    ],
)
def test_the_batch_of_a_file_name(pattern, name, day):
    assert FilePattern(pattern).moment_of(name) == day


@pytest.mark.parametrize("pattern", ["t_{batch:%Y-%m-%d}*.csv", "{batch:%Y/%m/%d}/part*.csv", "t{batch:%y%j}.csv"])
def test_the_plain_name_of_a_batch_is_read_back_as_that_batch(pattern):
    assert FilePattern(pattern).moment_of(FilePattern(pattern).name_for(DAY)) == DAY.replace(tzinfo=None)


@pytest.mark.parametrize(
    ("pattern", "above", "beside"),
    [
        ("t_{batch:%Y-%m-%d}.csv", [], ["2024-03-05", "t_2024-03-05.csv"]),
        ("{batch:%Y/%m/%d}/p*/*.csv", ["2024", "2024/03", "2024/03/05", "2024/03/05/part"], ["x", "2024/03/05/x"]),
        ("a.b/*_{batch:%Y%m%d}", ["a.b"], ["axb", "a.b/c"]),
    ],
)
def test_only_folders_that_may_hold_a_batch_are_looked_into(pattern, above, beside):
    assert all(FilePattern(pattern).leads_below(folder) for folder in above)
    assert not any(FilePattern(pattern).leads_below(folder) for folder in beside)


def test_the_batch_is_put_into_any_text():
    assert fill_batch("_SUCCESS_{batch:%Y-%m-%d}", DAY) == "_SUCCESS_2024-03-05"
    assert fill_batch("_SUCCESS", DAY) == "_SUCCESS"


def test_patterns_are_equal_by_their_text():
    assert FilePattern("a{batch:%Y}") == FilePattern("a{batch:%Y}")
    assert FilePattern("a{batch:%Y}") != FilePattern("b{batch:%Y}")
    assert len({FilePattern("a{batch:%Y}"), FilePattern("a{batch:%Y}")}) == 1


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1:30", "1:30"), ("010", "010"), ("-0", 0), ("+7", 7), ("1_000", 1000), ("0x1f", 31), ("0b11", "0b11"),
        ("1.5", 1.5), ("1e3", "1e3"), ("1.5e+3", 1500.0), ("-.5", -0.5), ("1.", 1.0), ("190:20:30.15", "190:20:30.15"),
        (".inf", math.inf), ("0.0", 0.0),
        ("08001", "08001"), ("2024-01-01", date(2024, 1, 1)), ("1.2.3", "1.2.3"), (".", "."),
    ],
)  # fmt: skip
def test_a_number_is_what_people_take_for_one(written, meant, tmp_path):
    (tmp_path / "a.yaml").write_text(f"x: {written}\n")
    found = read_yaml(tmp_path / "a.yaml")["x"]
    assert (found, type(found)) == (meant, type(meant))


@pytest.mark.parametrize("second", ["cafe\u0301", "caf\u00e9 "])
def test_two_columns_that_look_alike_are_refused(second):
    columns = {"id": "integer", "at": "timestamp", "caf\u00e9": "float", second: "float"}
    with pytest.raises(ValueError, match=r"found 'caf\\xe9' and 'caf.*', which look alike; valid: one of the two"):
        RowsConfig.model_validate({"key": ["id"], "event_time": "at", "columns": columns})
