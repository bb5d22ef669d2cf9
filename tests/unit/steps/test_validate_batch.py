"""Validating a batch: what is told of a fault, and the way to let a sound batch in."""

from pathlib import Path

import pytest

from evergreen.config.model_folder import load_model_folder
from evergreen.incidents import last_incident
from evergreen.sources.intake import take_in
from evergreen.steps.reingest_batch import reingest_batch
from evergreen.steps.validate_batch import validate_batch
from evergreen.storage.stores import open_stores

DAY = "2024-01-01"
HEADER = "id,at,distance,zone\n"
LIMIT = "rows:\n  - expect_column_median_to_be_between: {{column: distance, max_value: {}}}\n"


@pytest.fixture
def land(at):
    def write(model, *rows):
        path = Path(at.landing, model.id, f"trips_{DAY}.csv")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEADER + "".join(rows))
        path.with_suffix(".done").touch()

    return write


def opened(model, at):
    incident = last_incident(open_stores(at, model.id).ledger, "fault-rows")
    return incident.opened.text if incident else ""


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
