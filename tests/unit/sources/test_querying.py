"""A query a batch, asked of a real SQLite and a real PostgreSQL."""

import io
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
import sqlalchemy
from pyarrow import parquet

from evergreen.batches import Calendar
from evergreen.config.feeds_config import QueryConfig
from evergreen.config.fields import ColumnType
from evergreen.config.limits_config import LimitsConfig
from evergreen.errors import ConfigInvalid, Outage
from evergreen.sources.casting import cast_column
from evergreen.sources.querying import probe_query, run_query
from tests.postgres import BIN, postgres

DAYS = Calendar("day", datetime(2024, 1, 1, tzinfo=UTC))
DAY = "2024-01-02"
SQL = "SELECT id, at, fare, paid, note FROM trips WHERE at >= :start AND at < :end ORDER BY id"
WHOSE = "model taxi, rows"
ROWS = [
    (1, "2024-01-01 23:59:59", "1.10", True, "before"),
    (2, "2024-01-02 00:00:00", "2.20", True, "first"),
    (3, "2024-01-02 23:59:59", None, False, None),
    (4, "2024-01-03 00:00:00", "4.40", None, "after"),
]


@pytest.fixture(scope="module")
def server():
    if BIN is None:
        pytest.skip("no PostgreSQL on this machine; apt-get install postgresql")
    with postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql", "postgresql with a zone"])
def database(request, tmp_path, monkeypatch):
    """A table of trips; TRIPS_DB leads to it."""
    if request.param == "sqlite":
        url, moment = f"sqlite:///{tmp_path / 'trips.db'}", "TEXT"
    else:
        url = request.getfixturevalue("server")
        moment = "TIMESTAMP WITH TIME ZONE" if request.param.endswith("zone") else "TIMESTAMP"
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        if not url.startswith("sqlite"):
            # A server that lives elsewhere: the batch's interval is UTC all the same.
            connection.execute(sqlalchemy.text("ALTER DATABASE postgres SET timezone TO 'America/New_York'"))
            connection.execute(sqlalchemy.text("SET TIME ZONE 'UTC'"))
        connection.execute(sqlalchemy.text("DROP TABLE IF EXISTS trips"))
        connection.execute(
            sqlalchemy.text(f"CREATE TABLE trips (id BIGINT, at {moment}, fare NUMERIC(8, 2), paid BOOLEAN, note TEXT)")
        )
        for row in ROWS:
            values = dict(zip(("id", "at", "fare", "paid", "note"), row, strict=True))
            connection.execute(sqlalchemy.text("INSERT INTO trips VALUES (:id, :at, :fare, :paid, :note)"), values)
    monkeypatch.setenv("TRIPS_DB", url)
    return engine


def query(sql=SQL, **settings):
    return QueryConfig.model_validate({"sql": sql, "database": "TRIPS_DB", **settings})


def rows_of(landed):
    return parquet.read_table(io.BytesIO(landed.content))


def cast(rows, name, declared):
    column = cast_column(rows.column(name), ColumnType(type=declared), ("",))
    assert not column.failed.any()
    return column.values.to_pylist()


def test_a_query_answers_for_its_batch_alone(database):
    landed = run_query(query(), DAYS, DAY, WHOSE)
    rows = rows_of(landed)
    assert landed.name == "2024-01-02.parquet"
    assert cast(rows, "id", "integer") == [2, 3]
    assert cast(rows, "fare", "float") == [2.2, None]
    assert cast(rows, "note", "category") == ["first", None]
    at = cast(rows, "at", "timestamp")
    assert at == [datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 2, 23, 59, 59, tzinfo=UTC)]


def test_an_answer_of_more_rows_than_it_may_have_is_refused(database):
    refused = run_query(query(), DAYS, DAY, WHOSE, LimitsConfig(rows=1))
    assert (refused.name, refused.content) == ("2024-01-02.parquet", b"")
    assert refused.refused.startswith("sql returns more than 1 rows; limits.rows allows 1: raise it in config.yaml")
    assert run_query(query(), DAYS, DAY, WHOSE, LimitsConfig(rows=2)) == run_query(query(), DAYS, DAY, WHOSE)


