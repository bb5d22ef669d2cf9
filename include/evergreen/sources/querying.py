"""A query a batch: what a database answers is kept as a Parquet file, and goes on from there as any file does."""

import io
import json
import os
from datetime import date, datetime, time
from typing import Any

import pyarrow as pa
import sqlalchemy
from pyarrow import parquet
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    StatementError,
)

from evergreen.batches import Calendar
from evergreen.config.feeds_config import QueryConfig
from evergreen.config.limits_config import DEFAULT_LIMITS, LimitsConfig
from evergreen.errors import ConfigInvalid, Outage
from evergreen.outside_calls import answer_within
from evergreen.sources.landing import LandedFile, ProbeResult

# Seconds: for a connection, for the answer whether a batch is complete, and for both until the last byte; that of its
# rows has the task's own time.
_CONNECTING, _PATIENCE, _WHOLE = 15, 60, 120
_PLAIN = (bool, int, float, str, date)


def probe_query(query: QueryConfig, calendar: Calendar, batch: str, now: datetime, whose: str) -> ProbeResult:
    """Probe once whether a batch can be queried: it has ended, and ``complete.sql`` says so where there is one.

    :param now: the moment of this probe.
    :param whose: model and feed, for messages.
    :raises ConfigInvalid: if ``database`` names no usable URL, or the database refuses the query.
    :raises Outage: if it does not answer.
    """
    if now < calendar.end(batch):
        return ProbeResult(False, f"batch {batch} ends at {calendar.end(batch):%Y-%m-%d %H:%M} UTC", ())
    if query.complete is None:
        return ProbeResult(True, f"batch {batch} has ended", ())
    _, rows = _ask(query, query.complete.sql, calendar, batch, f"{whose}, complete.sql")
    value = rows[0][0] if rows and len(rows[0]) else None
    return ProbeResult(bool(value), f"complete.sql returns {value!r} for batch {batch}", ())


def run_query(
    query: QueryConfig, calendar: Calendar, batch: str, whose: str, limits: LimitsConfig = DEFAULT_LIMITS
) -> LandedFile:
    """Ask for the rows of a batch.

    :param whose: model and feed, for messages.
    :param limits: rows that an answer may have; of one that has more nothing is kept.
    :returns: a Parquet file with a column for each of the query's, in its types.
    :raises ConfigInvalid: if ``database`` names no usable URL, the database refuses the query, or two of its columns
        have one name.
    :raises Outage: if it does not answer.
    """
    names, rows = _ask(query, query.sql, calendar, batch, f"{whose}, sql", limits.rows + 1)
    if len(rows) > limits.rows:
        return LandedFile(f"{batch}.parquet", b"", limits.tell("rows", f"sql returns more than {limits.rows:,} rows"))
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise ConfigInvalid(f"{whose}, sql", [f"names {', '.join(double)} twice; valid: each column once, by AS"])
    columns = [_as_column([row[i] for row in rows]) for i in range(len(names))]
    sink = io.BytesIO()
    parquet.write_table(pa.table(columns, names=names), sink)
    return LandedFile(f"{batch}.parquet", sink.getvalue())


def refuses_query(error: BaseException | None) -> bool:
    """Whether a driver's error says that the query is wrong, and not that the database does not answer.

    That is ``ProgrammingError`` of PEP 249; to SQLite a name that it does not know is an operational error too.
    """
    kinds, message = {kind.__name__ for kind in type(error).__mro__}, str(error)
    return "ProgrammingError" in kinds or (
        "OperationalError" in kinds and ("no such " in message or "syntax error" in message)
    )


