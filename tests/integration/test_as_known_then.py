"""As known then: what arrives after T, and when the clock stands, change nothing of T."""

import random
import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.demo.stream import DemoStream
from evergreen.records import ClaimRecord, PromotionRecord, VerdictRecord
from evergreen.replay.runner import Runner
from evergreen.steps.check_drift import check_drift
from evergreen.steps.ingest_batch import ingest_batch
from evergreen.steps.score_batch import score_batch
from evergreen.steps.validate_batch import validate_batch
from evergreen.storage.stores import open_stores
from tests.short_loop import STREAM, begun, fingerprint, land, records, run, short_model, tables, take_labels

LAST = 12


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelFolder, Locations]:
    """A finished short loop: bootstrapped, a batch rejected, a concept change answered."""
    home = tmp_path_factory.mktemp("loop")
    model, at = begun(home, 6)
    run(model, at, *range(7, LAST + 1))
    promoted = list(open_stores(at, model.id).ledger.all(PromotionRecord, "champion"))
    assert len(promoted) >= 2, "the short stream must hold a promotion beyond the first"
    return model, at


def poison(model: ModelFolder, at: Locations, number: int) -> None:
    """Garbage for a later batch: rows a thousand times too long, labels of another unit, files cut in half."""
    folder = Path(at.landing) / model.id
    land(model, at, number)
    day = model.config.calendar.name(number - 1)
    rows = pd.read_csv(folder / f"green_{day}.csv.gz", dtype=str)
    rows.assign(trip_distance="31.5", PULocationID="7").to_csv(folder / f"green_{day}.csv.gz", index=False)
    labels = pd.read_csv(folder / f"labels_{day}.csv")
    labels.assign(trip_minutes=111.0).to_csv(folder / f"labels_{day}.csv", index=False)


@pytest.mark.parametrize("upto", [6, 9])
def test_what_arrives_after_a_batch_leaves_its_bytes(
    loop: tuple[ModelFolder, Locations], tmp_path: Path, upto: int
) -> None:
    """A run with garbage after T, landed from the start, equals the run in which T was the end."""
    model, at = loop
    poisoned = Locations.under(tmp_path)
    land(model, poisoned, *range(1, upto + 1))
    for number in range(upto + 1, LAST + 1):
        poison(model, poisoned, number)
    runner = Runner(model, poisoned, sinks=())
    for number in range(1, LAST + 1):
        runner.run_batch(model.config.calendar.name(number - 1))
    last = model.config.calendar.name(upto - 1)
    assert tables(model, poisoned, last) == tables(model, at, last)
    assert records(model, poisoned, last) == records(model, at, last)
    assert tables(model, poisoned) != tables(model, at), "the poison must have been strong enough to show"


def test_deleting_all_that_came_later_leaves_a_batch_as_it_is(
    loop: tuple[ModelFolder, Locations], tmp_path: Path
) -> None:
    model, at = loop
    short = Locations.under(tmp_path)
    run(model, short, *range(1, 9))
    last = model.config.calendar.name(7)
    assert tables(model, short) == tables(model, at, last)
    assert records(model, short, last) == records(model, at, last)


def test_a_batch_run_three_times_and_ten_in_any_order_change_nothing(loop: tuple[ModelFolder, Locations]) -> None:
    model, at = loop
    before = fingerprint(model, at)
    batches = [model.config.calendar.name(i) for i in range(LAST)]
    again = [batches[5]] * 3 + random.Random(3).sample(batches, 10)
    for batch in again:
        ingest_batch(model, at, batch)
        validate_batch(model, at, batch)
        score_batch(model, at, batch)
        take_labels(model, at, batch)
        check_drift(model, at, batch)
        Runner(model, at, sinks=()).retrain()
    assert fingerprint(model, at) == before


def test_predictions_that_were_lost_come_back_by_the_version_of_their_time(
    loop: tuple[ModelFolder, Locations], tmp_path: Path
) -> None:
    """Version 2 serves; a batch of version 1 whose predictions are gone is scored by version 1 again."""
    model, at = loop
    before = tables(model, at)
    ledger = open_stores(at, model.id).ledger
    batch = next(
        b for b in model.config.calendar.between("2024-01-05", "2024-01-12")
        if (claim := ledger.get(ClaimRecord, b)) is not None and claim.version == 1
    )  # fmt: skip
    from deltalake import DeltaTable

    kept = tmp_path / "kept"
    table = open_stores(at, model.id).lake.table_uri("predictions")
    shutil.copytree(table, kept)
    DeltaTable(table).delete(f"batch = '{batch}'")
    assert f"predictions/{batch}" not in tables(model, at)
    score_batch(model, at, batch)
    assert tables(model, at) == before


def test_a_check_of_an_old_batch_asks_for_nothing(tmp_path: Path) -> None:
    """Checks left out and made up for later give their verdict and move nothing live."""
    model, at = begun(tmp_path, 6)
    ledger = open_stores(at, model.id).ledger
    land(model, at, 7, 8, 9)
    for number in (7, 8, 9):
        batch = model.config.calendar.name(number - 1)
        for step in (ingest_batch, validate_batch, score_batch, take_labels):
            step(model, at, batch)
    newest = check_drift(model, at, model.config.calendar.name(8))
    assert newest.action == "retrain", newest.outcomes.why
    late = check_drift(model, at, model.config.calendar.name(7))
    assert late.outcomes.state == "bad"
    assert late.action == "none"
    assert ledger.get(VerdictRecord, newest.as_of) == newest


@pytest.mark.parametrize("year", [2019, 2031])
def test_history_of_another_year_gives_the_same_decisions(
    loop: tuple[ModelFolder, Locations], tmp_path: Path, year: int
) -> None:
    """Only the dates differ; 2019 and 2031 are no leap years either, and the stream knows days by number alone."""
    _, at = loop
    model = short_model(tmp_path, schedule={"every": "day", "start": date(year, 1, 1), "cron": "0 2 * * *"})
    other = Locations.under(tmp_path)
    stream = DemoStream(**{**STREAM.__dict__, "start": datetime(year, 1, 1, tzinfo=UTC)})
    run(model, other, *range(1, LAST + 1), stream=stream)
    decided = {
        key.replace(str(year), "2024"): value.replace(f"{year}-", "2024-")
        for key, value in records(model, other).items()
        if key.startswith(("promotion", "closing"))
    }
    here = {key: value for key, value in records(loop[0], at).items() if key.startswith(("promotion", "closing"))}
    assert len(here) >= 4
    assert _without_data(decided) == _without_data(here)


def _without_data(decided: dict[str, str]) -> dict[str, str]:
    """Data versions hash the dates themselves."""
    import json

    return {
        key: json.dumps({k: v for k, v in json.loads(value).items() if k not in ("data", "why")})
        for key, value in decided.items()
    }
