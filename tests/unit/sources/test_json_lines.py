"""JSON Lines: values as the file writes them, line by line; a bad line is kept apart with its number and reason."""

import json

import pyarrow as pa
import pytest

from evergreen.config.feeds_config import FilesConfig
from evergreen.config.fields import ColumnType
from evergreen.errors import FileUnreadable
from evergreen.sources.casting import cast_column
from evergreen.sources.parsing import parse_file

FAILS = "does not cast"


def parse(content, plain=None, **settings):
    content = content if isinstance(content, bytes) else content.encode()
    return parse_file("f.jsonl", content, FilesConfig(files="f_{batch:%Y-%m-%d}.jsonl", **settings), plain)


WRITINGS = {
    "plain": b'{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}\n',
    "no newline at the end": b'{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}',
    "byte order mark": b'\xef\xbb\xbf{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}\n',
    "CRLF": b'{"a": 1, "b": "x"}\r\n{"a": 2, "b": "y"}\r\n',
    "CR": b'{"a": 1, "b": "x"}\r{"a": 2, "b": "y"}\r',
    "another order": b'{"a": 1, "b": "x"}\n{"b": "y", "a": 2}\n',
    "texts": b'{"a": "1", "b": "x"}\n{"a": "2", "b": "y"}\n',
    "mixed": b'{"a": 1, "b": "x"}\n{"a": "2", "b": "\\u0079"}\n',
    "odd spaces": b'  {"a":1,"b":"x"}  \n\t{ "a" : 2 , "b":"y" }\n',
}


@pytest.mark.parametrize("case", WRITINGS)
def test_one_table_in_many_writings(case):
    parsed = parse(WRITINGS[case])
    assert parsed.rows.to_pylist() == [{"a": "1", "b": "x"}, {"a": "2", "b": "y"}]
    assert (parsed.numbers.tolist(), parsed.torn) == ([1, 2], ())


VALUES = [
    ("float", None, {"1": 1.0, "1.5": 1.5, "-2e3": -2000.0, '"1.5"': 1.5, "null": None, '""': None, "true": FAILS,
                     "1e400": FAILS, '"NaN"': FAILS}),
    ("integer", None, {"1": 1, "3.0": 3, "1e3": 1000, "9007199254740993": 9007199254740993,
                       "9223372036854775807": 2**63 - 1, "9223372036854775808": FAILS, "1.5": FAILS, '"7"': 7,
                       "1" * 5000: FAILS, "1e5000": FAILS, "9007199254740992.0": FAILS,
                       "9007199254740993.0": 9007199254740993, "1.2345678901234568e+17": FAILS, "true": FAILS,
                       "null": None}),
    ("category", None, {"265": "265", "265.0": "265", '"265"': "265", "1.5": "1.5",
                        "9007199254740992.0": FAILS, "1.2345678901234568e+17": FAILS, "true": "true", '"x"': "x",
                        '"2.0"': "2.0", "null": None, '""': None}),
    ("boolean", None, {"true": True, "false": False, '"true"': True, "1": True, "null": None, '"yes"': FAILS}),
    ("timestamp", None, {'"2024-01-01T05:00:00Z"': "2024-01-01 05:00", '"2024-01-01"': "2024-01-01 00:00",
                         "1704067200": FAILS, "1704067200000": FAILS, '"01/02/2024"': FAILS}),
    ("date", "%d-%m-%Y", {'"03-04-2011"': "2011-04-03", '"2011-04-03"': FAILS, "3": FAILS}),
]  # fmt: skip
CELLS = [(kind, form, text, value) for kind, form, table in VALUES for text, value in table.items()]


@pytest.mark.parametrize(("kind", "form", "written", "value"), CELLS, ids=lambda one: str(one)[:30])
def test_a_value_is_cast_as_if_it_were_csv(kind, form, written, value):
    parsed = parse(f'{{"k": 0, "v": {written}}}\n{{"k": 1, "v": null}}\n')
    column = cast_column(parsed.rows.column("v"), ColumnType(type=kind, format=form), ("",))
    if kind in ("timestamp", "date") and value is not FAILS:
        assert str(column.values[0].as_py()).startswith(value)
    else:
        assert column.values[0].as_py() == (None if value is FAILS else value)
    assert column.failed.tolist() == [value is FAILS, False]


