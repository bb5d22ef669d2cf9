"""State that was altered, cut or lost: the next step and `evergreen status` say which model, which file, what to do."""

import hashlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner

from evergreen.cli import cli
from evergreen.config.locations import Locations
from evergreen.config.model_folder import load_model_folder
from evergreen.errors import EvergreenError, ModelIncompatible, RecordUnreadable, Refused
from evergreen.incidents import last_incident
from evergreen.records import ClaimRecord, PromotionRecord
from evergreen.replay.runner import Runner
from evergreen.steps.check_drift import check_drift
from evergreen.steps.rollback_model import plan_rollback, rollback_model
from evergreen.steps.score_batch import score_batch
from evergreen.storage.stores import Stores, open_stores
from tests.unit.small_loop import SmallLoop, day, doubled

_ADDRESSES = {
    "experiments": "artifact_location",
    "runs": "artifact_uri",
    "logged_models": "artifact_location",
}


@pytest.fixture(scope="module")
def run_once(tmp_path_factory) -> Path:
    """The home of a loop that has run for three days: the baseline, then versions of the recipe."""
    home = tmp_path_factory.mktemp("run") / "home"
    loop = SmallLoop.under(home)
    loop.run(doubled, 1, 2, 3)
    assert len(loop.promotions) > 1
    return home


@pytest.fixture
def loop(run_once, tmp_path, monkeypatch) -> SmallLoop:
    """A copy of it, in which the fourth day has arrived and is not scored yet."""
    home = tmp_path / "home"
    shutil.copytree(run_once, home)
    with sqlite3.connect(home / "mlflow.db") as database:
        for table, column in _ADDRESSES.items():
            database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(run_once), str(home)))
    return at_home(home, monkeypatch)


def at_home(home: Path, monkeypatch) -> SmallLoop:
    """The loop in a folder, as a new process finds it."""
    monkeypatch.setenv("EVERGREEN_HOME", str(home))
    monkeypatch.setenv("EVERGREEN_MODELS", str(home / "models"))
    open_stores.cache_clear()
    return SmallLoop(load_model_folder(home / "models" / "small"), Locations.under(home))


def go_on(loop: SmallLoop, number: int = 4) -> None:
    """The next day's run."""
    loop.land(number, doubled)
    Runner(loop.model, loop.at, sinks=()).run_batch(day(number))


def refused(loop: SmallLoop, kind: type[EvergreenError], *told: str, number: int = 4) -> str:
    """What the next day's run is refused with."""
    with pytest.raises(kind) as error:
        go_on(loop, number)
    assert isinstance(error.value, Refused)
    for text in told:
        assert text in str(error.value), f"{text!r} is not in {error.value}"
    return str(error.value)


def status() -> str:
    """What `evergreen status` prints, without the breaks of its lines."""
    result = CliRunner().invoke(cli, ["status", "small"])
    said = str(result.exception) if result.exception is not None else ""
    return " ".join((result.output + said).split())


def packed_folder(loop: SmallLoop) -> Path:
    """Where the champion's files lie."""
    champion = loop.promotions[-1]
    [folder] = [
        path.parent
        for path in Path(loop.at.lake).parent.glob("mlflow/**/packed/features.py")
        if hash_of(path.parent / "estimator.skops") == champion.hashes["estimator.skops"]
    ]
    return folder


def hash_of(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_nothing_is_refused_where_nothing_is_damaged(loop):
    go_on(loop)
    assert loop.stores.ledger.get(ClaimRecord, day(4)).version == 2
    assert "cannot" not in status()


RAN = "import pathlib\n\npathlib.Path(__file__).with_name('ran').touch()\n"


def alter(folder: Path) -> None:
    (folder / "features.py").write_text(RAN + "def build_features(batch, history):\n    return batch[['x']] * 98\n")


def trust_more(folder: Path) -> None:
    spec = json.loads((folder / "spec.json").read_text())
    (folder / "spec.json").write_text(json.dumps(spec | {"trusted_types": ["os.system"]}))


def add(folder: Path) -> None:
    (folder / "sitecustomize.py").write_text(RAN)


def lose(folder: Path) -> None:
    (folder / "reference.json").unlink()


def cut(folder: Path) -> None:
    content = (folder / "estimator.skops").read_bytes()
    (folder / "estimator.skops").write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (alter, "features.py has SHA-256"),
        (trust_more, "spec.json has SHA-256"),
        (add, "sitecustomize.py is there, and was not packed"),
        (lose, "reference.json is missing"),
        (cut, "estimator.skops has SHA-256"),
        (shutil.rmtree, "it has no files at"),
    ],
)
def test_a_champion_whose_files_are_not_those_on_record_scores_nothing_and_is_told_once(damage, told, loop):
    kept = packed_folder(loop)
    backup = shutil.copytree(kept, kept.parents[3] / "backup")
    damage(kept)
    version = loop.promotions[-1].version
    which = f"model small, version {version} (promotion {version})"
    refused(loop, ModelIncompatible, which, told, "Restore the files", "evergreen rollback")
    refused(loop, ModelIncompatible, which, told, number=5)
    assert not list(kept.parent.glob("**/ran"))
    ledger = loop.stores.ledger
    assert ledger.get(ClaimRecord, day(4)) is None
    incident = last_incident(ledger, "unscored")
    assert (incident.opened.as_of, incident.sightings, incident.resolved) == (day(4), 2, None)
    assert told in incident.opened.text
    said = status()
    assert f"version {version} serves" in said
    assert "it cannot be loaded" in said
    assert told in said
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(backup, kept)
    go_on(loop, 4)
    go_on(loop, 5)
    assert ledger.get(ClaimRecord, day(4)).version == version
    assert last_incident(ledger, "unscored").resolved is not None
    assert "cannot be loaded" not in status()
