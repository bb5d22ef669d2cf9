"""The inputs that a check compares: those the champion knows, less what config.yaml leaves out today."""

import pytest

from include.checks.sections import check_inputs
from include.config.fields import ColumnType
from include.config.locations import Locations
from include.demo.stream import DemoStream
from include.judging.champion import promotion_decided
from include.records import VerdictRecord
from include.steps.check_drift import check_drift
from include.storage.stores import open_stores
from tests.short_loop import fingerprint, run, short_model

SHIFTED = 7
STREAM = DemoStream(trips=200, batches=SHIFTED, broken=(), shifted=(SHIFTED, SHIFTED), changed=0)


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A loop whose last batch has groups of passengers, of which the check warned."""
    home = tmp_path_factory.mktemp("lived")
    model, at = short_model(home, retrain={"any": ["never"]}), Locations.under(home)
    run(model, at, *range(1, SHIFTED + 1), stream=STREAM)
    return model, at


def ignoring(config, *names):
    return config.model_copy(update={"check": config.check.model_copy(update={"ignore": names})})


def compare(config, at, model):
    as_of = config.calendar.name(SHIFTED - 1)
    stores = open_stores(at, model.id)
    return check_inputs(config, stores, [as_of], promotion_decided(stores.ledger, as_of))


def test_a_column_that_is_ignored_since_the_promotion_warns_no_more(lived):
    model, at = lived
    before = compare(model.config, at, model)
    assert (before.state, before.numbers["drifted"]) == ("warn", ["passenger_count"])
    after = compare(ignoring(model.config, *model.config.check.ignore, "passenger_count"), at, model)
    assert after.state == "ok"
    left = {"trip_distance", "payment_type"}
    assert set(after.numbers["columns"]) == {*left, *(f"{name} missing" for name in left)}
    # What is kept of the one answer is not given for the other.
    assert compare(model.config, at, model) == before


def test_a_column_that_the_reference_does_not_describe_is_not_compared(lived):
    model, at = lived
    compared = compare(ignoring(model.config), at, model)
    assert "PULocationID" not in compared.numbers["columns"]
    assert "passenger_count" in compared.numbers["columns"]


def test_what_is_ignored_under_its_new_name_is_so_under_the_name_that_the_champion_knows(lived):
    model, at = lived
    columns = dict(model.config.rows.columns)
    kind = columns.pop("passenger_count").type
    columns["people"] = ColumnType(type=kind, renamed_from=("passenger_count",))
    renamed = model.config.model_copy(update={"rows": model.config.rows.model_copy(update={"columns": columns})})
    assert compare(renamed, at, model).numbers["drifted"] == ["passenger_count"]
    assert compare(ignoring(renamed, "people"), at, model).state == "ok"


def test_a_verdict_that_stands_keeps_what_it_said(lived):
    model, at = lived
    as_of, then = model.config.calendar.name(SHIFTED - 1), fingerprint(model, at)
    edited = model.replace(ignoring(model.config, *model.config.check.ignore, "passenger_count"))
    verdict = check_drift(edited, at, as_of)
    assert verdict == open_stores(at, model.id).ledger.get(VerdictRecord, as_of)
    assert verdict.inputs.numbers["drifted"] == ["passenger_count"]
    assert fingerprint(model, at) == then