TORN = {
    "no JSON": ("oops", "is no JSON at character 1"),
    "cut": ('{"a": 1, "b": "x', "is no JSON at character"),
    "a list": ("[1, 2]", "is a list; expected an object"),
    "a number": ("5", "is a single value; expected an object"),
    "null": ("null", "is a single value; expected an object"),
    "two objects": ('{"a": 1}{"a": 2}', "Extra data"),
    "an object as a value": ('{"a": {"x": 1}}', "holds an object in column 'a'; expected a single value"),
    "a list as a value": ('{"a": [1]}', "holds a list in column 'a'"),
    "a key twice": ('{"a": 1, "a": 2}', "names 'a' twice"),
    "NaN": ('{"a": NaN}', "holds NaN, which is no JSON"),
    "minus Infinity": ('{"a": -Infinity}', "holds -Infinity"),
    "a single quote": ("{'a': 1}", "is no JSON"),
    "a trailing comma": ('{"a": 1,}', "is no JSON"),
    "half a character": ('{"a": "\\ud83d"}', "holds '\\ud83d', which is no character"),
    "too deep": ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "is nested too deeply"),
    "a tab in a text": ('{"a": "x\ty"}', "Invalid control character"),
}


@pytest.mark.parametrize("case", TORN)
def test_a_bad_line_is_kept_with_number_and_reason_and_the_others_go_on(case):
    line, problem = TORN[case]
    parsed = parse(f'{{"a": 1}}\n\n{line}\n{{"a": 2}}\n')
    assert parsed.rows.to_pylist() == [{"a": "1"}, {"a": "2"}]
    assert parsed.numbers.tolist() == [1, 4]
    ((number, text, told),) = [(row.number, row.text, row.problem) for row in parsed.torn]
    assert (number, text) == (3, line)
    assert problem in told


def test_a_line_in_another_encoding_is_torn_and_its_bytes_are_told():
    parsed = parse(b'{"a": "x"}\n{"a": "caf\xe9"}\n')
    assert parsed.rows.to_pylist() == [{"a": "x"}]
    assert [(row.number, row.text) for row in parsed.torn] == [(2, '{"a": "caf\\udce9"}')]
    assert parse(b'{"a": "caf\xe9"}\n', encoding="latin-1").rows.to_pylist() == [{"a": "café"}]
    assert parse('{"a": "é"}\n'.encode("utf-16"), encoding="utf-16").rows.to_pylist() == [{"a": "é"}]


def test_a_line_separator_inside_a_text_ends_no_line():
    assert parse('{"a": "x\u2028y\x85z"}\n').rows.to_pylist() == [{"a": "x\u2028y\x85z"}]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is empty; expected JSON Lines"),
        ("\n \n", "is empty"),
        ("\ufeff", "is empty"),
        ('[{"a": 1},\n{"a": 2}]\n', "has no line that can be read; line 1 is no JSON"),
        ('[{"a": 1}]', "line 1 is a list"),
        ("a,b\n1,2\n", "line 1 is no JSON"),
        ('{\n "a": 1\n}\n', "line 1 is no JSON"),
        ('{"a": 1}\n'.encode("utf-16-le"), "line 1 is no JSON"),
    ],
)
def test_a_file_without_a_readable_line_is_unreadable_as_a_whole(content, told):
    with pytest.raises(FileUnreadable, match=r"f\.jsonl: ") as raised:
        parse(content)
    assert told in str(raised.value)


def test_a_number_of_json_is_no_text_in_a_column_s_format():
    lines = b'{"v": 1.4}\n{"v": 1.234}\n{"v": 1400}\n{"v": "1.400,5"}\n{"v": 1e-3}\n{"v": "1.4"}\n'
    files = FilesConfig(files="f_{batch:%Y-%m-%d}.jsonl")
    parsed = parse_file("f.jsonl", lines, files, ("v",), {"v": ","})
    column = cast_column(parsed.rows.column("v"), ColumnType(type="float", decimal=",", thousands="."), ("",))
    assert column.values.to_pylist() == [1.4, 1.234, 1400.0, 1400.5, 0.001, None]


def test_a_key_that_some_lines_lack_is_null_there_and_one_that_all_lack_is_no_column():
    parsed = parse('{"a": 1}\n{"b": 2}\n{"a": 3, "b": null}\n')
    assert parsed.rows.to_pylist() == [{"a": "1", "b": None}, {"a": None, "b": "2"}, {"a": "3", "b": None}]
    assert parsed.rows.schema.types == [pa.string()] * 2


def test_a_nested_value_beside_the_declared_columns_tears_nothing():
    parsed = parse('{"a": 1, "tags": ["x"], "more": {"a": 1, "a": 2}}\n', plain={"a"})
    assert parsed.rows.to_pylist() == [{"a": "1", "tags": None, "more": None}]
    assert parsed.torn == ()


def test_each_row_keeps_its_own_text():
    lines = ['{"a":1.50,  "z":[1]}', '{"a": 2}']
    parsed = parse("\n".join(lines), plain={"a"})
    assert parsed.contents(parsed.rows, 0, [1, 0]) == lines[::-1]
    other = parse('{"a": "\\u00e9"}')
    assert json.loads(other.contents(other.rows, 0, [0])[0]) == {"a": "é"}
