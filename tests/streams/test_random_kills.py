"""Two drivers at one loop, kills at random moments, and 400 nights with a fault each: what is left equals what one
undisturbed driver leaves.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.random_kills import DAYS, FIRST, KILLS
from tests.soak import FAULTS

ROOT = Path(__file__).parent.parent.parent
NIGHTS = 400


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What happened, and all that each left."""
    return run_program("tests.random_kills", str(tmp_path_factory.mktemp("kills") / "loops"))


def run_program(name: str, *arguments: str, seconds: float = 1200) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", name, *arguments],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=seconds,
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


@pytest.mark.long
def test_400_nights_with_a_fault_each_end_as_undisturbed_ones_do(tmp_path: Path) -> None:
    soaked = run_program("tests.soak", str(tmp_path / "loops"), str(NIGHTS), seconds=7200)
    texts, places = [], [str(tmp_path / "loops" / name) for name in ("alone", "disturbed")]
    for name, place in zip(("alone", "disturbed"), places, strict=True):
        texts.append(json.loads(json.dumps([soaked["ends"][name], soaked["told"][name]]).replace(place, "")))
    (alone, heard), (disturbed, heard_anew) = texts
    assert differing({"ends": {"alone": alone, "disturbed": disturbed}}, "disturbed") == {}
    # Who is killed between telling and noting it tells it again.
    messages = [{json.dumps(message, sort_keys=True) for message in told} for told in (heard, heard_anew)]
    assert messages[0] == messages[1]
    assert len(heard) == len(messages[0])
    assert len(heard_anew) <= len(heard) + soaked["disturbed"]["met"]["killed"] + soaked["disturbed"]["met"]["beside"]
    assert len([key for key in alone if key.startswith("promotion")]) > NIGHTS / 40
    assert set(soaked["disturbed"]["met"]) == set(FAULTS)
    assert soaked["disturbed"]["kills"] > soaked["disturbed"]["met"]["killed"] / 3
    for error in ("refused: Outage", "no landing: LandingAbsent", "disk full: Outage", "server killed: Outage"):
        assert soaked["disturbed"]["seen"][error]
    for name in ("alone", "disturbed"):
        memory, files, connections, _ = zip(*soaked[name]["figures"], strict=True)
        quarter = NIGHTS // 4
        assert max(memory[-quarter:]) < max(memory[quarter : 2 * quarter]) * 1.15, memory[::20]
        assert max(files[-quarter:]) <= max(files[quarter : 2 * quarter]) + 8, files[::20]
        assert max(connections[-quarter:]) <= max(connections[quarter : 2 * quarter]) + 4, connections[::20]
