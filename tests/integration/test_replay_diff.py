"""New code must not degrade the model: a changed folder against the one that git has, on the same files."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from evergreen.cli import cli, main
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder, load_model_folder
from evergreen.demo.stream import DemoStream
from evergreen.replay.diff.base import fetch_base
from evergreen.replay.diff.comment import describe_comparison
from evergreen.replay.diff.comparison import Side, compare_replays
from evergreen.replay.runner import for_replay, try_replay
from tests.short_loop import SHORT, short_model

STREAM = DemoStream(trips=120, batches=11, broken=(6,), shifted=(0, 0), changed=0)
SPAN = ("2024-01-01", "2024-01-11")
# It bootstraps one version and keeps it: cheap, and the versions differ by the folder alone.
GATE = {"metric": "mae", "min_rows": 50, "slices": {"payment_type": {"may_worsen": 0.1}}}
NEVER = {**SHORT, "gate": GATE, "training": {"window": 3, "min_labels": 150}, "retrain": {"any": ["never"]}}
LEAST = '            "distance": batch["trip_distance"].clip(upper=1.5),\n'
LESS = '            "distance": batch["trip_distance"].clip(upper=3),\n'
SEEN = '            "distance": batch["trip_distance"],\n'


def git(folder: Path, *arguments: str) -> str:
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    done = subprocess.run(
        ["git", "-C", folder, *identity, *arguments], capture_output=True, text=True, check=True, env=os.environ | own
    )
    return done.stdout.strip()


@dataclass
class Checkout:
    """A checkout whose last commit holds the model as it was, and the files that have landed."""

    root: Path
    model: Path
    landing: Path

    def write_features(self, old: str, new: str) -> None:
        text = (self.model / "features.py").read_text()
        assert text.count(old) == 1
        (self.model / "features.py").write_text(text.replace(old, new))

    def restore(self) -> None:
        git(self.root, "checkout", "--quiet", "--", ".")

    def diff(self, *arguments: str) -> Result:
        env = {"EVERGREEN_MODELS": str(self.model.parent)}
        done = CliRunner(env=env).invoke(cli, ["replay-diff", "taxi", "--landing", str(self.landing), *arguments])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.output
        return done


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The demo's model with a feature that sees short distances only, committed."""
    root = tmp_path_factory.mktemp("checkout")
    model = short_model(root, **NEVER)
    made = Checkout(root, model.path, tmp_path_factory.mktemp("landing"))
    made.write_features(SEEN, LESS)
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "The model as it was")
    for number in range(1, STREAM.batches + 1):
        STREAM.land(made.landing / "taxi", number)
    return made


