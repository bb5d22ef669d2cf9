"""A model folder as git has it: real checkouts, and what is said where one cannot be had."""

import os
import subprocess

import pytest

from evergreen.errors import NotComparable
from evergreen.replay.diff.base import fetch_base


@pytest.fixture
def git(tmp_path, monkeypatch):
    """A checkout in ``tmp_path``, and its git."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)

    def run(*arguments: str) -> str:
        who = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
        done = subprocess.run(["git", "-C", tmp_path, *who, *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    run("init", "--quiet", "--initial-branch", "main")
    return run


def commit(git) -> str:
    git("add", "--all")
    git("commit", "--quiet", "--allow-empty", "--message", "more")
    return git("rev-parse", "--short", "HEAD")


def test_the_folder_comes_as_it_was_committed(git, write_folder, tmp_path):
    folder = write_folder()
    (folder / "notes").mkdir()
    (folder / "notes" / "why we do it.txt").write_text("because\n")
    # An archive would leave it out.
    (tmp_path / ".gitattributes").write_text("features.py export-ignore\n")
    head = commit(git)
    (folder / "features.py").write_text("def build_features(batch, history):\n    return batch\n")
    (folder / "later.txt").write_text("not committed")
    git("add", "--all")
    before = git("status", "--porcelain")

    base = fetch_base(folder, "main", tmp_path / "into")

    assert (base.name, base.path) == (f"main ({head})", "models/taxi")
    assert base.model is not None
    assert base.model.id == "taxi"
    assert base.model.path == tmp_path / "into" / "taxi"
    assert 'batch[["distance"]]' in base.model.code["features.py"]
    assert (base.model.path / "notes" / "why we do it.txt").read_text() == "because\n"
    assert not (base.model.path / "later.txt").exists()
    # Neither the checkout nor the index has moved.
    assert "return batch\n" in (folder / "features.py").read_text()
    assert git("status", "--porcelain").replace("?? into/", "").strip() == before


def test_earlier_commits_are_named_as_git_names_them(git, write_folder, tmp_path):
    folder = write_folder()
    first = commit(git)
    (folder / "features.py").write_text("def build_features(batch, history):\n    return batch\n")
    commit(git)
    base = fetch_base(folder, "HEAD~1", tmp_path / "into")
    assert base.name == f"HEAD~1 ({first})"
    assert base.model is not None
    assert "distance" in base.model.code["features.py"]


def test_a_folder_that_is_the_checkout_itself(tmp_path, write_folder, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    folder = write_folder()
    for arguments in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=T", "-c", "user.email=t@x", "commit", "-qm", "a"],
    ):
        subprocess.run(["git", "-C", folder, *arguments], check=True)
    base = fetch_base(folder, "HEAD", tmp_path / "into")
    assert base.model is not None
    assert base.model.id == "taxi"


def test_a_folder_that_the_base_does_not_have_is_new(git, write_folder, tmp_path):
    write_folder("other")
    commit(git)
    folder = write_folder()
    assert fetch_base(folder, "HEAD", tmp_path / "into").model is None
    assert not (tmp_path / "into").exists()


@pytest.mark.parametrize("ref", ["nowhere", "--output=x", "main:models", ""])
def test_an_unknown_ref_is_told_with_what_to_do(git, write_folder, tmp_path, ref):
    folder = write_folder()
    commit(git)
    with pytest.raises(NotComparable, match=r"no such commit here; fetch it first .a CI checkout needs fetch-depth: 0"):
        fetch_base(folder, ref, tmp_path / "into")


def test_a_folder_outside_of_git_is_told(write_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    folder = write_folder()
    with pytest.raises(NotComparable, match="taxi is in no git checkout: fatal: not a git repository"):
        fetch_base(folder, "HEAD", tmp_path / "into")


def test_a_base_that_does_not_load_is_told_by_file_and_field(git, write_folder, edit_config, tmp_path):
    folder = write_folder(config=edit_config("metric: mae", "metric: speed"))
    head = commit(git)
    expected = rf"models/taxi does not load as it was at HEAD .{head}.; name a --base at which it does: .*gate\.metric"
    with pytest.raises(NotComparable, match=expected):
        fetch_base(folder, "HEAD", tmp_path / "into")
