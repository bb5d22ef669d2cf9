"""A version's own schema, read against the one of today."""

import pytest
import yaml

from evergreen.config.contract import ModelConfig
from evergreen.config.model_spec import ModelSpec
from evergreen.features.generations import missing_columns, outgrown, sealed_schema, unpredicted
from evergreen.records import BatchRecord
from tests.unit.conftest import CONFIG


def config(**columns):
    """The sound config with other columns; None takes one away."""
    parsed = yaml.safe_load(CONFIG)
    changed = parsed["rows"]["columns"] | columns
    parsed["rows"]["columns"] = {name: column for name, column in changed.items() if column is not None}
    parsed["gate"].pop("slices")
    parsed["check"].pop("ignore")
    return ModelConfig.model_validate(parsed)


def renamed(**options):
    return config(distance=None, miles={"type": "float", "renamed_from": "distance"} | options)


def read(today, made):
    """The schema of a version that was made under one config, under another."""
    return ModelSpec.of("taxi", made, "all").data_schema(today.data_schema)


@pytest.mark.parametrize(
    ("today", "old_reads", "new_reads"),
    [
        (config(), [], []),
        (renamed(), [], []),
        (config(fare={"type": "float", "default": 0}), [], []),
        (config(zone="string"), [], []),
        (config(fare="float"), [], ["fare (float)"]),
        (config(zone=None), ["zone (category)"], []),
        (renamed(type="category"), ["distance (float)"], ["miles (category)"]),
    ],
)
def test_what_maps_is_of_one_generation_and_what_does_not_is_named(today, old_reads, new_reads):
    own = read(today, config())
    assert missing_columns(today.data_schema, own) == old_reads
    assert outgrown(today.data_schema, own) == new_reads + old_reads


def test_a_version_reads_under_its_own_names_what_was_sealed_under_any():
    today = config(distance=None, kilometres={"type": "float", "renamed_from": ["miles", "distance"]})
    mine = read(today, renamed())
    assert list(mine.columns) == ["id", "at", "zone", "miles"]
    assert mine.columns["miles"].renamed_from == ("distance", "kilometres")
    assert mine.name_then("kilometres", today.data_schema) == "miles"
    assert outgrown(today.data_schema, read(today, config())) == []


def test_a_name_that_the_version_uses_for_another_column_is_not_taken():
    both = config(other="float")
    today = config(distance=None, other={"type": "float", "renamed_from": "distance"})
    mine = read(today, both)
    assert mine.columns["distance"].renamed_from == ()
    assert outgrown(today.data_schema, mine) == ["distance (float)"]


def test_a_batch_that_was_sealed_under_other_names_is_told_from_another_generation():
    columns = {"id": "integer", "at": "timestamp", "distance": "float", "zone": "string"}
    rows = BatchRecord(as_of="2024-01-01", feed="rows", revision=0, state="published", columns=columns)
    labels = BatchRecord(
        as_of="2024-01-01", feed="labels", revision=0, state="published", columns={"id": "integer", "minutes": "float"}
    )
    today = renamed().data_schema
    sealed = sealed_schema(today, rows, labels)
    assert outgrown(today, sealed) == []
    assert sealed.columns["distance"].renamed_from == ("miles",)
    assert outgrown(config(fare="float").data_schema, sealed_schema(today, rows, None)) == ["fare (float)"]
    other = labels.model_copy(update={"columns": {"id": "integer", "seconds": "float"}})
    assert outgrown(today, sealed_schema(today, rows, other)) == ["minutes (float)"]


def test_another_target_is_another_generation():
    parsed = yaml.safe_load(CONFIG)
    parsed["labels"]["target"] = {"seconds": "float"}
    today = ModelConfig.model_validate(parsed)
    assert unpredicted(today.data_schema, read(today, config())) == ["seconds (float)"]
    parsed["labels"]["target"] = {"seconds": {"type": "float", "renamed_from": "minutes"}}
    today = ModelConfig.model_validate(parsed)
    assert unpredicted(today.data_schema, read(today, config())) == []


def test_key_event_time_and_target_are_the_versions_own():
    parsed = yaml.safe_load(CONFIG)
    parsed["rows"]["key"] = parsed["labels"]["key"] = ["trip"]
    parsed["rows"]["columns"] = {"trip": {"type": "integer", "renamed_from": "id"}, "ended": "timestamp"} | {
        name: column for name, column in parsed["rows"]["columns"].items() if name != "id"
    }
    parsed["rows"]["event_time"] = "ended"
    parsed["labels"]["target"] = {"seconds": {"type": "float", "renamed_from": "minutes"}}
    parsed["labels"]["max_delay"] = 1
    mine = read(ModelConfig.model_validate(parsed), config())
    assert (mine.key, mine.event_time) == (("id",), "at")
    assert mine.label_columns["id"].renamed_from == ("trip",)
    assert mine.labels.column == "minutes"
    assert mine.labels.type.renamed_from == ("seconds",)
    assert mine.labels.max_delay == config().data_schema.labels.max_delay != 1


def test_a_schema_that_was_read_stays_as_it_is_when_it_is_read_again():
    parsed = yaml.safe_load(CONFIG)
    parsed["rows"]["columns"] |= {"fare": "float"}
    spec = ModelSpec.of("taxi", config(), "all")
    mine = spec.data_schema(ModelConfig.model_validate(parsed).data_schema)
    assert "fare" not in mine.columns
    assert spec.data_schema(mine) == mine
