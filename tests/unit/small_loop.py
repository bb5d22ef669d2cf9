"""A loop of forty rows a day with their labels inside, whose models can be told by hand."""

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from evergreen.config.contract import ModelConfig
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder, load_model_folder
from evergreen.judging.attempts import DueAttempt
from evergreen.records import AttemptRecord, PromotionRecord, SectionVerdict, VerdictRecord
from evergreen.replay.runner import Runner
from evergreen.steps.score_batch import score_batch
from evergreen.storage.stores import Stores, open_stores
from tests.short_loop import copy_run, kept_folder, lay_registry

ROWS = 40
CONFIG = """\
title: Small
schedule: {every: day, start: 2024-01-01}
source: {files: "rows_{batch:%Y-%m-%d}.csv", complete: {marker: "rows_{batch:%Y-%m-%d}.done"}}
rows:
  key: [id]
  event_time: at
  columns: {id: integer, at: timestamp, x: float}
labels: {target: {y: float}}
model: {task: regression, seed: 7}
gate: {metric: mae, min_rows: 30}
check: {window: 2, min_rows: 30, html: never}
retrain: {any: [{every: 1}]}
"""
FEATURES = """\
def build_features(batch, history):
    return batch[["x"]]
"""
ESTIMATOR = """\
from sklearn.linear_model import LinearRegression


def build_estimator(seed):
    return LinearRegression()
"""
LOGISTIC = ESTIMATOR.replace("LinearRegression", "LogisticRegression")
CLASSES = {
    "labels": {"target": {"y": "integer"}},
    "model": {"task": "classification", "seed": 7},
    "gate": {"metric": "logloss", "min_rows": 30},
}
_OK = SectionVerdict(state="ok", why="")
Law = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def doubled(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """What a line can learn."""
    return 10 + 2 * x + random.normal(0, 0.1, len(x))


def turned(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The opposite line."""
    return 10 - 2 * x + random.normal(0, 0.1, len(x))


def unrelated(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """What no feature tells."""
    return random.exponential(3, len(x))


def make_rows(number: int, law: Law) -> pd.DataFrame:
    """A day's rows, of which x has the same values each day."""
    random, x = np.random.default_rng(number), np.linspace(0, 1, ROWS)
    at = pd.Timestamp("2024-01-01") + pd.Timedelta(days=number - 1, hours=12)
    return pd.DataFrame({"id": np.arange(ROWS) + 1000 * number, "at": at, "x": x, "y": law(x, random)})


def day(number: int) -> str:
    """The name of a batch, counted from 1."""
    return f"2024-01-{number:02d}"


@dataclass(frozen=True)
class SmallLoop:
    """The loop at a place of its own."""

    model: ModelFolder
    at: Locations

    @classmethod
    def under(cls, place: Path, features: str = FEATURES, estimator: str = ESTIMATOR, **changes: object) -> "SmallLoop":
        """A new loop; other parts of config.yaml where they are given."""
        folder = place / "models" / "small"
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(yaml.safe_dump(yaml.safe_load(CONFIG) | changes))
        (folder / "features.py").write_text(features)
        (folder / "estimator.py").write_text(estimator)
        lay_registry(Locations.under(place))
        return cls(load_model_folder(folder), Locations.under(place))

    @classmethod
    def begun(cls, place: Path, days: int, **parts: Any) -> "SmallLoop":
        """The loop after its first days, of ``doubled``: run once a process, and copied to a place of its own.

        :param parts: of the loop, as ``under`` takes them.
        """
        copy_run(_begin(days, json.dumps(parts, sort_keys=True)), place)
        return cls(load_model_folder(place / "models" / "small"), Locations.under(place))

    def copied(self, place: Path) -> "SmallLoop":
        """All that it has, at another place."""
        copy_run(Path(self.at.lake).parent, place)
        return replace(self, at=Locations.under(place, self.at.env))

    @property
    def stores(self) -> Stores:
        """Its stores."""
        return open_stores(self.at, self.model.id)

    def using(self, **changes: object) -> "SmallLoop":
        """The same place under other parts of config.yaml."""
        config = self.model.config.model_dump(mode="json", by_alias=True, exclude_unset=True) | changes
        return replace(self, model=self.model.replace(ModelConfig.model_validate(config)))

    def land(self, number: int, law: Law) -> None:
        """Let a day's rows arrive."""
        folder = Path(self.at.landing) / self.model.id
        folder.mkdir(parents=True, exist_ok=True)
        make_rows(number, law).to_csv(folder / f"rows_{day(number)}.csv", index=False)
        (folder / f"rows_{day(number)}.done").touch()

    def run(self, law: Law, *numbers: int) -> None:
        """Let days arrive and take them through the whole loop."""
        for number in numbers:
            self.land(number, law)
            Runner(self.model, self.at, sinks=()).run_batch(day(number))

    def take(self, law: Law, *numbers: int) -> None:
        """Let days arrive, be sealed and claimed, and nothing be checked."""
        for number in numbers:
            self.land(number, law)
            Runner(self.model, self.at, sinks=()).take_in(day(number))
            score_batch(self.model, self.at, day(number))

    def ask(self, number: int, reason: str = "bootstrap") -> DueAttempt:
        """Put a check that asks on record, and what is due for it."""
        previous = self.verdicts[-1].id if self.verdicts else None
        sections = dict.fromkeys(("freshness", "inputs", "predictions", "outcomes"), _OK)
        asks = {"reasons": (reason,), "action": "retrain", "last_ask": f"{day(number)}.0", "previous_ask": previous}
        nobody = {"covers": (day(number),), "promotion": None, "version": None}
        self.stores.ledger.put(VerdictRecord(as_of=day(number), n=0, **sections, **asks, **nobody))
        return self.due(number)

    def due(self, number: int) -> DueAttempt:
        """The attempt of a day's own check."""
        return DueAttempt(f"{day(number)}.0", day(number))

    def attempt(self, verdict: int) -> AttemptRecord:
        """The attempt that the check of a day asked for."""
        record = self.stores.ledger.get(AttemptRecord, f"{day(verdict)}.0")
        assert record is not None
        return record

    @property
    def verdicts(self) -> list[VerdictRecord]:
        """What the checks concluded, oldest first."""
        records = (self.stores.ledger.get(VerdictRecord, day(number)) for number in range(1, 32))
        return [record for record in records if record is not None]

    @property
    def promotions(self) -> list[PromotionRecord]:
        """All promotions, oldest first."""
        return list(self.stores.ledger.all(PromotionRecord, "champion"))

    def predictions(self, number: int) -> pd.DataFrame:
        """What was predicted for a day: id and prediction, by id."""
        rows = self.stores.lake.read_any("predictions", day(number), 0)
        return rows.to_pandas().sort_values("id", ignore_index=True)


@functools.cache
def _begin(days: int, parts: str) -> Path:
    place, given = kept_folder(), json.loads(parts)
    loop = SmallLoop.begun(place, days - 1, **given) if days > 1 else SmallLoop.under(place, **given)
    loop.run(doubled, days)
    return place
