"""The packed model: each version runs its own feature code, whatever else the process has loaded."""

import sys

import pytest

from evergreen.storage.model_from_code import load_module


@pytest.fixture
def code(tmp_path):
    def write(version, text):
        path = tmp_path / version / "features.py"
        path.parent.mkdir()
        path.write_text(text)
        return path

    return write


def test_two_versions_live_in_one_process(code):
    one = load_module(code("one", "def answer():\n    return 1\n"), "features")
    two = load_module(code("two", "def answer():\n    return 2\n"), "features")
    assert (one.answer(), two.answer()) == (1, 2)


def test_the_same_code_is_loaded_once_and_roles_do_not_mix(code):
    text = "loaded = []\n"
    one = load_module(code("one", text), "features")
    assert load_module(code("two", text), "features") is one
    assert load_module(code("three", text), "estimator") is not one


def test_an_edited_file_is_other_code(code):
    path = code("one", "value = 1\n")
    before = load_module(path, "features")
    path.write_text("value = 2\n")
    assert (before.value, load_module(path, "features").value) == (1, 2)


def test_code_that_fails_leaves_nothing_behind(code):
    path = code("one", "value = 1\nraise RuntimeError('half-way')\n")
    before = set(sys.modules)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="half-way"):
            load_module(path, "features")
    assert {name for name in set(sys.modules) - before if name.startswith("evergreen_")} == set()


def test_no_bytecode_is_left_beside_a_model(code):
    path = code("one", "bare = True\n")
    load_module(path, "features")
    assert [file.name for file in path.parent.iterdir()] == ["features.py"]
