"""What every test needs before a numeric library or Airflow loads."""

import gc
import os
import shutil
import tempfile
from pathlib import Path

import pytest

# Two processes on two cores, each with one thread: more threads would only spin.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# As the command line does: what libraries leave in memory is not looked through again and again.
gc.set_threshold(50_000, 20, 20)
# No test cuts the power; flushing to the disk would cost the suite minutes. test_objects.py looks at what is flushed.
os.fsync = lambda descriptor: None
# No test may touch what a person has run here.
for name in [
    name for name in os.environ if name.startswith(("AIRFLOW_", "_AIRFLOW_", "EVERGREEN_", "MLFLOW_TRACKING"))
]:
    del os.environ[name]
_AIRFLOW_HOME = tempfile.mkdtemp(prefix="evergreen-airflow-")
_ROOT = Path(__file__).parent.parent
os.environ |= {
    "AIRFLOW_HOME": _AIRFLOW_HOME,
    "AIRFLOW__CORE__DAGS_FOLDER": str(_ROOT / "dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    # What a test starts imports this checkout, whatever is installed.
    "PYTHONPATH": os.pathsep.join(str(_ROOT / folder) for folder in (".", "include", "plugins")),
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_AIRFLOW_HOME}/airflow.db",
}

# Before a test imports Great Expectations or MLflow: they import Spark's client, which would end a worker of
# pytest-xdist without what our package says.
import evergreen  # noqa: E402, F401


@pytest.fixture(autouse=True)
def _patience():
    """What a command or a page has set for its own process, for which somebody waits, holds for no other test."""
    # What it sets as it is imported is part of what there was before.
    from evergreen.storage import SOON

    before = {name: os.environ[name] for name in SOON}
    yield
    os.environ.update(before)


def pytest_unconfigure():
    shutil.rmtree(_AIRFLOW_HOME, ignore_errors=True)


def pytest_collection_modifyitems(items):
    """Begin with what takes longest, and half of the time waits; no process is left with it at the end."""
    first = [("live", "test_loop"), ("live", "test_faults")]
    rooms = ["streams", "live"]

    def rank(item):
        room, file = item.path.parent.name, item.path.stem
        if (room, file) in first:
            return first.index((room, file))
        return len(first) + (rooms.index(room) if room in rooms else len(rooms))

    items.sort(key=rank)