def _ask(
    query: QueryConfig, sql: str, calendar: Calendar, batch: str, whose: str, most: int = 1
) -> tuple[list[str], list[Any]]:
    url = _url(query.database, whose)
    # Not the URL: a password may stand in any part of it.
    place = f"{url.get_backend_name()} database of {query.database}"
    where = f"{whose} of batch {batch}, {place}"
    statement = sqlalchemy.text(sql)
    given = {"batch": batch, **_moments(url, calendar.moment(batch), calendar.end(batch))}
    asked = {name: given[name] for name in statement.compile().params if name in given}
    probes = most == 1

    def run() -> tuple[list[str], list[Any]]:
        engine = sqlalchemy.create_engine(_bounded(url), poolclass=sqlalchemy.NullPool)
        # Never committed: a query that writes changes nothing.
        with engine.connect() as connection:
            if url.get_backend_name() == "postgresql":
                # A column without a zone is compared in the session's.
                connection.exec_driver_sql("SET TIME ZONE 'UTC'")
                if probes:
                    # All that wait share a few threads of the triggerer.
                    connection.exec_driver_sql(f"SET statement_timeout = '{_PATIENCE}s'")
            result = connection.execute(statement, asked)
            if not result.returns_rows:
                raise ConfigInvalid(where, ["returns no rows; valid: a query, such as SELECT …"])
            return list(result.keys()), list(result.fetchmany(most))

    try:
        return answer_within(_WHOLE if probes else None, run, where, place)
    except (OperationalError, InterfaceError) as error:
        message = _without_secrets(str(error.orig), url)
        if refuses_query(error.orig):
            raise ConfigInvalid(where, [f"the database refuses it: {message}; mend it in config.yaml"]) from None
        raise Outage(f"{where}: {message}", place) from None
    except (NoSuchModuleError, ImportError) as error:
        problem = f"{query.database}: {error}; valid: a URL whose driver is installed"
        raise ConfigInvalid(where, [problem]) from error
    except DBAPIError as error:
        problem = f"the database refuses it: {_without_secrets(str(error.orig), url)}; mend it in config.yaml"
        raise ConfigInvalid(where, [problem]) from None
    except StatementError as error:
        problem = f"{error.args[0]}; valid beside SQL: {', '.join(f':{name}' for name in given)}"
        raise ConfigInvalid(where, [problem]) from error


def _bounded(url: sqlalchemy.URL) -> sqlalchemy.URL:
    """An address whose driver does not wait for ever for a server that takes the call and says nothing."""
    waits = url.get_driver_name() in ("psycopg", "psycopg2") and "connect_timeout" not in url.query
    return url.update_query_dict({"connect_timeout": str(_CONNECTING)}) if waits else url


def _moments(url: sqlalchemy.URL, start: datetime, end: datetime) -> dict[str, datetime | str]:
    """A batch's interval as the database compares moments."""
    if url.get_backend_name() == "sqlite":
        # It has none of its own, and compares text: a midnight as the date alone, which stands before all of its day in
        # whatever form; others in the form that its own functions write.
        return {
            name: f"{at:%Y-%m-%d}" if at.time() == time() else f"{at:%Y-%m-%d %H:%M:%S}"
            for name, at in (("start", start), ("end", end))
        }
    return {"start": start, "end": end}


def _url(variable: str, whose: str) -> sqlalchemy.URL:
    valid = "valid: a SQLAlchemy URL such as postgresql://user:password@host/database"
    text = os.environ.get(variable)
    if not text:
        raise ConfigInvalid(whose, [f"environment variable {variable} is not set; {valid}"])
    try:
        return sqlalchemy.make_url(text)
    except (ArgumentError, ValueError):
        # Not told as found: it holds a password.
        raise ConfigInvalid(whose, [f"environment variable {variable} holds no URL; {valid}"]) from None


def _as_column(values: list[Any]) -> pa.Array:
    """Values of one column in their plain type; as text where that is none, such as exact decimals and UUIDs, and where
    they have no common one, as SQLite allows.
    """
    if all(value is None or isinstance(value, _PLAIN) for value in values):
        try:
            return pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
            pass
    return pa.array([None if value is None else _as_text(value) for value in values], pa.string())


def _as_text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        # Written out, so that one which went through a float is told from an exact one.
        return f"{value:.1f}"
    return json.dumps(value, default=str) if isinstance(value, dict | list) else str(value)


def _without_secrets(text: str, url: sqlalchemy.URL) -> str:
    """A database's own words, without the passwords of its URL."""
    secrets = [str(url.password or ""), *(str(one) for name, one in url.query.items() if "pass" in name.lower())]
    for secret in secrets:
        text = text.replace(secret, "***") if secret else text
    return " ".join(text.split())
