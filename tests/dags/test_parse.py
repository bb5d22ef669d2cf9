"""Every DAG file parses, in a fresh interpreter and without the libraries that cost seconds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.dags.parsing import ROOT

FILES = sorted(path.name for path in (ROOT / "dags").glob("*.py"))
HEAVY = {
    "pandas", "numpy", "pyarrow", "sklearn", "scipy", "skops", "river", "mlflow", "great_expectations", "evidently",
    "deltalake", "include.steps", "include.models",
}  # fmt: skip
SETTINGS = ROOT / "plugins" / "airflow_local_settings.py"
_PROBE = """
import gc, runpy, sys
kept = runpy.run_path(sys.argv[1])
from airflow.sdk import DAG
print("dags:", *sorted(one.dag_id for one in gc.get_objects() if isinstance(one, DAG)))
print("modules:", *sorted(sys.modules))
"""


@pytest.mark.parametrize("file", FILES)
def test_a_dag_file_is_read_without_heavy_libraries(file):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'plugins'}"}
    command = [sys.executable, "-W", "ignore", "-c", _PROBE, f"dags/{file}"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines() if line.startswith(("dags: ", "modules: ")))
    dag_id = "evergreen__watch" if file == "watch.py" else f"taxi__{Path(file).stem}"
    assert said["dags"] == dag_id
    loaded = set(said["modules"].split())
    assert "evergreen.folders" in loaded
    assert not {name for name in HEAVY if name in loaded}


def test_the_files_are_those_that_have_a_test():
    tested = {path.name.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
    assert set(FILES) <= tested


def test_plugins_are_read_without_heavy_libraries_too():
    code = "import sys, evergreen_plugin; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'plugins'}"}
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())


@pytest.mark.parametrize(
    ("file", "code", "refused"),
    [
        ("dags/x.py", "import pandas", True),
        ("plugins/evergreen/x.py", "from include.steps.train_model import train_model", True),
        ("plugins/evergreen/x.py", "def f() -> None:\n    import mlflow\n\n    mlflow.log()\n", False),
        ("include/x.py", "import pandas", False),
        ("docs/examples/dags/x.py", "import pandas", False),
        ("plugins/airflow_local_settings.py", "import include.steps.train_model", True),
        ("plugins/airflow_local_settings.py", SETTINGS.read_text(), False),
    ],
)
def test_the_linter_keeps_it_so(file, code, refused):
    command = [sys.executable, "-m", "ruff", "check", "--select", "TID253", "--stdin-filename", file, "-"]
    done = subprocess.run(command, cwd=ROOT, input=code, capture_output=True, text=True, check=False)
    assert ("TID253" in done.stdout) is refused, done.stdout + done.stderr