def test_the_same_answer_is_the_same_file(database):
    assert run_query(query(), DAYS, DAY, WHOSE) == run_query(query(), DAYS, DAY, WHOSE)


def test_no_row_is_an_answer_too(database):
    rows = rows_of(run_query(query(), DAYS, "2024-01-09", WHOSE))
    assert (rows.num_rows, rows.column_names) == (0, ["id", "at", "fare", "paid", "note"])


def test_what_a_query_writes_is_not_kept(database):
    returning = "DELETE FROM trips WHERE at >= :start RETURNING id"
    run_query(query(returning), DAYS, DAY, WHOSE)
    with database.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT count(*) FROM trips")).scalar() == len(ROWS)


def test_a_batch_is_asked_for_by_its_name_too(database):
    rows = rows_of(run_query(query("SELECT :batch AS batch_name"), DAYS, DAY, WHOSE))
    assert rows.to_pylist() == [{"batch_name": DAY}]


def test_a_batch_is_complete_once_it_has_ended(database):
    end = DAYS.end(DAY)
    early = probe_query(query(), DAYS, DAY, end - timedelta(seconds=1), WHOSE)
    assert (early.complete, early.why) == (False, "batch 2024-01-02 ends at 2024-01-03 00:00 UTC")
    assert probe_query(query(), DAYS, DAY, end, WHOSE).complete


def test_a_batch_may_have_to_be_declared_complete(database):
    later = query(complete={"sql": "SELECT count(*) = 2 FROM trips WHERE at >= :end"})
    assert not probe_query(later, DAYS, DAY, DAYS.end(DAY), WHOSE).complete
    with database.begin() as connection:
        connection.execute(sqlalchemy.text("INSERT INTO trips VALUES (5, '2024-01-04 00:00:00', 1, NULL, NULL)"))
    assert probe_query(later, DAYS, DAY, DAYS.end(DAY), WHOSE).complete


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT id, note AS id FROM trips WHERE at >= :start", "names id twice; valid: each column once, by AS"),
        ("SELECT :batch, :day", "valid beside SQL: :batch, :start, :end"),
    ],
)
def test_a_query_that_cannot_be_asked_is_refused(sql, expected, database):
    with pytest.raises(ConfigInvalid) as raised:
        run_query(query(sql), DAYS, DAY, WHOSE)
    assert "model taxi, rows, sql" in str(raised.value)
    assert expected in str(raised.value)


def test_a_database_that_refuses_is_told_with_its_reason(server, monkeypatch):
    monkeypatch.setenv("TRIPS_DB", server)
    with pytest.raises(ConfigInvalid, match=r"model taxi, rows, sql of batch 2024-01-02, postgresql.*nothing_here"):
        run_query(query("SELECT * FROM nothing_here WHERE at > :start"), DAYS, DAY, WHOSE)


def test_a_database_that_is_away_is_an_outage_and_no_password_is_told(monkeypatch):
    monkeypatch.setenv("TRIPS_DB", "postgresql+psycopg2://me:hunter2@127.0.0.1:1/trips")
    with pytest.raises(Outage) as raised:
        run_query(query(), DAYS, DAY, WHOSE)
    assert "127.0.0.1" in str(raised.value)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "environment variable TRIPS_DB is not set"),
        ("hunter2 at my server", "environment variable TRIPS_DB holds no URL"),
        ("nosuchdb://me:hunter2@host/trips", "a URL whose driver is installed"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_being_told(value, expected, monkeypatch):
    monkeypatch.delenv("TRIPS_DB", raising=False)
    if value is not None:
        monkeypatch.setenv("TRIPS_DB", value)
    with pytest.raises(ConfigInvalid) as raised:
        run_query(query(), DAYS, DAY, WHOSE)
    assert expected in str(raised.value)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("DELETE FROM trips WHERE at >= :start", "returns no rows; valid: a query, such as SELECT"),
        ("SELECT nowhere FROM trips WHERE at >= :start", "nowhere"),
        ("SELECT id FROM trips WHERE at >= :start LIMIT LIMIT", "syntax error"),
    ],
)
def test_what_is_no_query_of_these_tables_is_refused_at_once(sql, expected, database):
    with pytest.raises(ConfigInvalid, match="model taxi, rows, sql of batch 2024-01-02") as raised:
        run_query(query(sql), DAYS, DAY, WHOSE)
    assert expected in str(raised.value)


