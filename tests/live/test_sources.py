"""Rows and labels by query, the lake on S3: on a real scheduler as in one process."""

import os
import sqlite3
from pathlib import Path

import pytest

from evergreen.config.locations import Locations
from evergreen.judging.attempts import find_due_attempt
from evergreen.records import VerdictRecord
from evergreen.replay.runner import Runner
from evergreen.storage.stores import open_stores
from tests.live.services import make_model, running, wait_until
from tests.s3 import s3, speaking_to
from tests.short_loop import land, records, short_model, tables
from tests.streams.test_sql_source import QUERIED, STREAM, fill

DAYS = 6
SCHEDULE = {"every": "day", "start": "2024-01-01", "end": f"2024-01-0{DAYS}"}


@pytest.mark.long
def test_queried_batches_on_a_lake_on_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPS_DB", f"sqlite:///{tmp_path / 'trips.db'}")
    filed = short_model(tmp_path / "files")
    land(filed, Locations.under(tmp_path / "files"), *range(1, 11), stream=STREAM)
    fill(os.environ["TRIPS_DB"], filed, tmp_path / "files" / "landing" / filed.id)

    loads = {"complete": {"sql": "SELECT count(*) FROM loads WHERE day = :batch"}, "wait": "forever"}
    source = {"trips": {**QUERIED["source"]["trips"], **loads}}
    labels = {**QUERIED["labels"], **loads}
    model = make_model(tmp_path / "models", "taxi", source=source, labels=labels, schedule=SCHEDULE)
    database = sqlite3.connect(tmp_path / "trips.db", isolation_level=None)
    database.execute("CREATE TABLE loads (day TEXT)")
    days = [model.config.calendar.name(number) for number in range(DAYS)]
    here, there = Locations.under(tmp_path / "here"), Locations("dev", "s3://evergreen/lake", "", "http://127.0.0.1:1")
    with s3() as environment, speaking_to(environment):
        extra = {**environment, "TRIPS_DB": os.environ["TRIPS_DB"], "EVERGREEN_LAKE": there.lake}
        with running(tmp_path / "home", tmp_path / "models", **extra) as live:
            stores = open_stores(there, model.id)
            for day in days:
                database.execute("INSERT INTO loads VALUES (?)", (day,))

                def settled(day: str = day) -> bool:
                    checked = stores.ledger.get(VerdictRecord, day) is not None
                    return checked and find_due_attempt(model.config, stores) is None

                wait_until(settled, 300, f"batch {day} to be checked, and no attempt to be due")
            wait_until(lambda: set(live.runs("taxi__batch").values()) == {"success"}, 120, "the last tasks")
        for day in days:
            Runner(model, here, sinks=()).run_batch(day)
        assert tables(model, there) == tables(model, here)
        decided, expected = (
            {name: text for name, text in records(model, at).items() if not name.startswith("notice/")}
            for at in (there, here)
        )
        assert decided == expected
        assert any(name.startswith("promotion/") for name in decided)
