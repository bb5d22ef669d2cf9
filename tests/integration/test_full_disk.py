"""A disk that is full is an outage that says so, whoever meets it, and the next try goes on where there is room."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# A disk of this size that this user may mount, in a name space of its own.
_MOUNT = 'mount -t tmpfs -o size=8m none "$0" && exec "$@"'
_WORK = """\
import json, logging, sys, tempfile
from dataclasses import replace
from pathlib import Path

from evergreen.errors import EvergreenError
from evergreen.replay.runner import Runner
from tests.unit.small_loop import SmallLoop, day, doubled

disk, what, *sizes = sys.argv[1:]
disk, ballast = Path(disk), Path(disk) / "ballast"
loop = SmallLoop.under(disk / "home" if what == "home" else disk.with_name("elsewhere"))
if what == "artefacts":
    loop = replace(loop, at=replace(loop.at, artifacts=(disk / "artefacts").as_uri()))
loop.run(doubled, 1, 2)
if what == "scratch":
    # As where it is the only place for them: otherwise Python looks for another by itself.
    tempfile.tempdir = str(disk)


def run():
    try:
        Runner(loop.model, loop.at, sinks=()).run_batch(day(number))
        return None
    except Exception as error:
        return [type(error).__name__, str(error)]


for number, size in enumerate(map(int, sizes), 3):
    loop.land(number, doubled)
    with ballast.open("wb", buffering=0) as filling:
        try:
            while filling.write(bytes(4096)):
                pass
        except OSError:
            pass
    with ballast.open("r+b") as filling:
        filling.truncate(max(ballast.stat().st_size - 1024 * size, 0))
    told = run()
    ballast.unlink()
    print(json.dumps([size, told, run(), len(loop.predictions(number))]))
"""


def work_on_a_small_disk(tmp_path: Path, what: str, *sizes: int) -> list[tuple[int, list[str] | None, None, int]]:
    """Take a batch through the loop for each size (KiB) that is left on the disk, and once more when there is room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    said = [sys.executable, "-c", _WORK, str(disk), what, *map(str, sizes)]
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", _MOUNT, str(disk), *said],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


@pytest.fixture(autouse=True)
def _mounts(tmp_path):
    tried = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", str(tmp_path)]
    try:
        if subprocess.run(tried, capture_output=True).returncode != 0:
            pytest.skip("this user may mount no disk of their own")
    except FileNotFoundError:
        pytest.skip("unshare is not installed")


@pytest.mark.parametrize(("what", "sizes"), [("home", (0, 4, 12, 36, 64)), ("artefacts", (0, 0)), ("scratch", (0, 0))])
def test_whoever_meets_a_full_disk_says_so_in_our_words(tmp_path, what, sizes):
    told = work_on_a_small_disk(tmp_path, what, *sizes)
    met = [one for _, one, _, _ in told if one is not None]
    # Of two days in a row one is trained on, and what is only packed or logged is met there.
    assert len(met) >= len(sizes) / 2
    for kind, text in met:
        assert kind == "Outage", text
        assert "no room left; make some" in text or "there is no room for a model that is packed" in text
    assert [(again, rows) for _, _, again, rows in told] == [(None, 40)] * len(sizes)
