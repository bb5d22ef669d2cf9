"""The spec of a packed model: written once, read by every later release."""

import json
import threading
from datetime import timedelta

import pytest
import yaml

from evergreen.config.contract import ModelConfig
from evergreen.config.model_spec import ModelSpec
from evergreen.errors import ModelIncompatible
from evergreen.storage.loading import load_packed
from evergreen.storage.packed_model import read_files, read_spec, write_spec
from tests.unit.conftest import CONFIG


def spec(columns=()):
    parsed = yaml.safe_load(CONFIG)
    parsed["rows"]["columns"] |= dict(columns)
    made = ModelSpec.of("taxi", ModelConfig.model_validate(parsed), 12)
    return made.model_copy(update={"features": ("a", "b"), "constant": 1.5, "left_out": 3})


def test_a_spec_is_read_as_it_was_written(tmp_path):
    made = spec({"tip": {"type": "float", "default": None, "renamed_from": "gratuity"}})
    write_spec(tmp_path, made)
    found = read_spec(tmp_path, read_files(tmp_path))
    assert found == made
    assert found.columns["tip"].has_default
    assert not found.columns["distance"].has_default
    assert json.loads((tmp_path / "spec.json").read_text())["schema_number"] == 1


@pytest.mark.parametrize("lost", ["rowwise", "window", "max_delay", "key", "columns", "target", "event_time", "metric"])
def test_what_a_spec_does_not_tell_is_not_made_up(lost, tmp_path):
    write_spec(tmp_path, spec())
    told = {name: value for name, value in json.loads((tmp_path / "spec.json").read_text()).items() if name != lost}
    (tmp_path / "spec.json").write_text(json.dumps(told))
    with pytest.raises(ModelIncompatible, match=rf"spec\.json cannot be read by this release: {lost}\. .*retrain"):
        read_spec(tmp_path, read_files(tmp_path))


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff"])
def test_a_damaged_spec_is_refused_in_words(content, tmp_path):
    (tmp_path / "spec.json").write_bytes(content)
    with pytest.raises(ModelIncompatible, match=r"spec\.json cannot be read by this release: .*It is damaged"):
        read_spec(tmp_path, read_files(tmp_path))


def test_a_spec_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ModelIncompatible, match=r"spec\.json is missing.*retrain the model, restore its files"):
        read_spec(tmp_path, read_files(tmp_path))


def test_the_spec_of_a_newer_release_is_refused_in_words(tmp_path):
    write_spec(tmp_path, spec())
    newer = json.loads((tmp_path / "spec.json").read_text()) | {"schema_number": 2}
    (tmp_path / "spec.json").write_text(json.dumps(newer))
    with pytest.raises(ModelIncompatible, match=r"schema_number\. It is damaged, or a newer release packed it"):
        read_spec(tmp_path, read_files(tmp_path))


def test_a_versions_code_is_opened_where_its_time_limit_holds_though_a_server_is_asked_in_a_thread(
    tmp_path, monkeypatch
):
    write_spec(tmp_path, spec().model_copy(update={"time_limit": timedelta(seconds=1)}))
    for name, text in {"features.py": "while True:\n    pass\n", "estimator.py": "", "estimator.skops": ""}.items():
        (tmp_path / name).write_text(text)
    asking = []

    def hand_over(*_):
        asking.append(threading.current_thread())
        return tmp_path, read_files(tmp_path)

    monkeypatch.setattr("evergreen.storage.loading._fetch", hand_over)
    with pytest.raises(ModelIncompatible, match=r"features\.py .*ran for longer than 1 second"):
        load_packed("http://127.0.0.1:9", "m-1", "model taxi, version 1", frozenset())
    assert asking != [threading.main_thread()]
