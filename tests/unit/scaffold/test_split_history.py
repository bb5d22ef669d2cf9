"""Splitting: a history is cut into the files that a feeder would have delivered."""

import csv
import io
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from evergreen.config.fields import ColumnType
from evergreen.config.model_folder import load_model_folder
from evergreen.errors import FileUnreadable
from evergreen.scaffold.split_history import split_history
from evergreen.sources.casting import cast_column
from evergreen.sources.landing import list_files
from evergreen.sources.parsing import parse_file

HEADER = "id,at,distance,zone\n"
WEEKS = ("every: day, start: 2024-01-01", "every: week, start: 2024-01-03")


@pytest.fixture
def split(write_folder, tmp_path):
    """Split texts, one a file; returns rows by batch, the files' rows as text, and the names in the folder."""

    def run(*texts, config=None):
        model = load_model_folder(write_folder(config=config) if config else write_folder())
        paths = []
        for i, text in enumerate(texts):
            paths.append(tmp_path / f"history{i}.csv")
            paths[-1].write_text(text)
        folder = tmp_path / "landing" / "taxi"
        counts = split_history(model, paths, folder).rows
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        rows = {
            name: parse_file(name, (folder / name).read_bytes(), model.config.source).rows.to_pylist()
            for name in names
            if name.endswith(".csv")
        }
        return counts, {name: [row["id"] for row in content] for name, content in rows.items()}, names, folder

    return run


def test_rows_go_to_the_batch_of_their_event_time(split):
    counts, ids, names, _ = split(
        HEADER + "1,2024-01-02 23:59,1,a\n2,2024-01-01 00:00,1,a\n3,2024-01-02 00:00,1,a\n",
        HEADER + "4,2024-01-01 12:00,1,a\n",
    )
    assert counts == {"2024-01-01": 2, "2024-01-02": 2}
    assert ids == {"trips_2024-01-01.csv": ["2", "4"], "trips_2024-01-02.csv": ["1", "3"]}
    assert [name for name in names if name.endswith(".done")] == ["trips_2024-01-01.done", "trips_2024-01-02.done"]


def test_weeks_begin_on_the_weekday_of_the_start(split, edit_config):
    rows = "".join(f"{day},2024-01-{day:02d} 08:00,1,a\n" for day in range(1, 18))
    counts, ids, _, _ = split(HEADER + rows, config=edit_config(*WEEKS))
    assert counts == {"2024-01-03": 7, "2024-01-10": 7, "2024-01-17": 1}
    assert ids["trips_2024-01-03.csv"] == [str(day) for day in range(3, 10)]


def test_the_text_of_each_field_is_kept_as_it_came(split):
    fields = ["007", "2024-01-01 08:00", " 1.50 ", 'a, "b"\nc']
    line = ",".join('"' + field.replace('"', '""') + '"' for field in fields)
    _, _, _, folder = split(HEADER + line + "\n")
    text = (folder / "trips_2024-01-01.csv").read_text()
    assert list(csv.reader(io.StringIO(text)))[1] == fields


def test_a_row_without_a_readable_time_stays_with_the_row_before_it(split):
    rows = "1,yesterday,1,a\n2,2024-01-01 08:00,1,a\n3,2024-02-31 08:00,1,a\n4,2024-01-02 08:00,1,a\n5,,1,a\n"
    _, ids, _, _ = split(HEADER + rows)
    assert ids == {"trips_2024-01-01.csv": ["1", "2", "3"], "trips_2024-01-02.csv": ["4", "5"]}


def test_rows_before_the_start_are_left_out(split):
    counts, ids, _, _ = split(HEADER + "1,2023-12-31 23:59,1,a\n2,2024-01-01 00:00,1,a\n")
    assert counts == {"2024-01-01": 1}
    assert ids == {"trips_2024-01-01.csv": ["2"]}


def test_folders_and_markers_follow_the_pattern(split, edit_config):
    text = edit_config("trips_{batch:%Y-%m-%d}*.csv", "{batch:%Y/%m/%d}/part*.csv")
    text = text.replace('{marker: "trips_{batch:%Y-%m-%d}.done"}', "{marker: _SUCCESS}")
    _, ids, names, _ = split(HEADER + "1,2024-01-01 08:00,1,a\n", config=text)
    assert ids == {"2024/01/01/part.csv": ["1"]}
    assert names == ["2024/01/01/_SUCCESS", "2024/01/01/part.csv"]


def test_the_delimiter_of_the_source_is_read_and_written(split, edit_config):
    _, ids, _, folder = split(
        "id;at;distance;zone\n1;2024-01-01 08:00;1,5;a\n", config=edit_config("wait: 6h", "delimiter: ';'")
    )
    assert ids == {"trips_2024-01-01.csv": ["1"]}
    assert "1,5" in (folder / "trips_2024-01-01.csv").read_text()


