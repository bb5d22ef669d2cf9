"""The streams on which policies are compared: what happens in them, and a model folder for each."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml

from include.config.model_folder import ModelFolder, load_model_folder
from include.demo.stream import DemoStream
from include.sources.splitting import split_history
from tests.hotel import prepare

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("EVERGREEN_EXAMPLE_DATA", ROOT.parent / "shared" / "data"))
Variant = Literal["no change", "abrupt", "gradual", "recurring"]
VARIANTS: tuple[Variant, ...] = ("no change", "abrupt", "gradual", "recurring")
# So that the whole fits into an hour.
NEVER_RUN = (
    "recurring changes under late labels; broken batches in gradual and recurring streams; the large model without a "
    "change, under a gradual one, or under late labels"
)
# A batch of the demo stream; at a delay of 30 days labels come 20 to 40 days later.
_TRIPS = 200
_SMALL = "HistGradientBoostingRegressor(loss='absolute_error', max_iter=25, max_leaf_nodes=8, random_state=seed)"
_ESTIMATOR = f'''"""A small model: few and shallow trees."""

from sklearn.ensemble import HistGradientBoostingRegressor


def build_estimator(seed: int) -> HistGradientBoostingRegressor:
    """An unfitted estimator."""
    return {_SMALL}
'''


@dataclass(frozen=True)
class Cell:
    """One stream and one model on it; batches count from 1.

    :param delay: days after which labels come.
    :param broken: share of broken batches.
    :param tuned: the last batch of the prefix that options are chosen on; what the table scores comes after it.
    :param batches: the last batch that is scored.
    """

    variant: Variant | Literal["bikes", "hotel"]
    model: Literal["small", "large", "as shipped"]
    delay: int
    broken: float
    seed: int
    tuned: int
    batches: int

    @property
    def name(self) -> str:
        """The cell in words."""
        if self.model == "as shipped":
            return self.variant
        return f"{self.variant}, {self.model} model, delay {self.delay}, {self.broken:.0%} broken, seed {self.seed}"

    @property
    def is_demo(self) -> bool:
        """Whether the stream is generated, and its truth known."""
        return self.model != "as shipped"

    @property
    def stream(self) -> DemoStream:
        """The stream's plan. In the abrupt one the slowdown ends as suddenly as it began."""
        changed, period = (18, 30) if not self.delay else (62, 200)
        if self.variant == "gradual":
            changed, period = (12, 50) if not self.delay else (50, 50)
        if self.variant == "recurring":
            changed, period = (12, 12) if not self.delay else (50, 35)
        random = np.random.default_rng([self.seed, 7])
        later = np.arange(8, self.batches + 1)
        broken = random.choice(later, round(self.broken * len(later)), replace=False)
        return DemoStream(
            seed=self.seed,
            trips=_TRIPS,
            batches=self.batches + self.known_later,
            broken=tuple(int(number) for number in sorted(broken)),
            shifted=(0, 0),
            changed=0 if self.variant == "no change" else changed,
            slowdown=2.0 if self.variant == "gradual" else 1.6,
            course="gradual" if self.variant == "gradual" else "recurring",
            period=period,
            delays=((0, 1.0),) if not self.delay else tuple((d, 1 / 21) for d in range(20, 41)),
        )

    @property
    def known_later(self) -> int:
        """Batches after the last one, of which the labels count."""
        return 40 if self.delay else 0

    @property
    def changes(self) -> list[tuple[int, int]]:
        """First and last batch of each change that is scored; no policy is told of them."""
        stream, slow = self.stream, [self.stream.slowdown_at(n) for n in range(self.batches + 2)]
        if not stream.changed:
            return []
        if stream.course == "gradual":
            return [(max(stream.changed, self.tuned + 1), min(stream.changed + stream.period, self.batches))]
        return [(n, n) for n in range(self.tuned + 1, self.batches + 1) if slow[n] != slow[n - 1]]

    def prepare(self, place: Path) -> tuple[ModelFolder, list[str], list[str]]:
        """Write the model folder and land all files.

        :returns: the model, the batches to run, and later ones of which the labels count.
        """
        landing = place / "landing" / ("taxi" if self.is_demo else self.variant)
        if self.is_demo:
            model = self._demo_model(place)
            for number in range(1, self.stream.batches + 1):
                self.stream.land(landing, number)
        elif self.variant == "bikes":
            model = load_model_folder(ROOT / "docs" / "examples" / "bikes")
            split_history(model, [DATA / "bike_hour.csv"], landing)
        else:
            model = load_model_folder(ROOT / "docs" / "examples" / "hotel")
            prepare(DATA / "hotel_bookings.csv.gz", landing)
        names = [model.config.calendar.name(i) for i in range(self.batches + self._later)]
        return model, names[: self.batches], names[self.batches :]

    @property
    def _later(self) -> int:
        # The hotel's labels go on for half a year after the last bookings that the data hold whole.
        return self.known_later if self.is_demo else {"bikes": 0, "hotel": 24}[self.variant]

    def _demo_model(self, place: Path) -> ModelFolder:
        folder = place / "models" / "taxi"
        taxi = ROOT / "include" / "models" / "taxi"
        shutil.copytree(taxi, folder, ignore=shutil.ignore_patterns("__pycache__"))
        config: dict[str, Any] = yaml.safe_load((folder / "config.yaml").read_text())
        config["labels"]["max_delay"] = 45 if self.delay else 1
        config["schedule"].pop("end")
        config["training"] = {"window": 6, "min_labels": 600}
        config["retrain"] = {"any": ["decay"], "attempts": 3}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        if self.model == "small":
            (folder / "estimator.py").write_text(_ESTIMATOR)
        return load_model_folder(folder)


def scored_cells(quick: bool) -> Iterator[Cell]:
    """What the table is made of; what matters most comes first."""
    if quick:
        yield Cell("abrupt", "small", 0, 0.0, 1, 30, 58)
        return
    for seed in (1, 2, 3):
        for variant in VARIANTS:
            yield Cell(variant, "small", 0, 0.0, seed, 30, 72)
    if (DATA / "hotel_bookings.csv.gz").exists():
        yield Cell("hotel", "as shipped", 0, 0.0, 0, 26, 91)
    if (DATA / "bike_hour.csv").exists():
        yield Cell("bikes", "as shipped", 0, 0.0, 0, 14, 105)
    for seed in (1, 2, 3):
        for variant in VARIANTS[:3]:
            yield Cell(variant, "small", 30, 0.0, seed, 49, 120)
        for variant in ("abrupt", "recurring"):
            yield Cell(variant, "large", 0, 0.0, seed, 30, 72)
        for variant in ("no change", "abrupt"):
            yield Cell(variant, "small", 0, 0.05, seed, 30, 72)


def tuning_cells(quick: bool) -> list[Cell]:
    """Prefixes that no table scores, on which options are chosen."""
    variants = VARIANTS[1:2] if quick else VARIANTS
    return [Cell(variant, "small", 0, 0.0, 1, 0, 30) for variant in variants]
