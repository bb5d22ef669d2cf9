"""Model folders: one bad folder harms no other, and every file of a folder is checked."""

import pytest

from evergreen.config.model_folder import (
    BrokenFolder,
    ModelFolder,
    find_model_folders,
    get_model_folder,
    load_model_folder,
    parse_policies,
)
from evergreen.config.policies_config import Decay, EveryN, Never
from evergreen.errors import ConfigInvalid, ModelNotFound

FILES = {
    "YAML that does not parse": ("config.yaml", "title: [a\nschedule: b\n", "is not YAML"),
    "a tab for a space": ("config.yaml", "title:\n\tTaxi: trips\n", "is not YAML"),
    "an object of Python's": ("config.yaml", "title: !!python/name:os.system\n", "is not YAML"),
    "an empty file": ("config.yaml", "", "title: missing"),
    "a list": ("config.yaml", "- title\n", "found ['title']"),
    "a text": ("config.yaml", "Taxi trips\n", "found 'Taxi trips'"),
    "expectations that do not parse": ("expectations.yaml", "rows: {", "is not YAML"),
    "expectations of something else": ("expectations.yaml", "columns: []\n", "valid: rows, labels"),
    "features with a syntax error": ("features.py", "def build_features(batch, history)\n    return batch\n", "line 1"),
    "an estimator with a syntax error": ("estimator.py", "x = (\n", "is not Python"),
    "features with a NUL": ("features.py", "x = 1\0\n", "is not Python"),
    "no features": ("features.py", None, "cannot be read: No such file"),
    "no estimator": ("estimator.py", None, "cannot be read: No such file"),
    "no config": ("config.yaml", None, "cannot be read: No such file"),
}


@pytest.mark.parametrize("case", FILES)
def test_each_file_of_a_folder_is_checked_and_named(case, write_folder):
    file, text, told = FILES[case]
    folder = write_folder(**{file.partition(".")[0]: text})
    with pytest.raises(ConfigInvalid) as raised:
        load_model_folder(folder)
    assert raised.value.path == str(folder / file)
    assert told in str(raised.value)


@pytest.mark.parametrize("file", ["config.yaml", "expectations.yaml", "features.py", "estimator.py"])
def test_a_file_that_is_not_utf8_is_named(file, write_folder):
    folder = write_folder()
    (folder / file).write_bytes(b"# \xe9\n")
    with pytest.raises(ConfigInvalid, match=file):
        load_model_folder(folder)


@pytest.mark.parametrize("file", ["config.yaml", "expectations.yaml", "features.py", "estimator.py"])
def test_a_folder_is_read_again_when_one_of_its_files_is_another(file, write_folder):
    folder = write_folder()
    first = load_model_folder(folder)
    assert load_model_folder(folder) is first
    # Of equal size, as an editor puts it in place.
    (folder / "new").write_text((folder / file).read_text())
    (folder / "new").replace(folder / file)
    assert load_model_folder(folder) is not first
    (folder / file).unlink()
    if file != "expectations.yaml":
        with pytest.raises(ConfigInvalid, match="No such file"):
            load_model_folder(folder)


def test_expectations_are_optional(write_folder):
    folder = load_model_folder(write_folder(expectations=None))
    assert folder.expectations.rows == ()
    assert len(load_model_folder(write_folder("other")).expectations.rows) == 1


def test_a_bad_folder_shows_its_reason_and_harms_no_other(write_folder, tmp_path):
    write_folder("a_broken", config="title: [")
    write_folder("b_sound")
    write_folder("c_broken", estimator=None)
    write_folder("d_sound")
    found = find_model_folders([tmp_path / "models"])
    assert {name: type(one) for name, one in found.items()} == {
        "a_broken": BrokenFolder,
        "b_sound": ModelFolder,
        "c_broken": BrokenFolder,
        "d_sound": ModelFolder,
    }
    assert "is not YAML" in str(found["a_broken"].error)
    assert "estimator.py" in str(found["c_broken"].error)


def test_what_is_no_model_folder_is_passed_over(write_folder, tmp_path):
    write_folder()
    (tmp_path / "models" / "__pycache__").mkdir()
    (tmp_path / "models" / "notes.txt").touch()
    assert list(find_model_folders([tmp_path / "models", tmp_path / "nowhere"])) == ["taxi"]


@pytest.mark.parametrize("name", ["taxi trips", "taxi+", "täxi", "t\n", "t" * 201])
def test_a_folders_name_is_refused_where_it_cannot_be_a_name_elsewhere(name, write_folder):
    with pytest.raises(ConfigInvalid, match=r"the folder's name: found .*; valid: letters, digits and _ \. -, 200"):
        load_model_folder(write_folder(name))


@pytest.mark.parametrize("name", ["Taxi-2.0_b", "2", "t" * 200])
def test_other_names_are_taken(name, write_folder):
    assert load_model_folder(write_folder(name)).id == name


