"""Commands that look at what was done before: they make nothing, and say where they have looked."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from evergreen.cli import cli, main
from evergreen.config.locations import Locations
from evergreen.errors import Refused
from evergreen.incidents import report
from evergreen.storage.stores import open_stores
from tests.unit.small_loop import SmallLoop, day, doubled

READING = (["status", "small"], ["why", "small", "1"], ["rollback", "small", "--why", "it drifts"])


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """Where a loop has promoted two versions."""
    home = tmp_path_factory.mktemp("lived")
    SmallLoop.begun(home, 3, retrain={"any": ["never"]})
    return home


def call(arguments, lived, **places):
    """What a command says; it is answered with no where it asks."""
    env = {"EVERGREEN_MODELS": str(lived / "models"), **{name: str(place) for name, place in places.items()}}
    return CliRunner(env=env).invoke(cli, arguments, input="n\n")


def below(place):
    return {path: path.read_bytes() if path.is_file() else None for path in Path(place).rglob("*")}


@pytest.mark.parametrize("arguments", [*READING, ["reingest", "small", day(1)]], ids=lambda one: one[0])
def test_without_a_lake_they_say_so_and_make_none(arguments, lived, tmp_path):
    done = call(arguments, lived, EVERGREEN_HOME=tmp_path / "hmoe")
    assert isinstance(done.exception, Refused)
    said = str(done.exception)
    assert f"there is no lake at {tmp_path}/hmoe/lake for EVERGREEN_ENV 'dev'" in said
    assert "EVERGREEN_HOME" in said
    assert "EVERGREEN_LAKE" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", READING, ids=lambda one: one[0])
def test_they_leave_a_lake_as_it_is(arguments, lived):
    before = below(lived)
    registry = f"sqlite:///{lived}/mlflow.db?timeout=5"
    done = call(arguments, lived, EVERGREEN_HOME=lived, MLFLOW_TRACKING_URI=registry)
    assert "version" in done.output
    assert below(lived) == before


@pytest.mark.parametrize("arguments", READING, ids=lambda one: one[0])
def test_beside_a_lake_they_make_no_registry(arguments, lived, tmp_path):
    done = call(arguments, lived, EVERGREEN_HOME=tmp_path / "hmoe", EVERGREEN_LAKE=lived / "lake")
    assert "version" in done.output or f"there is no MLflow database at {tmp_path}/hmoe/mlflow.db" in str(
        done.exception
    )
    assert list(tmp_path.iterdir()) == []


def test_an_incident_is_acknowledged_with_who_and_why_and_once(lived, tmp_path):
    shutil.copytree(lived / "lake", tmp_path / "lake")
    ledger = open_stores(Locations.under(tmp_path), "small").ledger
    report(ledger, "fault-rows", day(3), "rejected [red] \x1b[2J", lost=day(3))
    status = call(["status", "small"], lived, EVERGREEN_HOME=tmp_path).output
    assert rf"fault-rows.0 since {day(3)}, seen once: rejected [red] \x1b[2J" in status
    arguments = ["acknowledge", "small", "fault-rows.0", "--why", "a holiday"]
    assert "fault-rows.0 is over: acknowledged by " in call(arguments, lived, EVERGREEN_HOME=tmp_path).output
    assert "open incidents: none" in call(["status", "small"], lived, EVERGREEN_HOME=tmp_path).output
    # A second word changes nothing of the first.
    again = call([*arguments[:-1], "a strike"], lived, EVERGREEN_HOME=tmp_path).output
    assert "fault-rows.0 is over: acknowledged by " in again
    assert "a holiday" in again
    nonsense = call(["acknowledge", "small", "fault-rows.7", "--why", "x"], lived, EVERGREEN_HOME=tmp_path)
    assert isinstance(nonsense.exception, Refused)


def test_an_incident_may_wait_until_a_day_and_status_says_so_and_where_it_is_told_what_to_do(lived, tmp_path):
    shutil.copytree(lived / "lake", tmp_path / "lake")
    report(open_stores(Locations.under(tmp_path), "small").ledger, "drift", day(3), "drifted")
    arguments = ["acknowledge", "small", "drift.0", "--why", "a new tariff", "--until"]
    said = call([*arguments, "2999-01-01"], lived, EVERGREEN_HOME=tmp_path).output
    assert "drift.0: nothing is told of it until 2999-01-01" in said
    status = call(["status", "small"], lived, EVERGREEN_HOME=tmp_path, EVERGREEN_ALERTS_HTTP="http://x").output
    assert re.search(r"quiet until 2999-01-01, by \S+: a new tariff", status)
    assert "docs/runbook.md#drift" in status
    past = call([*arguments, "2020-01-01"], lived, EVERGREEN_HOME=tmp_path)
    assert isinstance(past.exception, Refused)


def test_why_tells_of_the_challenger_that_waits(lived, tmp_path):
    assert "small: no challenger waits" in call(["why", "small"], lived, EVERGREEN_HOME=lived).output
    gate = {"metric": "mae", "min_rows": 30, "approval": "required"}
    SmallLoop.under(tmp_path, gate=gate).run(doubled, 1, 2)
    told = call(["why", "small"], tmp_path, EVERGREEN_HOME=tmp_path).output
    assert f"small: the challenger of attempt {day(1)}.0, made at batch {day(1)}" in told
    assert "outcome: needs approval: " in told


def test_a_file_that_cannot_be_written_is_named_without_a_traceback(lived, monkeypatch, capsys):
    monkeypatch.setenv("EVERGREEN_HOME", str(lived))
    monkeypatch.setenv("EVERGREEN_MODELS", str(lived / "models"))
    nowhere = f"{lived}/nowhere/v.zip"
    monkeypatch.setattr("sys.argv", ["evergreen", "promote-to", "b", "small", "2", "--why", "a", "--export", nowhere])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "v.zip: cannot be read or written: No such file" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "more", [["--import", "v.zip"], ["--sha256", "00"], ["--import", "v", "--sha256", "0", "--export", "w"]]
)
def test_what_is_carried_into_an_environment_needs_its_hash(more, lived):
    done = call(["promote-to", "production", "small", "2", "--why", "a", *more], lived, EVERGREEN_HOME=lived)
    assert done.exit_code == 2
    assert "say --import FILE --sha256 …, which its export has said" in done.output


def test_a_file_is_not_written_in_place_of_a_folder(lived):
    done = call(["data", "small", "2", "--dvc", str(lived)], lived, EVERGREEN_HOME=lived)
    assert done.exit_code == 2
    assert "is a directory" in done.output


def test_a_command_looks_for_garbage_seldom():
    code = "import gc, sys; from evergreen.cli import main; sys.argv = ['evergreen', '--version']; main(); "
    done = subprocess.run(
        [sys.executable, "-c", f"{code}print(gc.get_threshold())"], check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "(50000, 20, 20)"
