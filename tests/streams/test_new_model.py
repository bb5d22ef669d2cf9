"""`evergreen new-model`, `split`, `replay`, as a user types them: each folder goes through the loop without an edit."""

import csv
import gzip
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from evergreen.cli import cli
from evergreen.config.locations import Locations
from evergreen.config.model_folder import load_model_folder
from evergreen.replay.history import History
from evergreen.replay.measured_history import collect_history
from evergreen.replay.runner import for_replay
from evergreen.storage.stores import open_stores
from tests.shapes import SHAPES

ROOT = Path(__file__).parent.parent.parent
DATA = Path(os.environ.get("EVERGREEN_EXAMPLE_DATA", ROOT.parent / "shared" / "data"))


@dataclass(frozen=True)
class Commands:
    """The command line in a place of its own, with nobody at the terminal."""

    folder: Path

    def run(self, *arguments: str) -> str:
        done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    def replay(self, name: str, *arguments: str) -> tuple[History, Locations]:
        place = self.folder / "replay"
        output = self.run("replay", name, "--into", str(place), *arguments)
        model = for_replay(load_model_folder(self.folder / "models" / name), None, None, html=False)
        at = Locations.under(place, landing=str(self.folder / "home" / "landing"))
        span = re.search(r"batches +\d+ \((\S+) to (\S+)\)", output)
        assert span is not None, output
        return collect_history(model, at, span[1], span[2]), at


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    monkeypatch.setenv("EVERGREEN_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("EVERGREEN_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return Commands(tmp_path)


def require_sound(history: History) -> None:
    """No batch was rejected, no row went to quarantine."""
    assert {one.batch: one.rows.reasons for one in history.batches if one.rows.state == "rejected"} == {}
    assert sum(one.rows.quarantined for one in history.batches) == 0


def require_formatted(folder: Path) -> None:
    ruff = [sys.executable, "-m", "ruff"]
    # A model's folder may import what it works with, as pyproject.toml says of include/.
    for arguments in (["check", "--ignore", "TID253"], ["format", "--check"]):
        done = subprocess.run([*ruff, *arguments, "--config", ROOT / "pyproject.toml", folder], capture_output=True)
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


@pytest.mark.parametrize("name", SHAPES)
def test_each_shape_is_replayed_without_an_edit(name: str, commands: Commands, tmp_path: Path) -> None:
    shape = SHAPES[name](tmp_path)
    told = commands.run("new-model", name, "--from", str(shape.file), *shape.flags)
    require_formatted(tmp_path / "models" / name)
    assert f"evergreen split {name} {shape.file}" in told
    commands.run("split", name, str(shape.file))
    # A first version tells that the folder is sound; retraining it every batch would tell no more.
    history, at = commands.replay(name, "--policy", "never")
    require_sound(history)
    if name == "tiny":
        return
    assert [one.number for one in history.promotions][:1] == [1], [one.why for one in history.attempts]
    clean = open_stores(at, name).lake.read_any("clean", history.batches[0].batch, 0)
    assert clean.num_rows == history.batches[0].rows.rows_in
    if name == "wide":
        assert 'shop.type "3"' in clean.column_names
        assert "batch: is a name of our own" in told
    if name == "gaps":
        assert 0 < clean.column("m3").null_count < clean.num_rows
    if name == "zoned":
        # Moments, not wall clocks: the day on which the clocks change has its 24 hours of UTC too.
        assert {one.rows.rows_in for one in history.batches[1:-1]} == {96}


@pytest.mark.skipif(not DATA.exists(), reason=f"{DATA} is not shipped; set EVERGREEN_EXAMPLE_DATA to its folder")
def test_the_rentals_file_becomes_a_model_with_its_leaks_named(commands: Commands) -> None:
    file = str(DATA / "bike_hour.csv")
    flags = ("--key", "instant", "--event-time", "dteday", "--target", "cnt", "--every", "week")
    told = commands.run("new-model", "rentals", "--from", file, *flags)
    assert "6,878 (39.6%) would read as %m-%d-%Y too, 10,501 contradict it" in told
    assert re.findall(r"leak\? +(\w+)", told) == ["casual", "registered"]
    commands.run("split", "rentals", file)
    history, _ = commands.replay("rentals", "--to", "2011-04-02")
    require_sound(history)
    first = history.promotions[0]
    assert (first.baseline, first.effective_from) == (True, "2011-01-08")
    assert not history.promotions[-1].baseline


@pytest.mark.skipif(not DATA.exists(), reason=f"{DATA} is not shipped; set EVERGREEN_EXAMPLE_DATA to its folder")
@pytest.mark.long
def test_the_bookings_file_lacks_a_key_and_a_time_and_says_how_to_mend_it(commands: Commands, tmp_path: Path) -> None:
    flags = ("--target", "is_canceled", "--every", "week", "--yes")
    with pytest.raises(Exception, match="31,994 of 119,390 rows are copies") as refused:
        commands.run("new-model", "hotel", "--from", str(DATA / "hotel_bookings.csv.gz"), *flags)
    assert "--event-time" in str(refused.value)
    script = str(refused.value).partition("\n\n")[2]
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
    mended = tmp_path / "hotel_bookings_mended.csv"
    with gzip.open(DATA / "hotel_bookings.csv.gz", "rt") as before, mended.open() as after:
        old, new = next(csv.DictReader(before)), next(csv.DictReader(after))
        assert {name: new[name] for name in old} == old
    answers = ("--key", "row_id", "--event-time", "event_time", *flags)
    told = commands.run("new-model", "hotel", "--from", str(mended), *answers)
    leaks = ["reservation_status_date", "reservation_status", "assigned_room_type"]
    assert re.findall(r"leak\? +(\w+)", told) == leaks
    commands.run("split", "hotel", str(mended))
    history, _ = commands.replay("hotel", "--to", "2015-10-21")
    require_sound(history)
    assert history.promotions[0].baseline
