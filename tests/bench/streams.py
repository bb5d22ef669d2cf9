"""The streams on which decisions are measured: four real ones, by folders that `new-model` proposes, and made ones."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from include.config.model_folder import ModelFolder, load_model_folder
from include.demo.stream import DemoStream
from tests.hotel import EXAMPLE as HOTEL
from tests.hotel import prepare

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("EVERGREEN_EXAMPLE_DATA", ROOT.parent / "shared" / "data"))
# By name: the file, what `new-model` is told, and the batches.
_FILES: dict[str, tuple[str, tuple[str, ...], int]] = {
    "bikes": ("bike_hour.csv", ("--key=instant", "--event-time=dteday", "--target=cnt", "--every=week"), 105),
    "electricity": (
        "electricity.csv.gz",
        (
            "--key=row_key", "--event-time=event_time", "--target=class", "--every=week",
            "--keep=vicprice", "--keep=vicdemand", "--keep=transfer",
        ),
        134,
    ),
    "air": (
        "air.csv.gz",
        ("--key=row_key", "--event-time=event_time", "--target=PM2.5", "--every=month", "--drop=PM10"),
        48,
    ),
}  # fmt: skip
_BOOKINGS = "hotel_bookings.csv.gz"
_BATCHES = 60
_MADE: dict[str, dict[str, Any]] = {
    "never changes": {"changed": 0},
    "abrupt": {"changed": 30},
    "gradual": {"changed": 15, "course": "gradual", "period": 60, "slowdown": 2.5},
    "recurring": {"changed": 20, "course": "recurring", "period": 12},
}
_LATE = tuple((delay, 1 / 9) for delay in range(3, 12))


@dataclass(frozen=True)
class Stream:
    """One stream.

    :param name: in words; that of a made one tells what happens in it, and whether its labels are late.
    :param batches: to run.
    :param after: later ones, of which only the labels count.
    :param scored: the first batch that counts, from 0: what comes before is what options were chosen on.
    """

    name: str
    batches: int
    after: int
    scored: int

    def prepare(self, place: Path) -> ModelFolder:
        """Make the model folder and land all files under ``place``/landing."""
        if self.name in _FILES:
            return _from_file(self.name, place)
        if self.name == "hotel":
            prepare(DATA / _BOOKINGS, place / "landing" / "hotel")
            return load_model_folder(HOTEL)
        kind, late = self.name.removesuffix(", late"), self.name.endswith(", late")
        told = _MADE[kind] | ({"delays": _LATE} if late else {"delays": ((0, 1.0),)})
        made = DemoStream(trips=300, batches=self.batches + self.after, broken=(), shifted=(0, 0), seed=3, **told)
        for number in range(1, made.batches + 1):
            made.land(place / "landing" / "taxi", number)
        return _taxi(place)


def find_streams(quick: bool) -> Iterator[Stream]:
    """All streams, those of the real data only where they are there; of the short form one."""
    if quick:
        yield Stream("gradual", 24, 0, 12)
        return
    for name, (file, _, batches) in _FILES.items():
        if (DATA / file).exists():
            yield Stream(name, batches, 0, batches // 3)
    if (DATA / _BOOKINGS).exists():
        yield Stream("hotel", 91, 24, 30)
    for kind in _MADE:
        yield Stream(kind, _BATCHES, 0, 20)
        yield Stream(f"{kind}, late", _BATCHES, 12, 20)


def _from_file(name: str, place: Path) -> ModelFolder:
    """What a new user does: propose a folder, cut the file."""
    file, flags, _ = _FILES[name]
    environment = os.environ | {
        "EVERGREEN_MODELS": str(place / "models"), "EVERGREEN_HOME": str(place), "PYTHONPATH": str(ROOT)
    }  # fmt: skip
    for arguments in (
        ["new-model", name, "--from", str(DATA / file), *flags, "--yes"],
        ["split", name, str(DATA / file)],
    ):
        subprocess.run(
            [sys.executable, "-m", "include.cli", *arguments], env=environment, check=True, stdout=subprocess.DEVNULL
        )
    return load_model_folder(place / "models" / name)


def _taxi(place: Path) -> ModelFolder:
    folder = place / "models" / "taxi"
    shutil.copytree(ROOT / "include" / "models" / "taxi", folder, ignore=shutil.ignore_patterns("__pycache__"))
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["schedule"].pop("end")
    config["labels"]["max_delay"] = 15
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return load_model_folder(folder)
