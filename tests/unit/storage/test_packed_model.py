"""The spec of a packed model: written once, read by every later release."""

import json

import pytest
import yaml

from evergreen.config.contract import ModelConfig
from evergreen.config.model_spec import ModelSpec
from evergreen.errors import ModelIncompatible
from evergreen.storage.packed_model import read_spec, write_spec
from tests.unit.conftest import CONFIG

# As it was written before the first release.
UNNUMBERED = {
    "model": "taxi", "task": "regression", "lookback": 2, "rowwise": False, "trusted_types": [], "seed": 7,
    "window": "all", "max_delay": 9, "key": ["id"],
    "columns": {"id": "integer", "at": "timestamp", "distance": "float"},
    "declared": {
        "id": {"type": "integer", "format": None}, "at": {"type": "timestamp", "format": None},
        "distance": {"type": "float", "format": None, "renamed_from": ["miles"], "default": None},
    },
    "target": {"minutes": {"type": "float", "format": None}},
    "features": ["distance"], "constant": 4.5, "left_out": 0,
}  # fmt: skip


def spec(columns=()):
    parsed = yaml.safe_load(CONFIG)
    parsed["rows"]["columns"] |= dict(columns)
    made = ModelSpec.of("taxi", ModelConfig.model_validate(parsed), 12)
    return made.model_copy(update={"features": ("a", "b"), "constant": 1.5, "left_out": 3})


def test_a_spec_is_read_as_it_was_written(tmp_path):
    made = spec({"tip": {"type": "float", "default": None, "renamed_from": "gratuity"}})
    write_spec(tmp_path, made)
    found = read_spec(tmp_path)
    assert found == made
    assert found.columns["tip"].has_default
    assert not found.columns["distance"].has_default
    assert json.loads((tmp_path / "spec.json").read_text())["schema_number"] == 1


def test_a_model_that_was_packed_before_specs_had_a_number_is_read(tmp_path):
    (tmp_path / "contract.json").write_text(json.dumps(UNNUMBERED))
    found = read_spec(tmp_path)
    assert (found.lookback, found.window, found.max_delay, found.key) == (2, "all", 9, ("id",))
    assert (found.features, found.constant, found.event_time) == (("distance",), 4.5, None)
    assert found.metric == "mae"
    assert found.columns["distance"].renamed_from == ("miles",)
    assert found.data_schema(ModelConfig.model_validate(yaml.safe_load(CONFIG)).data_schema).event_time == "at"


def test_labels_inside_the_rows_had_no_delay(tmp_path):
    (tmp_path / "contract.json").write_text(json.dumps(UNNUMBERED | {"max_delay": None}))
    assert read_spec(tmp_path).max_delay == 0


@pytest.mark.parametrize("lost", ["rowwise", "window", "max_delay", "key", "declared", "target"])
def test_what_a_model_packed_earlier_does_not_tell_is_not_made_up(lost, tmp_path):
    told = {name: value for name, value in UNNUMBERED.items() if name != lost}
    (tmp_path / "contract.json").write_text(json.dumps(told))
    named = "columns" if lost == "declared" else lost
    with pytest.raises(ModelIncompatible, match=rf"model taxi, .*cannot be read by this release: {named}\. .*retrain"):
        read_spec(tmp_path)


def test_the_spec_of_a_newer_release_is_refused_in_words(tmp_path):
    write_spec(tmp_path, spec())
    newer = json.loads((tmp_path / "spec.json").read_text()) | {"schema_number": 2}
    (tmp_path / "spec.json").write_text(json.dumps(newer))
    with pytest.raises(ModelIncompatible, match=r"schema_number\. It was packed by a newer release"):
        read_spec(tmp_path)
