"""The model store on an MLflow database of its own: versions by attempt, and the alias with its promotion."""

import pytest
from mlflow.entities import LoggedModelOutput

from evergreen.config.locations import Locations
from evergreen.errors import ModelIncompatible, Outage
from evergreen.records import PromotionRecord
from evergreen.storage.model_store import ModelStore
from evergreen.storage.tracking import answered
from tests.short_loop import lay_registry


@pytest.fixture
def store(tmp_path):
    at = Locations.under(tmp_path)
    lay_registry(at)
    return ModelStore(at.tracking_uri, at.artifacts, "dev", "taxi")


def register(store, attempt):
    """A version of a model without files."""
    model = store._client.create_logged_model(store._experiment, name="model")
    tags = {"evergreen.model_uri": f"models:/{model.model_id}"}
    run = store._client.create_run(store._experiment, tags=tags).info.run_id
    return store.create_version(run, attempt, {"evergreen.code": attempt}, "as *told*")


def test_a_version_is_found_by_its_attempt(store):
    versions = [register(store, attempt) for attempt in ("2024-01-03.0", "2024-01-05.0")]
    assert versions == [1, 2]
    assert [store.find_version(attempt) for attempt in ("2024-01-03.0", "2024-01-05.0", "2024-01-04.0")] == [1, 2, None]
    assert store.version_tags(2)["evergreen.code"] == "2024-01-05.0"
    # A killed process may have registered one before: the first is meant, and stays alone.
    assert register(store, "2024-01-03.0") == store.find_version("2024-01-03.0") == 1
    assert [store.has_version(version) for version in (1, 2, 3)] == [True, True, False]


def test_of_an_attempts_runs_the_one_that_was_finished_first_is_meant(store):
    def run(status, ended):
        tags = {"evergreen.attempt": "2024-01-03.0", "evergreen.role": "challenger"}
        made = store._client.create_run(store._experiment, tags=tags).info.run_id
        store._client.set_terminated(made, status, end_time=ended)
        return made

    run("KILLED", 1_000)
    assert store.find_run("2024-01-03.0", "challenger") is None
    later, first = run("FINISHED", 3_000), run("FINISHED", 2_000)
    assert later != store.find_run("2024-01-03.0", "challenger") == first
    assert store.find_run("2024-01-03.0", "champion") is None


def test_the_alias_names_a_version_and_the_promotion_by_which_it_does(store):
    assert store.champion() == (None, 0)
    register(store, "2024-01-03.0"), register(store, "2024-01-05.0")
    assert store.champion() == (None, 0)
    store.move_alias(2, 1)
    assert store.champion() == (2, 1)
    store.move_alias(1, 2)
    assert store.champion() == (1, 2)


def test_a_version_that_is_not_there_is_told_by_its_number(store):
    register(store, "2024-01-03.0")
    assert (store.has_version(1), store.has_version(2)) == (True, False)
    promotion = PromotionRecord(
        as_of="2024-01-05", number=4, version=2, attempt="2024-01-05.0", code="c", data="d",
        trained_on=("2024-01-01", "2024-01-05"), effective_from="2024-01-06", error=1.0,
    )  # fmt: skip
    with pytest.raises(ModelIncompatible, match=r"has no version 2 of dev\.taxi"):
        store.load_promoted(promotion)


def test_a_call_that_was_made_again_because_its_answer_was_lost_is_an_outage(store):
    run = store._client.create_run(store._experiment).info.run_id
    model = store._client.create_logged_model(store._experiment, name="model")
    outputs = [LoggedModelOutput(model.model_id, step=0)]
    store._client.log_outputs(run, outputs)
    with pytest.raises(Outage, match="UNIQUE constraint failed"), answered(store._client.tracking_uri):
        store._client.log_outputs(run, outputs)
