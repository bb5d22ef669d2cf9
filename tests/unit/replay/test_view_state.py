"""What is told of feature views: whose they are, who reads them, how new they are; a replay that reads another's."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from evergreen.cli import cli
from evergreen.config.locations import Locations, model_roots, view_roots
from evergreen.config.model_folder import find_model_folders, load_model_folder
from evergreen.config.view_folder import load_views
from evergreen.features.view_values import view_stores
from evergreen.records import ClaimRecord, ValuesRecord
from evergreen.replay.runner import Runner, for_replay, replay
from evergreen.replay.view_state import describe_views, list_views
from evergreen.steps.compute_views import compute_views
from evergreen.storage.stores import open_stores
from tests.short_loop import lay_registry
from tests.unit.small_loop import SmallLoop, day
from tests.unit.views import VIEW_YAML, land, view_loop, write_view


@pytest.fixture
def loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallLoop:
    monkeypatch.setenv("EVERGREEN_HOME", str(tmp_path))
    monkeypatch.setenv("EVERGREEN_FEATURES", str(tmp_path / "features"))
    monkeypatch.setenv("EVERGREEN_MODELS", str(tmp_path / "models"))
    made = view_loop(tmp_path, VIEW_YAML + "owner: team-zones\n")
    config = tmp_path / "models" / "small" / "config.yaml"
    config.write_text(config.read_text() + "features: {views: {zones: 1}}\n")
    return replace(made, model=load_model_folder(config.parent))


def take(loop: SmallLoop, *numbers: int, computed: bool = True) -> None:
    for number in numbers:
        land(loop, number)
        Runner(loop.model, loop.at, sinks=()).take_in(day(number))
        if computed:
            compute_views(loop.model, loop.at, day(number), load_views(loop.model, view_roots(), model_roots()))


def told(loop: SmallLoop) -> str:
    return "\n".join(describe_views(loop.at, find_model_folders(model_roots())))


def test_a_view_is_told_with_its_owner_its_readers_and_its_age(loop: SmallLoop) -> None:
    assert "no view was computed yet" in told(loop)
    take(loop, 1, 2)
    asked = CliRunner().invoke(cli, ["views"])
    assert asked.exit_code == 0, asked.output
    lines = told(loop).splitlines()
    assert asked.output.split() == "\n".join(lines).split()
    assert lines[0] == "view zones version 1: trips, mean_x by zone, from small"
    assert lines[1] == "  owner team-zones; read by small"
    assert lines[2].startswith(f"  computed up to {day(2)}, ")
    assert lines[2].endswith(" UTC, of which the next batch uses 2 days")
    assert lines[3:] == [f"  online: up to {day(2)}"]
    (state,) = list_views(loop.at, find_model_folders(model_roots()))
    assert state.age is not None
    assert 0 <= state.age.total_seconds() < 24 * 3600


def test_what_is_behind_or_too_old_is_said(loop: SmallLoop, tmp_path: Path) -> None:
    take(loop, 1)
    take(loop, 2, computed=False)
    assert f"behind: small is sealed up to {day(2)}; let compute_views run" in told(loop)
    # The folder has gone on: nobody reads the old version, and its owner is not known any more.
    write_view(tmp_path, VIEW_YAML.replace("version: 1", "version: 2"))
    config = loop.model.path / "config.yaml"
    config.write_text(config.read_text().replace("zones: 1", "zones: 2"))
    assert "its folder is gone, or has another version; read by no model that there is" in told(loop)
    assert "computed for nobody any more" in told(loop)


def test_a_value_that_no_later_batch_may_use_is_said_to_be_stale(loop: SmallLoop, tmp_path: Path) -> None:
    write_view(tmp_path, VIEW_YAML.replace("ttl: 2d", "ttl: 30m"))
    take(loop, 1)
    assert "stale: the next batch finds nothing but nulls, for no value is younger than 30 minutes" in told(loop)


def test_a_replay_takes_in_the_rows_of_the_model_whose_view_it_reads(loop: SmallLoop, tmp_path: Path) -> None:
    for number in range(1, 5):
        land(loop, number)
    shutil.copytree(tmp_path / "models" / "small", tmp_path / "models" / "other")
    shutil.copytree(Path(loop.at.landing) / "small", Path(loop.at.landing) / "other")
    config = tmp_path / "models" / "small" / "config.yaml"
    config.write_text(config.read_text().replace("features: {views: {zones: 1}}", ""))
    scratch = Locations.under(tmp_path / "scratch", landing=loop.at.landing)
    lay_registry(scratch)
    other = for_replay(load_model_folder(tmp_path / "models" / "other"), None, None, html=False)
    replay(other, scratch, day(1), day(4))
    ledger = view_stores(open_stores(scratch, "other")).ledger
    assert [ledger.require(ValuesRecord, f"zones.v1.{day(n)}").values > 0 for n in (1, 2, 3, 4)] == [True] * 4
    # Of the other model nothing but its rows was taken in.
    assert open_stores(scratch, "other").ledger.last_batch(ClaimRecord, other.config.calendar) == day(4)
    assert open_stores(scratch, "small").ledger.last_batch(ClaimRecord, other.config.calendar) is None
