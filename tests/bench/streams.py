"""The streams on which decisions are measured: four real ones, by folders that `new-model` proposes, and made ones."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder, load_model_folder
from evergreen.demo.stream import DemoStream
from evergreen.features.building import call_predict
from evergreen.features.labelled import LabelledRows, gather_features, match_labels
from evergreen.losses import METRICS
from evergreen.records import ClaimRecord
from evergreen.replay.history import History
from evergreen.replay.measured_history import collect_history
from evergreen.replay.runner import Runner, for_replay
from evergreen.storage.packed_model import PackedModel
from evergreen.storage.stores import Stores, open_stores
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
# Batches over which a promotion is looked at again, and over which the worst stretch is looked for.
AHEAD = 4
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


@dataclass(frozen=True)
class Run:
    """A stream that went through the loop, and all its labels."""

    model: ModelFolder
    stores: Stores
    history: History
    labelled: LabelledRows
    names: list[str]

    def losses(self, packed: PackedModel, rows: pd.DataFrame) -> np.ndarray:
        """What a model would have lost on labelled rows (rows,)."""
        config = self.model.config
        assert config.labels is not None
        target = rows[config.labels.column].to_numpy(dtype=float)
        return METRICS[config.gate.metric].row_losses(target, self.predict(packed, rows))

    def predict(self, packed: PackedModel, rows: pd.DataFrame) -> np.ndarray:
        """What a model predicts for labelled rows (rows,)."""
        features, _ = gather_features(
            self.model.config.data_schema, self.stores, packed, replace(self.labelled, rows=rows)
        )
        return call_predict(packed, features, str(rows["batch"].iloc[0]))

    def rows_of(self, batches: list[str]) -> pd.DataFrame:
        """The labelled rows of some batches."""
        return self.labelled.rows[self.labelled.rows["batch"].isin(batches)].reset_index(drop=True)


def find_streams(quick: bool) -> Iterator[Stream]:
    """All streams, those of the real data only where they are there; of the short form one."""
    if quick:
        yield Stream("gradual", 18, 0, 9)
        return
    for name, (file, _, batches) in _FILES.items():
        if (DATA / file).exists():
            yield Stream(name, batches, 0, batches // 3)
    if (DATA / _BOOKINGS).exists():
        yield Stream("hotel", 91, 24, 30)
    for kind in _MADE:
        yield Stream(kind, _BATCHES, 0, 20)
        yield Stream(f"{kind}, late", _BATCHES, 12, 20)


def drive(stream: Stream, place: Path) -> Run:
    """Take a stream through the loop's own runner, and the labels after it in."""
    model = for_replay(stream.prepare(place), None, None, html=False)
    at, calendar = Locations.under(place / "run", landing=str(place / "landing")), model.config.calendar
    names = [calendar.name(i) for i in range(stream.batches + stream.after)]
    runner = Runner(model, at, sinks=())
    for name in names[: stream.batches]:
        runner.run_batch(name)
    for name in names[stream.batches :]:
        runner.take_in(name)
    stores = open_stores(at, model.id)
    history = collect_history(model, at, names[0], names[stream.batches - 1], known_by=names[-1])
    labelled = match_labels(model.config.data_schema, stores, names[0], names[-1])
    claimed = {name for name in names[: stream.batches] if stores.ledger.get(ClaimRecord, name) is not None}
    known = replace(labelled, rows=labelled.rows[labelled.rows["batch"].isin(claimed)].reset_index(drop=True))
    return Run(model, stores, history, known, names)


def _from_file(name: str, place: Path) -> ModelFolder:
    """What a new user does: propose a folder, cut the file."""
    file, flags, _ = _FILES[name]
    environment = os.environ | {
        "EVERGREEN_MODELS": str(place / "models"), "EVERGREEN_HOME": str(place),
        "PYTHONPATH": str(ROOT / "include"),
    }  # fmt: skip
    for arguments in (
        ["new-model", name, "--from", str(DATA / file), *flags, "--yes"],
        ["split", name, str(DATA / file)],
    ):
        subprocess.run(
            [sys.executable, "-m", "evergreen.cli", *arguments], env=environment, check=True, stdout=subprocess.DEVNULL
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
