"""New code must not degrade the model: a changed folder against the one that git has, on the same files."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from include.cli import cli
from include.config.locations import Locations
from include.config.model_folder import load_model_folder
from include.demo.stream import DemoStream
from include.replay.comment import describe_comparison
from include.replay.comparison import Comparison, Side, compare_replays
from include.replay.runner import for_replay, try_replay
from tests.short_loop import SHORT, short_model

STREAM = DemoStream(trips=120, batches=13, broken=(6,), shifted=(0, 0), changed=0)
SPAN = ("2024-01-01", "2024-01-13")
# It bootstraps one version and keeps it: cheap, and the versions differ by the folder alone.
GATE = {"metric": "mae", "holdout": 2, "min_rows": 50, "slices": {"payment_type": {"may_worsen": 0.1}}}
NEVER = {**SHORT, "gate": GATE, "training": {"window": 2, "min_labels": 150}, "retrain": {"any": ["never"]}}
LEAST = '            "distance": batch["trip_distance"].clip(upper=1.5),\n'
LESS = '            "distance": batch["trip_distance"].clip(upper=3),\n'
WHOLE = '            "distance": batch["trip_distance"],\n'


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

    def replay(self, name: str, place: Path) -> Side:
        """Replay the folder as it is now, in this process."""
        model = for_replay(load_model_folder(self.model), SPAN[0], None, html=False)
        side = Side(name, model, Locations.under(place, landing=str(self.landing)), place)
        assert try_replay(side.model, side.at, *SPAN) is None
        return side


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The demo's model with a feature that sees short distances only, committed."""
    root = tmp_path_factory.mktemp("checkout")
    model = short_model(root, **NEVER)
    made = Checkout(root, model.path, tmp_path_factory.mktemp("landing"))
    made.write_features(WHOLE, LESS)
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


def against_base(checkout: Checkout, place: Path, change: Side) -> Comparison:
    """Compare with the replay of the base that the command has left."""
    base = for_replay(load_model_folder(place / "folders" / "taxi"), SPAN[0], None, html=False)
    at = Locations.under(place / "base", landing=str(checkout.landing))
    return compare_replays(Side("HEAD", base, at, place / "base"), change, *SPAN)


def test_a_folder_that_sees_less_of_the_distance_is_worse(checkout: Checkout, degraded: tuple[Result, Path]) -> None:
    done, place = degraded
    print(done.output)
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
    assert "- replayed: 13 batches, 2024-01-01 to 2024-01-13" in comment
    assert "| batches rejected | 1 | 1 |" in comment
    assert re.search(r"\| payment_type=\d \| \d+ \| .* \| [\d.]+% worse: beyond its limit \|", comment)
    for side in ("base", "change"):
        assert (place / side / "report.html").exists()
        assert (place / side / "report.csv").exists()
        assert str(place / side / "report.html") in comment


def test_the_same_folder_is_equal_to_the_last_digit(
    checkout: Checkout, degraded: tuple[Result, Path], tmp_path: Path
) -> None:
    """The base was replayed in a process of its own, this one here."""
    comparison = against_base(checkout, degraded[1], checkout.replay("this change", tmp_path / "same"))
    assert comparison.outcome == "equal"
    assert comparison.changed == ()
    assert comparison.interval is not None
    assert (comparison.interval.lower, comparison.interval.mean, comparison.interval.upper) == (0, 0, 0)
    assert len(comparison.batches) >= 6
    assert "the losses are the same, row by row" in describe_comparison(comparison)


def test_a_folder_that_sees_the_whole_distance_is_better(
    checkout: Checkout, degraded: tuple[Result, Path], tmp_path: Path
) -> None:
    checkout.write_features(LESS, WHOLE)
    try:
        change = checkout.replay("this change", tmp_path / "better")
    finally:
        checkout.restore()
    comparison = against_base(checkout, degraded[1], change)
    print(describe_comparison(comparison))
    assert comparison.outcome == "better"
    assert comparison.interval is not None
    assert comparison.interval.lower > 0
    assert describe_comparison(comparison).startswith("**taxi: better.**")
