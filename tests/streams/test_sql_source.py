"""Rows and labels that are queried: the loop decides as it does on files that hold the same."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.demo.stream import DemoStream
from evergreen.errors import NotReady
from evergreen.records import ArrivalRecord, AttemptRecord, BatchRecord, PromotionRecord
from evergreen.replay.runner import Runner
from evergreen.sources.parsing import parse_file
from evergreen.storage.stores import open_stores
from tests.postgres import BIN, postgres
from tests.short_loop import land, records, run, short_model

BATCHES = range(1, 11)
# No batch with a renamed column: a table has the columns that it has.
STREAM = DemoStream(trips=150, batches=10, broken=(), shifted=(0, 0), changed=7, slowdown=2.0)
# Two batches decide little: an attempt that has the whole level to itself sees the change in time.
ALONE = {"retrain": {"any": ["decay"]}}
_NAMES = (
    "trip_id", "lpep_pickup_datetime", "PULocationID", "DOLocationID", "passenger_count", "trip_distance",
    "payment_type",
)  # fmt: skip
# A name that is not quoted comes back in another case.
COLUMNS = ", ".join(f'{name} AS "{name}"' for name in _NAMES)
WINDOW = "WHERE arrived >= :start AND arrived < :end ORDER BY line"
QUERIED: dict[str, Any] = {
    "source": {"trips": {"sql": f"SELECT {COLUMNS} FROM trips {WINDOW}", "database": "TRIPS_DB"}},
    "labels": {
        "sql": f"SELECT trip_id, trip_minutes FROM outcomes {WINDOW}",
        "database": "TRIPS_DB",
        "key": ["trip_id"],
        "target": {"trip_minutes": "float"},
        "max_delay": 7,
    },
}


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The stream as two tables."""
    if request.param == "postgresql":
        if BIN is None:
            pytest.skip("no PostgreSQL on this machine; apt-get install postgresql")
        with postgres() as url:
            monkeypatch.setenv("TRIPS_DB", url)
            yield url
        return
    monkeypatch.setenv("TRIPS_DB", f"sqlite:///{tmp_path / 'trips.db'}")
    yield os.environ["TRIPS_DB"]


def fill(url: str, model: ModelFolder, folder: Path) -> None:
    """Put the files of the stream into tables, text as it came."""
    trips = {"trips": model.config.source, "outcomes": model.config.labels}
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        for number in BATCHES:
            day = model.config.calendar.moment(model.config.calendar.name(number - 1))
            for table, files in trips.items():
                name = files.files.name_for(day)
                rows = parse_file(name, (folder / name).read_bytes(), files).rows.to_pandas()
                rows = rows.replace({"": None}).assign(arrived=f"{day:%Y-%m-%d} 12:00:00", line=range(len(rows)))
                # As a database has them whose tables were made without quotes.
                rows.columns = [column.lower() for column in rows.columns]
                kinds = {c: sqlalchemy.Text() for c in rows.columns if c not in ("line", "arrived")}
                kinds["arrived"] = sqlalchemy.Text() if url.startswith("sqlite") else sqlalchemy.DateTime()
                rows.to_sql(table, connection, if_exists="append", index=False, dtype=kinds)


def test_queried_rows_and_labels_lead_to_the_same_decisions(database: str, tmp_path: Path) -> None:
    filed, here = short_model(tmp_path / "files", **ALONE), Locations.under(tmp_path / "files")
    run(filed, here, *BATCHES, stream=STREAM)
    fill(database, filed, Path(here.landing) / filed.id)

    queried, there = short_model(tmp_path / "sql", **QUERIED, **ALONE), Locations.under(tmp_path / "sql")
    for number in BATCHES:
        Runner(queried, there, sinks=()).run_batch(queried.config.calendar.name(number - 1))

    files, query = open_stores(here, "taxi").ledger, open_stores(there, "taxi").ledger
    for number in BATCHES:
        for feed in ("rows", "labels"):
            place = f"{feed}.{queried.config.calendar.name(number - 1)}"
            by_file, by_query = files.get(BatchRecord, place), query.get(BatchRecord, place)
            assert by_file is not None
            assert by_query is not None
            assert (by_query.content, by_query.clean, by_query.quarantined) == (
                by_file.content,
                by_file.clean,
                by_file.quarantined,
            )
    assert len(list(query.all(PromotionRecord, "champion"))) >= 2
    decided, expected = (
        {name: text for name, text in records(queried, at).items() if name.startswith(("claim/", "promotion/"))}
        for at in (there, here)
    )
    assert decided == expected
    attempts = [name for name in records(queried, there) if name.startswith("attempt/")]
    assert attempts == [name for name in records(filed, here) if name.startswith("attempt/")]
    assert query.last(AttemptRecord, attempts[-1].split("/")[1]) is not None


def test_what_was_answered_first_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that reaches the table after its batch was queried is not of that batch; a second run asks nothing."""
    monkeypatch.setenv("TRIPS_DB", f"sqlite:///{tmp_path / 'trips.db'}")
    filed, here = short_model(tmp_path / "files"), Locations.under(tmp_path / "files")
    land(filed, here, *BATCHES, stream=STREAM)
    fill(os.environ["TRIPS_DB"], filed, Path(here.landing) / filed.id)
    queried, there = short_model(tmp_path / "sql", **QUERIED), Locations.under(tmp_path / "sql")
    day = queried.config.calendar.name(0)
    runner = Runner(queried, there, sinks=())
    with pytest.raises(NotReady, match="ends at 2024-01-02 00:00 UTC"):
        runner.run_batch(day, now=queried.config.calendar.moment(day))
    runner.run_batch(day)
    before = records(queried, there)
    engine = sqlalchemy.create_engine(os.environ["TRIPS_DB"])
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE trips SET trip_distance = '9.9'"))
    runner.run_batch(day)
    assert records(queried, there) == before
    arrival = open_stores(there, "taxi").ledger.get(ArrivalRecord, f"rows.{day}")
    assert arrival is not None
    assert [file.name for file in arrival.files] == [f"{day}.parquet"]
