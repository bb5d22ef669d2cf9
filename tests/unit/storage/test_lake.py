"""The lake: a partition is replaced whole, others are not touched, and equal rows have equal hashes."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from threading import Barrier

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from evergreen.errors import SchemaChanged, SourceChanged
from evergreen.records import Partition
from evergreen.storage.columns import plain
from evergreen.storage.content import content_hash
from evergreen.storage.frames import to_frame
from evergreen.storage.lake import Lake, describe

DAY = "2024-01-01"
ROWS = pa.table({"id": [2, 1, 3], "kind": ["b", None, ""], "x": [0.1, 1e300, None]})


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path), "dev", "taxi")


def part(rows, batch=DAY, table="clean"):
    """What a record says of rows in canonical order."""
    return Partition(table=table, batch=batch, revision=0, content=content_hash(rows))


def ids(lake, batch=DAY, revision=0, table="clean"):
    rows = lake.read_any(table, batch, revision)
    return sorted(rows.column("id").to_pylist()) if rows.num_columns else []


def rows_of(*numbers):
    return pa.table({"id": pa.array(numbers, pa.int64())})


def test_rows_are_read_back_by_key_without_batch_and_revision(lake, tmp_path):
    lake.replace("clean", DAY, 0, ROWS, {})
    for one in (lake, Lake(str(tmp_path), "dev", "taxi")):
        read = one.read(part(ROWS.sort_by("id")), ["id"])
        assert read.schema == ROWS.schema
        assert read.to_pylist() == ROWS.sort_by("id").to_pylist()


def test_no_rows_for_a_table_that_is_not_there_leave_no_trace(lake, tmp_path):
    lake.replace("clean", DAY, 0, rows_of(1), {})
    lake.replace("quarantine_rows", DAY, 0, rows_of(), {})
    assert [path.name for path in (tmp_path / "tables" / "dev" / "taxi").iterdir()] == ["clean"]


def test_a_key_of_several_columns_orders_by_all_of_them(lake):
    rows = pa.table({"zone": ["b", "a", "b", "a"], "id": [2, 9, 1, 3]})
    ordered = rows.sort_by([("zone", "ascending"), ("id", "ascending")])
    lake.replace("clean", DAY, 0, rows, {})
    assert lake.read(part(ordered), ["zone", "id"]).to_pylist() == ordered.to_pylist()


def test_rows_that_are_not_those_of_the_record_are_refused(lake):
    lake.replace("clean", DAY, 0, rows_of(1, 2), {})
    for other in (rows_of(1), rows_of(1, 3), rows_of(1, 2, 3)):
        with pytest.raises(SourceChanged, match="batch 2024-01-01 revision 0 is not what its record says"):
            lake.read(part(other), ["id"])
    with pytest.raises(SourceChanged, match="batch 2024-01-02"):
        lake.read(part(rows_of(1, 2), "2024-01-02"), ["id"])
    assert lake.read(part(rows_of(1, 2)), ["id"]).num_rows == 2


def test_a_partition_is_replaced_whole_and_no_other(lake):
    lake.replace("clean", DAY, 0, rows_of(1, 2, 3), {})
    lake.replace("clean", "2024-01-02", 0, rows_of(4), {})
    lake.replace("clean", DAY, 1, rows_of(5), {})
    lake.replace("labels", DAY, 0, rows_of(6), {})
    lake.replace("clean", DAY, 0, rows_of(7, 8), {})
    assert ids(lake) == [7, 8]
    assert ids(lake, "2024-01-02") == [4]
    assert ids(lake, revision=1) == [5]
    assert ids(lake, table="labels") == [6]


def test_what_another_process_has_written_since_a_table_was_opened_is_read(lake, tmp_path):
    other = Lake(str(tmp_path), "dev", "taxi")
    other.replace("clean", DAY, 0, rows_of(1), {})
    assert ids(lake) == [1]
    other.replace("clean", "2024-01-02", 0, rows_of(2), {})
    assert ids(lake, "2024-01-02") == [2]
    other.replace("clean", DAY, 0, rows_of(1, 3), {})
    assert lake.read(part(rows_of(1, 3)), ["id"]).num_rows == 2


def test_each_write_is_one_commit_and_an_earlier_one_stays_readable(lake):
    lake.replace("clean", DAY, 0, rows_of(1), {})
    lake.replace("clean", "2024-01-02", 0, rows_of(2), {})
    lake.replace("clean", DAY, 0, rows_of(3), {})
    table = DeltaTable(lake.table_uri("clean"))
    assert table.version() == 2
    for version, expected in ((0, [1]), (1, [1, 2]), (2, [2, 3])):
        table.load_as_version(version)
        assert sorted(pa.table(table.to_pyarrow_table()).column("id").to_pylist()) == expected


def test_what_differs_from_run_to_run_goes_into_the_commit(lake):
    lake.replace("clean", DAY, 0, rows_of(1), describe(model="taxi", version=3))
    (commit,) = DeltaTable(lake.table_uri("clean")).history()
    assert (commit["evergreen.model"], commit["evergreen.version"]) == ("taxi", "3")


def test_replacing_nothing_by_nothing_does_nothing(lake):
    lake.replace("clean", DAY, 0, rows_of(), {})
    assert lake.read_any("clean", DAY, 0).num_rows == 0
    lake.replace("clean", DAY, 0, rows_of(1), {})
    lake.replace("clean", "2024-01-02", 0, rows_of(), {})
    lake.replace("clean", DAY, 1, pa.table({}), {})
    assert ids(lake) == [1]
    assert DeltaTable(lake.table_uri("clean")).version() == 0


def test_replacing_rows_by_nothing_takes_them_away_and_no_other(lake):
    lake.replace("clean", DAY, 0, rows_of(1), {})
    lake.replace("clean", DAY, 1, rows_of(2), {})
    lake.replace("clean", "2024-01-02", 0, rows_of(3), {})
    lake.replace("clean", DAY, 0, pa.table({}), {})
    assert [ids(lake), ids(lake, revision=1), ids(lake, "2024-01-02")] == [[], [2], [3]]


def test_a_contract_that_gains_or_loses_a_column_keeps_what_was_recorded(lake):
    before, after = pa.table({"id": [1], "x": [1.5]}), pa.table({"id": [2], "kind": ["a"]})
    lake.replace("clean", DAY, 0, before, {})
    lake.replace("clean", "2024-01-02", 0, after, {})
    (first,) = lake.read(part(before), ["id"]).to_pylist()
    (second,) = lake.read(part(after, "2024-01-02"), ["id"]).to_pylist()
    assert first == {"id": 1, "x": 1.5, "kind": None}
    assert second == {"id": 2, "x": None, "kind": "a"}


def test_a_column_of_another_type_is_refused_naming_the_way_out(lake):
    lake.replace("clean", DAY, 0, pa.table({"id": [1], "x": [1.5]}), {})
    with pytest.raises(
        SchemaChanged, match=r"batch 2024-01-02, .*give a changed column another name, with renamed_from"
    ):
        lake.replace("clean", "2024-01-02", 0, pa.table({"id": [2], "x": ["a"]}), {})
    assert ids(lake) == [1]


@pytest.mark.parametrize(("before", "after"), [([1], [1.5]), ([True], [2]), (["a"], [1]), ([1.5], [2])], ids=str)
def test_a_column_of_another_type_is_not_cast_without_a_word(before, after, lake, tmp_path):
    lake.replace("clean", DAY, 0, pa.table({"id": [1], "x": before}), {})
    for one in (lake, Lake(str(tmp_path), "dev", "taxi")):
        with pytest.raises(SchemaChanged, match=r"2024-01-02, column x is .*, stored as "):
            one.replace("clean", "2024-01-02", 0, pa.table({"id": [1], "x": after}), {})


def test_a_column_that_came_later_keeps_its_type_too(lake):
    lake.replace("clean", DAY, 0, pa.table({"id": [1]}), {})
    lake.replace("clean", "2024-01-02", 0, pa.table({"id": [2], "x": [1.5]}), {})
    with pytest.raises(SchemaChanged, match=r"2024-01-03, column x is int64, stored as double"):
        lake.replace("clean", "2024-01-03", 0, pa.table({"id": [3], "x": [2]}), {})


def test_predictions_that_were_never_written_have_no_rows(lake):
    partition = Partition(table="predictions", batch=DAY, revision=0, content="d")
    assert lake.read(partition, ["id"]).num_rows == 0
    lake.replace("predictions", DAY, 0, rows_of(2, 1), {})
    assert lake.read(partition, ["id"]).column("id").to_pylist() == [1, 2]


def test_models_and_environments_do_not_mix(tmp_path):
    Lake(str(tmp_path), "dev", "taxi").replace("clean", DAY, 0, rows_of(1), {})
    assert ids(Lake(str(tmp_path), "dev", "bikes")) == []
    assert ids(Lake(str(tmp_path), "prod", "taxi")) == []
    assert ids(Lake(f"{tmp_path}/", "dev", "taxi")) == [1]


def test_equal_rows_have_equal_hashes_however_stored(lake):
    lake.replace("clean", DAY, 0, ROWS.sort_by("id"), {})
    lake.replace("clean", DAY, 0, ROWS.sort_by([("id", "descending")]), {})
    hashes = {
        content_hash(ROWS),
        content_hash(pa.concat_tables([ROWS.sort_by("id").slice(0, 1), ROWS.sort_by("id").slice(1)])),
        content_hash(ROWS.sort_by("id").set_column(1, "kind", ROWS.sort_by("id").column(1).dictionary_encode())),
        content_hash(lake.read(part(ROWS.sort_by("id")), ["id"])),
        content_hash(ROWS.sort_by("id").select(["x", "id", "kind"])),
        content_hash(ROWS.sort_by("id").append_column("later", pa.nulls(3, pa.string()))),
        content_hash(lake.read_any("clean", DAY, 0).sort_by("id")),
    }
    assert len(hashes) == 1


@pytest.mark.parametrize(
    "other",
    [
        ROWS.sort_by("id").slice(0, 2),
        ROWS.sort_by("id").rename_columns(["id", "kind", "y"]),
        ROWS.sort_by("id").set_column(1, "kind", pa.array([None, "b", None])),
        ROWS.sort_by("id").set_column(2, "x", pa.array([1e300, 0.1 + 2**-56, None])),
    ],
    ids=["fewer rows", "another name", "a null for an empty text", "one bit of a float"],
)
def test_other_rows_have_other_hashes(other):
    assert other != ROWS.sort_by("id")
    assert content_hash(other) != content_hash(ROWS.sort_by("id"))


def test_plain_turns_dictionaries_and_views_into_strings():
    rows = pa.table({"d": pa.array(["a", "b"]).dictionary_encode(), "v": pa.array(["a", "b"], pa.string_view())})
    assert plain(rows).schema.types == [pa.string(), pa.string()]
    assert plain(rows).to_pylist() == rows.to_pylist()


def test_frames_hold_times_in_utc_and_dates_as_midnights():
    moment = datetime(2024, 1, 1, 5, tzinfo=UTC)
    rows = pa.table(
        {
            "t": pa.array([moment, None], pa.timestamp("us", tz="UTC")),
            "d": pa.array([date(2024, 1, 1), None], pa.date32()),
            "k": ["a", None],
            "f": pa.array([1.5, None]),
        }
    )
    frame = to_frame(rows)
    assert [str(kind) for kind in frame.dtypes] == ["datetime64[us]", "datetime64[us]", "object", "float64"]
    assert (str(frame["t"][0]), str(frame["d"][0])) == ("2024-01-01 05:00:00", "2024-01-01 00:00:00")
    assert frame.loc[1].isna().all()


def test_raw_files_are_kept_byte_for_byte(lake, tmp_path):
    path = lake.put_raw("rows/2024-01-01/abc/é b.csv", b"\xff\r\n")
    assert Lake(str(tmp_path), "dev", "taxi").get_raw(path) == b"\xff\r\n"


def test_reports_lie_below_the_lake(lake, tmp_path):
    path = lake.put_report("drift-2024-01-01.html", "<p>é</p>")
    assert (tmp_path / path).read_text(encoding="utf-8") == "<p>é</p>"


def test_writers_of_other_batches_at_once_lose_nothing(tmp_path):
    Lake(str(tmp_path), "dev", "taxi").replace("clean", DAY, 0, rows_of(0), {})
    barrier = Barrier(3)

    def write(number):
        lake = Lake(str(tmp_path), "dev", "taxi")
        barrier.wait()
        lake.replace("clean", f"2024-02-0{number}", 0, rows_of(number), {})

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, [1, 2, 3]))
    lake = Lake(str(tmp_path), "dev", "taxi")
    assert [ids(lake, batch) for batch in (DAY, "2024-02-01", "2024-02-02", "2024-02-03")] == [[0], [1], [2], [3]]


def test_of_two_that_make_a_table_with_the_same_rows_one_has_its_rows(tmp_path):
    meeting = Barrier(2)

    def write(_):
        lake = Lake(str(tmp_path), "dev", "taxi")
        for n in range(8):
            meeting.wait()
            lake.replace(f"clean{n}", DAY, 0, rows_of(1, 2), {})

    with ThreadPoolExecutor(2) as writers:
        list(writers.map(write, range(2)))
    lake = Lake(str(tmp_path), "dev", "taxi")
    assert [ids(lake, table=f"clean{n}") for n in range(8)] == [[1, 2]] * 8