@pytest.fixture(scope="module")
def degraded(checkout: Checkout, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    """What the command says of a folder that hardly sees the distance any more; its place, with both replays."""
    place = tmp_path_factory.mktemp("degraded") / "place"
    checkout.write_features(LESS, LEAST)
    done = checkout.diff("--base", "HEAD", "--into", str(place), "--markdown", str(place.parent / "comment.md"))
    checkout.restore()
    return done, place


def side_of(model: ModelFolder, checkout: Checkout, place: Path) -> Side:
    at = Locations.under(place, landing=str(checkout.landing))
    return Side("this change", for_replay(model, SPAN[0], None, html=False), at, place)


def test_a_folder_that_sees_less_of_the_distance_is_worse(checkout: Checkout, degraded: tuple[Result, Path]) -> None:
    done, place = degraded
    assert done.exit_code == 1, done.output
    head = git(checkout.root, "rev-parse", "--short", "HEAD")
    comment = (place.parent / "comment.md").read_text()
    assert done.stdout == comment
    found = re.match(
        r"\*\*taxi: worse\.\*\* mae ([\d.]+) instead of ([\d.]+): [\d.]+% worse, 95% interval .* worse\.", comment
    )
    assert found is not None, comment
    assert float(found[1]) > 1.1 * float(found[2])
    assert f"| | HEAD ({head}) | this change |" in comment
    assert "- changed: features.py\n" in comment
    assert "- replayed: 11 batches, 2024-01-01 to 2024-01-11" in comment
    assert "| batches rejected | 1 | 1 |" in comment
    assert re.search(r"\| payment\\_type=\d \| \d+ \| .* \| [\d.]+% worse: beyond its limit \|", comment)
    for side in ("base", "change"):
        assert (place / side / "report.html").exists()
        assert (place / side / "report.csv").exists()
        assert str(place / side / "report.html") in comment


def test_the_same_folder_is_equal_to_the_last_digit(
    checkout: Checkout, degraded: tuple[Result, Path], tmp_path: Path
) -> None:
    """The base was replayed in a process of its own, this one here."""
    change = side_of(load_model_folder(checkout.model), checkout, tmp_path)
    assert try_replay(change.model, change.at, *SPAN) is None
    base = side_of(load_model_folder(degraded[1] / "folders" / "taxi"), checkout, degraded[1] / "base")
    comparison = compare_replays(base, change, *SPAN)
    assert comparison.outcome == "equal"
    assert comparison.changed == ()
    assert comparison.interval is not None
    assert (comparison.interval.lower, comparison.interval.mean, comparison.interval.upper) == (0, 0, 0)
    assert len(comparison.batches) >= 5
    assert "the losses are the same, row by row" in describe_comparison(comparison)
    # Columns that are only told of have to be read as well.
    gate = change.model.config.gate.model_copy(update={"slices": {}, "sensitive": ("payment_type",)})
    told = replace(change, model=change.model.replace(change.model.config.model_copy(update={"gate": gate})))
    assert compare_replays(base, told, *SPAN).outcome == "equal"


def test_a_folder_that_sees_more_of_it_is_better(
    checkout: Checkout, degraded: tuple[Result, Path], tmp_path: Path
) -> None:
    """The other way round, and with one commit more: the ref names the folder that hardly sees the distance."""
    checkout.write_features(LESS, LEAST)
    git(checkout.root, "commit", "--quiet", "--all", "--message", "A feature less")
    checkout.write_features(LEAST, LESS)
    git(checkout.root, "commit", "--quiet", "--all", "--message", "And back")
    before = fetch_base(checkout.model, "HEAD~1", tmp_path)
    assert before.model is not None
    base, change = (
        side_of(before.model, checkout, degraded[1] / "change"),
        side_of(load_model_folder(checkout.model), checkout, degraded[1] / "base"),
    )
    comparison = compare_replays(replace(base, name=before.name), change, *SPAN)
    assert comparison.outcome == "better"
    assert comparison.changed == ("features.py",)
    assert comparison.interval is not None
    assert comparison.interval.lower > 0
    assert describe_comparison(comparison).startswith("**taxi: better.** mae 2.")


def test_a_model_that_the_base_does_not_have_is_new(checkout: Checkout) -> None:
    shutil.copytree(checkout.model, checkout.model.parent / "fresh")
    env = {"EVERGREEN_MODELS": str(checkout.model.parent)}
    done = CliRunner(env=env).invoke(cli, ["replay-diff", "fresh", "--base", "HEAD"], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stdout.startswith("**fresh: new.** There is no model folder models/fresh at HEAD (")


def test_what_cannot_be_compared_ends_with_2(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EVERGREEN_MODELS", str(checkout.model.parent))
    monkeypatch.setattr(sys, "argv", ["evergreen", "replay-diff", "taxi", "--base", "nowhere"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "--base nowhere: no such commit here; fetch it first" in capsys.readouterr().out


def test_a_replay_that_breaks_off_is_told_and_not_raised(checkout: Checkout, tmp_path: Path) -> None:
    """Errors do not pass from process to process, and one that nobody foresaw must not end as 1, which means worse."""
    (tmp_path / "file").touch()
    told = try_replay(load_model_folder(checkout.model), Locations.under(tmp_path / "file"), *SPAN)
    assert told is not None
    assert re.match(r"\w+: Not a directory", told)
