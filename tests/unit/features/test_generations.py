"""A version's own contract, read against the one of today."""

import pytest
import yaml

from evergreen.config.contract import ModelConfig
from evergreen.features.generations import contract_of, describe_contract, outgrown, unpredicted, unreadable
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
    contract = describe_contract(config())
    assert unreadable(today, contract) == old_reads
    assert outgrown(today, contract) == new_reads + old_reads


def test_a_version_reads_under_its_own_names_what_was_sealed_under_any():
    contract = describe_contract(renamed())
    today = config(distance=None, kilometres={"type": "float", "renamed_from": ["miles", "distance"]})
    mine = contract_of(today, contract)
    assert list(mine.rows.columns) == ["id", "at", "zone", "miles"]
    assert mine.rows.columns["miles"].renamed_from == ("distance", "kilometres")
    assert outgrown(today, describe_contract(config())) == []


def test_a_name_that_the_version_uses_for_another_column_is_not_taken():
    both = config(other="float")
    today = config(distance=None, other={"type": "float", "renamed_from": "distance"})
    mine = contract_of(today, describe_contract(both))
    assert mine.rows.columns["distance"].renamed_from == ()
    assert outgrown(today, describe_contract(both)) == ["distance (float)"]


def test_a_version_packed_before_contracts_were_kept_whole_has_todays_past():
    contract = {"columns": {"id": "integer", "at": "timestamp", "distance": "float", "zone": "category"}}
    assert outgrown(renamed(), contract) == []
    assert contract_of(renamed(), contract).rows.columns["distance"].renamed_from == ("miles",)


def test_another_target_is_another_generation():
    parsed = yaml.safe_load(CONFIG)
    parsed["labels"]["target"] = {"seconds": "float"}
    assert unpredicted(ModelConfig.model_validate(parsed), describe_contract(config())) == ["seconds (float)"]
    parsed["labels"]["target"] = {"seconds": {"type": "float", "renamed_from": "minutes"}}
    assert unpredicted(ModelConfig.model_validate(parsed), describe_contract(config())) == []


def test_key_and_target_are_the_versions_own():
    parsed = yaml.safe_load(CONFIG)
    parsed["rows"]["key"] = parsed["labels"]["key"] = ["trip"]
    parsed["rows"]["columns"] = {"trip": {"type": "integer", "renamed_from": "id"}} | {
        name: column for name, column in parsed["rows"]["columns"].items() if name != "id"
    }
    parsed["labels"]["target"] = {"seconds": {"type": "float", "renamed_from": "minutes"}}
    mine = contract_of(ModelConfig.model_validate(parsed), describe_contract(config()))
    assert mine.rows.key == ("id",)
    assert mine.label_columns["id"].renamed_from == ("trip",)
    assert mine.labels.target["minutes"].renamed_from == ("seconds",)


def test_a_contract_that_was_taken_stays_as_it_is_when_it_is_taken_again():
    parsed = yaml.safe_load(CONFIG)
    parsed["rows"]["columns"] |= {"fare": "float"}
    parsed["check"]["ignore"] = ["fare", "distance"]
    contract = describe_contract(config())
    mine = contract_of(ModelConfig.model_validate(parsed), contract)
    assert "fare" not in mine.rows.columns
    assert contract_of(mine, contract) == mine
