"""The wheel in an empty environment beside Airflow, used from a folder that knows of no checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.compose_file import ROOT

DAG_FILE = "from airflow_evergreen import build_dags\n\nbuild_dags(globals())\n"
UV = Path(sys.executable).parent / "uv"
LAND = """
from pathlib import Path
from evergreen.demo.stream import DemoStream
DemoStream().land(Path("landing/trips"), 1)
"""
IMPORTS = "import {0}; print({0}.__file__)"


class Machine:
    """Somebody's machine: Airflow, the wheel, a DAG file of three lines and a model folder.

    :param place: holds all of it.
    """

    def __init__(self, place: Path) -> None:
        self.place, self.programs = place, place / "env" / "bin"
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(place), "AIRFLOW_HOME": str(place / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "EVERGREEN_HOME": str(place), "COLUMNS": "200",
        }  # fmt: skip
        build = [str(UV), "build", "--quiet", "--wheel", "--out-dir", str(place / "dist"), str(ROOT)]
        subprocess.run(build, check=True, capture_output=True)
        [self.wheel] = (place / "dist").glob("*.whl")
        subprocess.run([str(UV), "venv", "--quiet", "--python", sys.executable, str(place / "env")], check=True)
        pinned = ["--constraint", str(ROOT / "requirements.txt"), str(self.wheel)]
        self.uv("install", "--quiet", *pinned)
        site = next(place.glob("env/lib/*/site-packages"))
        lend_bytecode(site)
        self.run("python", "-c", LAND)
        packed = site / "evergreen" / "demo" / "models"
        shutil.copytree(packed / "taxi", place / "airflow" / "include" / "models" / "trips")
        (place / "airflow" / "dags").mkdir()
        (place / "airflow" / "dags" / "evergreen.py").write_text(DAG_FILE)

    def uv(self, verb: str, *arguments: str) -> None:
        subprocess.run([str(UV), "pip", verb, *arguments, "--python", str(self.programs / "python")], check=True)

    def run(self, program: str, *arguments: str) -> str:
        """What a program of that environment prints."""
        done = subprocess.run(
            [str(self.programs / program), *arguments],
            cwd=self.place, env=self.environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout


def lend_bytecode(site: Path) -> None:
    """Link what is compiled here to the same files there: Python looks at their times, and compiles what differs."""
    ours = Path(sysconfig.get_path("purelib"))
    for compiled in ours.rglob("__pycache__"):
        there = site / compiled.relative_to(ours)
        if there.parent.is_dir() and not there.exists():
            there.symlink_to(compiled)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    place = tmp_path_factory.mktemp("machine")
    yield Machine(place)
    shutil.rmtree(place / "env")


def test_it_brings_both_packages_the_licence_and_its_version(machine: Machine) -> None:
    for package in ("evergreen", "airflow_evergreen"):
        found = machine.run("python", "-c", IMPORTS.format(package)).strip()
        assert Path(found).is_relative_to(machine.place / "env")
        assert (Path(found).parent / "py.typed").exists()
    [licence] = machine.place.glob("env/lib/*/site-packages/airflow_provider_evergreen-*/licenses/LICENSE")
    assert "Apache License" in licence.read_text()
    assert machine.run("evergreen", "--version") == f"evergreen, version {machine.wheel.name.split('-')[1]}\n"


def test_a_dag_file_of_three_lines_takes_a_batch_in(machine: Machine) -> None:
    machine.run("airflow", "db", "migrate")
    machine.run("airflow", "dags", "reserialize")
    listed = machine.run("airflow", "dags", "list", "--output", "plain")
    dags = {line.split()[0] for line in listed.splitlines() if "evergreen.py" in line}
    kinds = ("batch", "drift", "retrain", "rollback", "reingest", "acknowledge", "rescore", "reproduce", "forget")
    assert dags == {"evergreen__watch", *(f"trips__{kind}" for kind in kinds)}
    said = machine.run("airflow", "dags", "test", "trips__batch", "2024-01-02T07:00:00+00:00")
    assert "state=success" in said
    told = machine.run("evergreen", "status", "trips")
    assert "last batch 2024-01-01: not scored: no champion yet" in told


def test_airflow_knows_the_provider_and_its_plugin(machine: Machine) -> None:
    code = (
        "from airflow.providers_manager import ProvidersManager as P; from airflow.plugins_manager import _get_plugins;"
        "print(P().providers['airflow-provider-evergreen'].version, P().hooks['mlflow'].hook_name,"
        "*[one.name for one in _get_plugins()[0] if one.name == 'evergreen'], _get_plugins()[1])"
    )
    said = machine.run("python", "-c", code).splitlines()[-1]
    assert said == f"{machine.wheel.name.split('-')[1]} MLflow evergreen {{}}"


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ("reports", "from evergreen.checks.html import render_drift as f; f(None, None, [], set(), 0)"),
        ("slack", "from airflow_evergreen.hooks.slack_sink import SlackSink as S; S('x')._post_to_webhook(None)"),
        ("amazon", "from airflow_evergreen.hooks.source import Source as S; S('s3://raw/x', conn_id='x')._list()"),
    ],
    ids=["reports", "slack", "amazon"],
)
def test_what_only_some_need_is_asked_for_in_words(machine: Machine, extra: str, code: str) -> None:
    told = f"try:\n    exec({code!r})\nexcept Exception as error:\n    print(type(error).__name__, error)"
    said = machine.run("python", "-W", "ignore", "-c", told).splitlines()[-1]
    assert said.startswith("ExtraMissing ")
    assert said.endswith(f"which is not installed; pip install 'airflow-provider-evergreen[{extra}]'")