def test_a_day_of_text_is_asked_for_in_whatever_form(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIPS_DB", f"sqlite:///{tmp_path / 'days.db'}")
    values = ["2024-01-01", "2024-01-01T23:59:59", "2024-01-02", "2024-01-02 05:30:00", "2024-01-02T23:59:59Z"]
    rows = " UNION ALL ".join(f"SELECT '{value}' AS at" for value in [*values, "2024-01-03", "2024-01-03 00:00:00"])
    asked = query(f"SELECT at FROM ({rows}) WHERE at >= :start AND at < :end")
    assert rows_of(run_query(asked, DAYS, DAY, WHOSE)).column("at").to_pylist() == values[2:]


def test_types_that_no_column_declares_are_kept_as_text(server, monkeypatch):
    monkeypatch.setenv("TRIPS_DB", server)
    sql = """SELECT CAST('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' AS uuid) AS id, CAST('{"a": [1, 2]}' AS jsonb) AS j,
             CAST('{}' AS jsonb) AS nothing, ARRAY[1, 2] AS list, CAST('05:30' AS time) AS t, :batch AS b"""
    (row,) = rows_of(run_query(query(sql), DAYS, DAY, WHOSE)).to_pylist()
    assert row == {
        "id": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "j": '{"a": [1, 2]}', "nothing": "{}", "list": "[1, 2]",
        "t": "05:30:00", "b": DAY,
    }  # fmt: skip


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg2://127.0.0.1:1/trips?user=me&password=hunter2",
        "postgresql+psycopg2://me:hunter2@host:port/trips",
    ],
)
def test_a_password_is_told_from_no_part_of_a_url(url, monkeypatch):
    monkeypatch.setenv("TRIPS_DB", url)
    with pytest.raises((Outage, ConfigInvalid)) as raised:
        run_query(query(), DAYS, DAY, WHOSE)
    assert "hunter2" not in str(raised.value)
    assert "TRIPS_DB" in str(raised.value)


def test_values_without_a_common_type_are_kept_as_text(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIPS_DB", f"sqlite:///{tmp_path / 'odd.db'}")
    sql = "SELECT 1 AS v, :batch AS b UNION ALL SELECT 'many', '' UNION ALL SELECT NULL, ''"
    rows = rows_of(run_query(query(sql), DAYS, DAY, WHOSE))
    assert rows.schema.field("v").type == pa.string()
    assert sorted(str(one) for one in rows.column("v").to_pylist()) == ["1", "None", "many"]


@pytest.mark.parametrize("beside", ["NULL", "'many'"], ids=["alone", "beside text"])
def test_a_database_s_float_that_rounds_is_no_exact_number(beside, tmp_path, monkeypatch):
    monkeypatch.setenv("TRIPS_DB", f"sqlite:///{tmp_path / 'odd.db'}")
    sql = f"SELECT 123456789012345678.0 AS v, :batch AS b UNION ALL SELECT {beside}, ''"
    rows = rows_of(run_query(query(sql), DAYS, DAY, WHOSE))
    for kind in ("integer", "string", "category"):
        assert cast_column(rows.column("v"), ColumnType(type=kind), ("",)).failed[0], kind
