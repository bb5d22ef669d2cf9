"""Validating a batch: what is told of a fault, and the way to let a sound batch in."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from evergreen.config.model_folder import load_model_folder
from evergreen.incidents import last_incident, newest_incidents
from evergreen.sources.intake import take_in
from evergreen.steps.reingest_batch import reingest_batch
from evergreen.steps.validate_batch import validate_batch
from evergreen.steps.wait_for_batch import wait_for_batch
from evergreen.storage.stores import open_stores
from tests.unit.conftest import CONFIG

DAY = "2024-01-01"
HEADER = "id,at,distance,zone\n"
BROKEN = "x\n"
LATER = datetime(2024, 3, 1, tzinfo=UTC)
LIMIT = "rows:\n  - expect_column_median_to_be_between: {{column: distance, max_value: {}}}\n"


@pytest.fixture
def land(at):
    def write(model, *rows):
        path = Path(at.landing, model.id, f"trips_{DAY}.csv")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEADER + "".join(rows))
        path.with_suffix(".done").touch()

    return write


def sound(batch):
    """A row that no other batch has."""
    return f"{int(batch[-2:])},{batch} 09:00,2.5,a\n"


def take(model, at, batch, *rows, feed="rows", header=HEADER):
    """Land a batch's file, or declare it missing where no row is given, and validate it."""
    path = Path(at.landing, model.id, f"{'trips' if feed == 'rows' else 'labels'}_{batch}.csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not rows:
        assert wait_for_batch(model, at, batch, LATER, None, feed).state == "missing"
        return
    path.write_text(header + "".join(rows))
    path.with_suffix(".done").touch()
    take_in(model, at, feed, batch)
    validate_batch(model, at, batch, feed)


def open_incidents(model, at):
    found = newest_incidents(open_stores(at, model.id).ledger)
    return {one.opened.id: one.lost for one in found if one.resolved is None}


def opened(model, at):
    incident = last_incident(open_stores(at, model.id).ledger, "fault-rows")
    return incident.opened.told if incident else ""


def test_a_last_row_that_lacks_fields_is_told_of_though_the_batch_is_published(at, write_folder, land):
    model = load_model_folder(write_folder())
    land(model, *(f"{i},2024-01-01 09:00,1,a\n" for i in range(30)), "30,2024-01-01\n")
    take_in(model, at, "rows", DAY)
    assert validate_batch(model, at, DAY).state == "published"
    assert f"trips_{DAY}.csv: batch: whole file: row 31, the last one, has 2 fields where" in opened(model, at)


def test_a_rejection_names_the_line_that_lets_the_batch_in(at, write_folder, land):
    strict = load_model_folder(write_folder(expectations=LIMIT.format(2)))
    land(strict, "1,2024-01-01 09:00,2.5,a\n", "2,2024-01-01 09:00,3.5,a\n")
    take_in(strict, at, "rows", DAY)
    assert validate_batch(strict, at, DAY).state == "rejected"
    told = opened(strict, at)
    assert "if this is right, say so in expectations.yaml: max_value: 3 or more, or severity: info to note it" in told
    assert told.endswith(f"then: evergreen reingest taxi {DAY}")
    (strict.path / "expectations.yaml").write_text(LIMIT.format(3))
    assert reingest_batch(load_model_folder(strict.path), at, DAY, "rows", None).after.state == "published"


def test_a_later_sound_batch_does_not_hide_one_that_was_lost(at, write_folder):
    model = load_model_folder(write_folder())
    take(model, at, DAY, BROKEN)
    for day in ("02", "03"):
        take(model, at, f"2024-01-{day}", sound(f"2024-01-{day}"))
    assert open_incidents(model, at) == {"fault-rows.0": (DAY,)}
    take(model, at, "2024-01-04", BROKEN)
    assert open_incidents(model, at) == {"fault-rows.0": (DAY, "2024-01-04")}
    assert last_incident(open_stores(at, model.id).ledger, "fault-rows").seen.anew
    for day in (DAY, "2024-01-04"):
        Path(at.landing, model.id, f"trips_{day}.csv").write_text(HEADER + sound(day))
        reingest_batch(model, at, day)
    assert open_incidents(model, at) == {}


def test_several_missing_batches_are_one_incident_until_each_has_come(at, write_folder):
    """One comes as a late file of a later batch, the other is taken in again."""
    model = load_model_folder(write_folder())
    for day in (DAY, "2024-01-02"):
        take(model, at, day)
    take(model, at, "2024-01-03", sound("2024-01-03"))
    assert open_incidents(model, at) == {"stale-rows.0": (DAY, "2024-01-02")}
    Path(at.landing, model.id, f"trips_{DAY}.csv").write_text(HEADER + sound(DAY))
    take(model, at, "2024-01-04", sound("2024-01-04"))
    assert open_incidents(model, at) == {"stale-rows.0": (DAY, "2024-01-02")}
    path = Path(at.landing, model.id, "trips_2024-01-02.csv")
    path.write_text(HEADER + sound("2024-01-02"))
    path.with_suffix(".done").touch()
    reingest_batch(model, at, "2024-01-02")
    assert open_incidents(model, at) == {}


def test_a_batch_that_was_published_in_spite_of_its_fault_has_lost_nothing(at, write_folder):
    model = load_model_folder(write_folder())
    take(model, at, DAY, *(f"{i},2024-01-01 09:00,1,a\n" for i in range(30)), "30,2024-01-01\n")
    assert open_incidents(model, at) == {"fault-rows.0": ()}
    take(model, at, "2024-01-02", sound("2024-01-02"))
    assert open_incidents(model, at) == {}


def test_labels_inside_sound_rows_are_told_of_when_they_are_rejected(at, write_folder):
    begin, end = CONFIG.index("labels:\n"), CONFIG.index("features: ")
    config = f"{CONFIG[:begin]}labels: {{target: {{minutes: float}}}}\n{CONFIG[end:]}"
    model = load_model_folder(write_folder(config=config))
    take(model, at, DAY, "1,2024-01-01 09:00,2.5,a,quick\n", header="id,at,distance,zone,minutes\n")
    assert validate_batch(model, at, DAY, "labels").state == "rejected"
    assert open_incidents(model, at) == {"fault-labels.0": (DAY,)}
    told = last_incident(open_stores(at, model.id).ledger, "fault-labels").opened.told
    assert told.endswith(f"evergreen reingest taxi {DAY}")