def test_a_file_without_the_event_time_is_refused_naming_its_columns(split):
    with pytest.raises(FileUnreadable, match=r"history0\.csv, line 1: has no column 'at'; it has id, when"):
        split("id,when\n1,2024-01-01\n")


@pytest.mark.parametrize(
    "pattern",
    [
        "trips_{batch:%Y-%m-%d}*.csv.gz",
        "{batch:%Y/%m/%d}/part-*.parquet",
        "{batch:%Y-%m-%d}_t.jsonl",
        "t{batch:%Y%m%d}.csv",
    ],
)
def test_files_are_written_as_the_pattern_has_them(pattern, write_folder, edit_config, tmp_path):
    """The same values come back, whatever the form; a file that was cut again has the same bytes."""
    model = load_model_folder(write_folder(config=edit_config("trips_{batch:%Y-%m-%d}*.csv", pattern)))
    (tmp_path / "history.csv").write_text(HEADER + '007,2024-01-01 08:00,,"a, b"\n2,2024-01-02 08:00,1.50,c\n')
    contents = []
    for _ in range(2):
        assert split_history(model, [tmp_path / "history.csv"], tmp_path / "out").rows == dict.fromkeys(
            ("2024-01-01", "2024-01-02"), 1
        )
        listed = list_files(tmp_path / "out", model.config.source, model.config.calendar)
        contents.append({name: (tmp_path / "out" / name).read_bytes() for names in listed.values() for name in names})
    assert contents[0] == contents[1]
    rows = [parse_file(name, content, model.config.source).rows.to_pylist() for name, content in contents[0].items()]
    assert sorted((row["id"], row["distance"], row["zone"]) for (row,) in rows) == [
        ("007", "", "a, b"),
        ("2", "1.50", "c"),
    ]


LABELS = "id,minutes,told\n1,10,03.01.2024\n2,20,02.01.2024\n3,30,\n9,90,05.01.2024\n"


def test_labels_are_cut_by_when_they_became_known_or_come_with_their_rows(write_folder, tmp_path):
    model = load_model_folder(write_folder())
    days = ("2023-12-31", "2024-01-01", "2024-01-02", "2024-01-03")
    text = HEADER + "".join(f"{i},{day} 08:00,1,a\n" for i, day in enumerate(days))
    (tmp_path / "rows.csv").write_text(text)
    (tmp_path / "labels.csv").write_text(LABELS)
    known = ("told", ColumnType(type="timestamp", format="%d.%m.%Y"))
    files = [tmp_path / "rows.csv"], tmp_path / "out", [tmp_path / "labels.csv"]
    done = split_history(model, *files, known)
    assert (done.before, done.unassigned) == (1, 1)
    assert done.labels == {f"2024-01-0{day}": rows for day, rows in ((1, 0), (2, 1), (3, 1), (4, 0), (5, 1))}
    assert (tmp_path / "out" / "labels_2024-01-01.csv").read_text() == '"id","minutes","told"\n'
    done = split_history(model, files[0], tmp_path / "with", files[2])
    assert (done.labels, done.unassigned) == (dict.fromkeys(("2024-01-01", "2024-01-02", "2024-01-03"), 1), 1)


def test_the_encoding_of_the_source_is_kept(write_folder, edit_config, tmp_path):
    model = load_model_folder(write_folder(config=edit_config("wait: 6h", "encoding: latin-1")))
    (tmp_path / "history.csv").write_bytes((HEADER + "1,2024-01-01 08:00,1,café\n").encode("latin-1"))
    split_history(model, [tmp_path / "history.csv"], tmp_path / "out")
    content = (tmp_path / "out" / "trips_2024-01-01.csv").read_bytes()
    assert parse_file("f.csv", content, model.config.source).rows.to_pylist()[0]["zone"] == "café"


def test_files_may_name_their_columns_in_another_order(split):
    _, ids, _, _ = split(HEADER + "1,2024-01-01 08:00,1,a\n", "at,id,zone,distance\n2024-01-01 09:00,2,a,1\n")
    assert ids == {"trips_2024-01-01.csv": ["1", "2"]}


@pytest.mark.parametrize(
    ("rows", "told"),
    [("1,yesterday,1,a\n", "no row has a readable at"), ("1,2024-01-01 08:00,1,a\n2,2024-01-01\n", "has 2 fields")],
    ids=["no readable time", "a torn row"],
)
def test_what_cannot_be_placed_is_refused_rather_than_lost(rows, told, split):
    with pytest.raises(FileUnreadable, match=rf"history0\.csv.*{told}"):
        split(HEADER + rows)


