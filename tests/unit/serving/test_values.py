"""Values in the plainest writing are read as the casts of files read them, or are left to these."""

import json

import pandas as pd
import pyarrow as pa
import pytest

from evergreen.config.fields import ColumnType
from evergreen.serving.values import NotPlain, as_frame, as_value, compile_reader
from evergreen.sources.casting import cast_column
from evergreen.sources.json_lines import as_text, load_json
from evergreen.storage.columns import arrow_type
from evergreen.storage.frames import to_frame

NULLS = ("", "NA")
WRITTEN = [
    "null", "true", "false", '""', '"NA"', '"na"', "0", "-0", "1", "-7", "3.0", "3.5", "1e3", "1e400", "-1.5e-3",
    "9007199254740993", "9007199254740992.0", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
    "12345678901234567890123.0", "1" * 5_000, f'"{"1" * 5_000}"',
    '"1"', '"3.0"', '" 3 "', '"12345678901234567.0"', '"9007199254740993.0"', '"74"',
    '"007"', '"Höhe"', '"true"', '"TRUE"', '"yes"', '"now"', '"2024-01-31"', '"2024-01-31 10:11:12"',
    '"2024-01-31T10:11:12Z"', '"2024-01-31T10:11:12.123456+02:00"', '"2024-01-31T10:11:12.1234567"', '"2024-1-31"',
    '"31.01.2024"', '"1.2.2024"', '"1677-01-01"', '"2300-01-01"', '"2024-02-30"', '"20240131"', '"2024-01-31 24:00:00"',
    '"2024-01-31T10:11"', '"0001-01-01 00:00:00"', '"1,5"', '"1.400"',
]  # fmt: skip
DECLARED = [
    {"type": "float"}, {"type": "integer"}, {"type": "string"}, {"type": "category"}, {"type": "boolean"},
    {"type": "boolean", "yes": ["Yes"], "no": ["no"]}, {"type": "timestamp"}, {"type": "date"},
    {"type": "timestamp", "format": "%Y-%m-%d %H:%M:%S"}, {"type": "date", "format": "%d.%m.%Y"},
    {"type": "timestamp", "format": "%Y-%m-%dT%H:%M:%S%z"}, {"type": "float", "decimal": ",", "thousands": "."},
]  # fmt: skip


@pytest.mark.parametrize("said", DECLARED, ids=json.dumps)
def test_a_plain_value_is_what_the_cast_of_files_makes_of_it(said: dict[str, object]) -> None:
    declared = ColumnType.model_validate(said)
    read, plain = compile_reader(declared, NULLS), 0
    for written in WRITTEN:
        value = load_json(written)
        try:
            found = read(value)
        except NotPlain:
            continue
        cast = cast_column(pa.array([as_text(value, declared.decimal or ".")], pa.string()), declared, NULLS)
        assert not cast.failed[0], f"{written} is read as {found!r}, and a file's does not cast"
        expected = as_value(cast.values.to_pylist()[0])
        assert (found, type(found)) == (expected, type(expected)), written
        plain += 1
    # A null is read by each that reads anything at all.
    assert plain >= 3 or "decimal" in said or "yes" in said or "%z" in str(said)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("float", [1.5, None]),
        ("integer", [1, 2]),
        ("integer", [1, None]),
        ("boolean", [True, False]),
        ("boolean", [True, None]),
        ("string", ["a", None]),
        ("category", ["a", "b"]),
        ("timestamp", ["2024-01-31T10:11:12.123456", None]),
        ("date", ["2024-01-31", "2024-02-01"]),
    ],
)
def test_a_frame_is_the_one_that_stored_rows_come_in(kind: str, values: list[object]) -> None:
    declared = ColumnType(type=kind)
    read = compile_reader(declared, NULLS)
    rows = {"c": [read(load_json(json.dumps(value))) for value in values]}
    stored = pa.table({"c": pa.array([as_text(load_json(json.dumps(v))) for v in values], pa.string())})
    cast = cast_column(stored.column("c"), declared, NULLS)
    assert cast.values.type == arrow_type(declared)
    expected = to_frame(pa.table({"mine": cast.values}))
    pd.testing.assert_frame_equal(as_frame(rows, {"mine": ("c", kind)}), expected)
