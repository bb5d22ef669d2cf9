"""Two drivers at one loop, and kills at random moments: what is left equals what one undisturbed driver leaves."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.random_kills import DAYS, FIRST, KILLS

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What happened, and all that each left."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.random_kills", str(tmp_path_factory.mktemp("kills") / "loops")],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=1200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    # Shown beside what fails: what the drivers met.
    print(done.stderr[-20_000:])
    return json.loads(done.stdout.splitlines()[-1])


def differing(told: Any, name: str) -> dict[str, Any]:
    alone, other = told["ends"]["alone"], told["ends"][name]
    return {key: (alone.get(key), other.get(key)) for key in {*alone, *other} if alone.get(key) != other.get(key)}


def test_the_loop_promotes_and_each_attempt_is_trained_and_registered_once(told: Any) -> None:
    alone = told["ends"]["alone"]
    runs = alone["runs"]
    assert all(run.endswith("FINISHED") for run in runs)
    assert len(set(runs)) == len(runs) > DAYS / 2
    assert sum(key.startswith("version") for key in alone) == sum(key.startswith("promotion") for key in alone) > 2


def test_two_drivers_from_the_first_start_on_leave_what_one_leaves(told: Any) -> None:
    assert told["outcome"]["together"] == {"exits": [0, 0], "leases": []}
    assert differing(told, "together") == {}


def test_killed_forty_times_it_ends_where_an_undisturbed_one_does(told: Any) -> None:
    killed = told["outcome"]["killed"]
    assert killed["kills"] == KILLS
    assert killed["halves"] == FIRST, "MLflow's database must have been in the making"
    assert len(set(killed["days"])) > 2, "the kills must have come all along the loop"
    assert differing(told, "killed") == {}
