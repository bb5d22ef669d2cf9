"""Commands that look at what was done before: they make nothing, and say where they have looked."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from evergreen.cli import cli
from evergreen.errors import Refused
from tests.unit.small_loop import SmallLoop, day, doubled

READING = (["status", "small"], ["why", "small", "1"], ["rollback", "small", "--why", "it drifts"])


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """Where a loop has promoted two versions."""
    home = tmp_path_factory.mktemp("lived")
    SmallLoop.under(home, retrain={"any": ["never"]}).run(doubled, 1, 2, 3)
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
    done = call(arguments, lived, EVERGREEN_HOME=lived)
    assert "version" in done.output
    assert below(lived) == before


@pytest.mark.parametrize("arguments", READING, ids=lambda one: one[0])
def test_beside_a_lake_they_make_no_registry(arguments, lived, tmp_path):
    done = call(arguments, lived, EVERGREEN_HOME=tmp_path / "hmoe", EVERGREEN_LAKE=lived / "lake")
    assert "version" in done.output or f"there is no MLflow database at {tmp_path}/hmoe/mlflow.db" in str(
        done.exception
    )
    assert list(tmp_path.iterdir()) == []