def test_what_parquet_states_reads_back_as_the_same_values(write_folder, edit_config, tmp_path):
    columns = """id: integer
    at: timestamp
    day: date
    local: {timestamp: "%d.%m.%Y %H:%M"}
    paid: boolean
    distance: float
    price: float
    zone: category
    code: category
"""
    text = edit_config(
        'id: integer\n    at: {timestamp: "%Y-%m-%d %H:%M"}\n    distance: float\n    zone: category\n', columns
    )
    model = load_model_folder(write_folder(config=text))
    berlin = pa.timestamp("ns", "Europe/Berlin")
    rows = pa.table(
        {
            "id": pa.array([1, 2, None], pa.int32()),
            "at": pa.array(
                [datetime(2024, 1, 1, 8, tzinfo=UTC), datetime(2024, 1, 1, 23, 30, 0, 5, UTC), None], berlin
            ),
            "day": [date(2024, 1, 1), None, date(2023, 12, 31)],
            "local": pa.array([datetime(2024, 1, 1, 8, 30), None, datetime(2024, 1, 2)], pa.timestamp("ms")),
            "paid": [True, False, None],
            "distance": [0.1, float("nan"), 1e-7],
            "price": pa.array([Decimal("1.50"), None, Decimal("-3.00")], pa.decimal128(9, 2)),
            "zone": pa.array(['a, "b"', "", None]).dictionary_encode(),
            "code": [3.0, None, 7.0],
        }
    )
    pq.write_table(rows, tmp_path / "history.parquet")
    counts = split_history(model, [tmp_path / "history.parquet"], tmp_path / "out").rows
    assert counts == {"2024-01-01": 3}
    written = parse_file("f.csv", (tmp_path / "out" / "trips_2024-01-01.csv").read_bytes(), model.config.source).rows
    assert written.column_names == rows.column_names
    for name, declared in model.config.rows.columns.items():
        stated = rows.column(name)
        if name == "price":
            stated = stated.cast(pa.float64())
        expected, found = cast_column(stated, declared, ("",)), cast_column(written.column(name), declared, ("",))
        assert found.values.equals(expected.values), name
        assert not found.failed.any(), name


def test_what_no_text_can_stand_for_is_refused_naming_the_column(write_folder, tmp_path):
    rows = pa.table({"id": [1], "at": ["2024-01-01 08:00"], "distance": [1.0], "zone": [["a", "b"]]})
    pq.write_table(rows, tmp_path / "history.parquet")
    with pytest.raises(FileUnreadable, match=r"history\.parquet: column zone holds list<.*flatten it or leave it out"):
        split_history(load_model_folder(write_folder()), [tmp_path / "history.parquet"], tmp_path / "out")


@pytest.mark.parametrize("kind", ["integer", "category"])
def test_floats_that_round_are_not_written_as_if_they_were_exact(kind, write_folder, edit_config, tmp_path):
    model = load_model_folder(write_folder(config=edit_config("id: integer", f"id: {kind}")))
    ids = pa.array([2**24 - 1, 2**24], pa.float32())
    rows = {"id": ids, "at": ["2024-01-01 08:00"] * 2, "distance": [1.0] * 2, "zone": ["a"] * 2}
    pq.write_table(pa.table(rows), tmp_path / "history.parquet")
    told = r"history\.parquet: column id holds 16777216 as float, which rounds whole numbers from 16777216 on; write"
    with pytest.raises(FileUnreadable, match=told):
        split_history(model, [tmp_path / "history.parquet"], tmp_path / "out")


def test_numbers_that_parquet_states_are_written_in_the_declared_format(write_folder, edit_config, tmp_path):
    german = 'distance: {type: float, decimal: ",", thousands: "."}'
    model = load_model_folder(write_folder(config=edit_config("distance: float", german)))
    rows = {"id": [1, 2], "at": ["2024-01-01 08:00"] * 2, "distance": [1.4, 1234.567], "zone": ["a"] * 2}
    pq.write_table(pa.table(rows), tmp_path / "history.parquet")
    split_history(model, [tmp_path / "history.parquet"], tmp_path / "out")
    written = parse_file("f.csv", (tmp_path / "out" / "trips_2024-01-01.csv").read_bytes(), model.config.source).rows
    read = cast_column(written.column("distance"), model.config.rows.columns["distance"], ("",))
    assert read.values.to_pylist() == [1.4, 1234.567]


def test_files_with_other_columns_are_refused_naming_them(split):
    with pytest.raises(
        FileUnreadable, match=r"history1\.csv, line 1: lacks zone; adds area; expected the columns of h"
    ):
        split(HEADER + "1,2024-01-01 08:00,1,a\n", "id,at,distance,area\n1,2024-01-01 09:00,1,a\n")
