"""Every DAG file parses, in a fresh interpreter and without the libraries that cost seconds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_evergreen.listeners import TELLS
from tests.dags.parsing import ROOT

FILES = sorted(path.name for path in (ROOT / "dags").glob("*.py"))
HEAVY = {
    "pandas", "numpy", "pyarrow", "sklearn", "scipy", "skops", "river", "mlflow", "great_expectations", "evidently",
    "deltalake", "evergreen.steps", "models",
}  # fmt: skip
PRELOAD = ROOT / "plugins" / "airflow_evergreen" / "preload.py"
# What each interpreter would import first, Airflow itself, is imported once; each file is read by a fork of its own.
_PROBE = """
import gc, json, os, runpy, sys
from airflow.sdk import DAG
for path in sys.argv[1:]:
    if os.fork() == 0:
        kept = runpy.run_path(path)
        dags = sorted(one.dag_id for one in gc.get_objects() if isinstance(one, DAG))
        print(json.dumps([path, dags, sorted(sys.modules)]), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def read():
    """By DAG file, the DAGs that it makes and the modules that are there once it has been read."""
    command = [sys.executable, "-W", "ignore", "-c", _PROBE, *(f"dags/{file}" for file in FILES)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    return {path.removeprefix("dags/"): (dags, set(modules)) for path, dags, modules in said}, done.stderr


@pytest.mark.parametrize("file", FILES)
def test_a_dag_file_is_read_without_heavy_libraries(file, read):
    found, errors = read
    assert file in found, errors
    dags, loaded = found[file]
    # Our own model tries no challenger online.
    assert dags == {"watch.py": ["evergreen__watch"], "arms.py": []}.get(file, [f"taxi__{Path(file).stem}"])
    assert "airflow_evergreen.dags" in loaded
    assert not {name for name in HEAVY if name in loaded}


def test_the_files_are_those_that_have_a_test():
    tested = {path.name.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
    assert set(FILES) <= tested


def test_plugins_are_read_without_heavy_libraries_too():
    code = "import sys, evergreen_plugin; print(*sys.modules)"
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())


@pytest.mark.parametrize(
    ("file", "code", "refused"),
    [
        ("dags/x.py", "import pandas", True),
        ("plugins/airflow_evergreen/x.py", "from evergreen.steps.train_model import train_model", True),
        ("plugins/airflow_evergreen/x.py", "def f() -> None:\n    import mlflow\n\n    mlflow.log()\n", False),
        ("include/evergreen/x.py", "import pandas", False),
        ("docs/examples/dags/x.py", "import pandas", False),
        ("plugins/airflow_evergreen/preload.py", "import evergreen.steps.train_model", True),
        ("plugins/airflow_evergreen/preload.py", PRELOAD.read_text(), False),
    ],
)
def test_the_linter_keeps_it_so(file, code, refused):
    command = [sys.executable, "-m", "ruff", "check", "--select", "TID253", "--stdin-filename", file, "-"]
    done = subprocess.run(command, cwd=ROOT, input=code, capture_output=True, text=True, check=False)
    assert ("TID253" in done.stdout) is refused, done.stdout + done.stderr


def test_each_run_of_a_model_has_a_task_that_says_what_it_came_to(taxi):
    kinds = {dag_id.removeprefix("taxi__"): dag for dag_id, dag in taxi.items() if dag_id.startswith("taxi__")}
    assert set(kinds) == set(TELLS) - {"arms"}
    assert all(TELLS[kind] in dag.task_ids for kind, dag in kinds.items())