def test_of_two_folders_of_one_name_the_first_serves_and_the_other_says_why(write_folder, tmp_path):
    first = write_folder(root=tmp_path / "one")
    second = write_folder(root=tmp_path / "two")
    write_folder("bikes", root=tmp_path / "two")
    roots = [tmp_path / "one", tmp_path / "two"]
    found = find_model_folders(roots)
    assert found["taxi"].path == first
    assert isinstance(found["bikes"], ModelFolder)
    (other,) = [one for one in found.values() if one.path == second]
    assert isinstance(other, BrokenFolder)
    assert str(second / "config.yaml") in str(other.error)
    assert f"already served from {first}" in str(other.error)
    assert get_model_folder("taxi", roots).path == first
    assert get_model_folder("taxi", roots[::-1]).path == second


def test_a_model_that_is_not_there_is_answered_with_those_that_are(write_folder, tmp_path):
    write_folder("taxi")
    write_folder("bikes")
    with pytest.raises(ModelNotFound, match=r"no model folder 'txi' in .*models .*there are: bikes, taxi"):
        get_model_folder("txi", [tmp_path / "models"])
    with pytest.raises(ModelNotFound, match="there are: none"):
        get_model_folder("taxi", [tmp_path / "nowhere"])


def test_the_code_version_follows_what_shapes_the_model_and_nothing_else(write_folder, edit_config):
    version = load_model_folder(write_folder("same")).code_version
    assert load_model_folder(write_folder("again")).code_version == version
    others = {"title": edit_config("Taxi trips", "Other"), "gate": edit_config("min_effect: 2%", "min_effect: 3%")}
    for name, text in others.items():
        assert load_model_folder(write_folder(name, config=text)).code_version == version, name
    shaping = {
        "seed": {"config": edit_config("seed: 7", "seed: 8")},
        "window": {"config": edit_config("window: 12", "window: 11")},
        "columns": {"config": edit_config("zone: category", "zone: string")},
        "lookback": {"config": edit_config("lookback: 0, rowwise: true", "lookback: 1")},
        "code": {"features": "def build_features(batch, history):\n    return batch\n"},
    }
    versions = {name: load_model_folder(write_folder(name, **change)).code_version for name, change in shaping.items()}
    assert len({version, *versions.values()}) == 1 + len(shaping), versions


@pytest.mark.parametrize(
    ("text", "policies"),
    [
        ("decay", (Decay(),)),
        ("decay+every:4", (Decay(), EveryN(n=4))),
        (" decay + every : 4 ", (Decay(), EveryN(n=4))),
        ("decay:5%", (Decay(worse_by=0.05),)),
        ("never+decay", (Never(), Decay())),
    ],
)
def test_policies_of_a_command_line(text, policies):
    assert parse_policies(text).any == policies


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("decai", "any.0: found 'decai'; did you mean decay?"),
        ("drift", "'never', 'every', 'decay'"),
        ("decay+", "any.1: found ''; "),
        ("decay,every:4", "found decay,every:4; valid: policies such as decay:5%+every:4"),
        ("every:1:2", "found every:1:2; valid: policies such as decay:5%+every:4"),
        ("never:5", "any.0: found '5' for never; valid: its options"),
        ("every", "any.0.every.n: missing"),
        ("every:often", "any.0.every.n: found 'often'"),
        ("every:0", "greater than 0"),
        ("decay:lots", "a percentage such as 2%"),
    ],
)
def test_policies_that_are_none_are_refused_naming_what_was_typed(text, told):
    with pytest.raises(ConfigInvalid) as raised:
        parse_policies(text)
    assert f"--policy {text}: " in str(raised.value)
    assert told in str(raised.value)


CRASHING = {
    "a month that is none": ("start: 2024-01-01", "start: 2024-13-01"),
    "a day that is none": ("start: 2024-01-01", "start: 2024-02-30"),
    "a time zone that is a folder": ("America/New_York", "Europe"),
    "a duration beyond all bounds": ("wait: 6h", "wait: 99999999999d"),
    "a number for arguments": None,
    "a number for an expectation": None,
}


@pytest.mark.parametrize("case", CRASHING)
def test_no_text_of_one_folder_takes_another_down(case, write_folder, edit_config, tmp_path):
    expectations = {
        "a number for arguments": "rows:\n  - expect_column_to_exist: 5\n",
        "a number for an expectation": "rows:\n  - {5: x}\n",
    }
    if CRASHING[case]:
        write_folder("broken", config=edit_config(*CRASHING[case]))
    else:
        write_folder("broken", expectations=expectations[case])
    write_folder("sound")
    found = find_model_folders([tmp_path / "models"])
    assert isinstance(found["sound"], ModelFolder)
    assert isinstance(found["broken"], BrokenFolder)
