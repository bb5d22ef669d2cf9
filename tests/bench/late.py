"""Streams whose labels come late in different ways, and the loop driven over them."""

import functools
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import yaml

from include.config.locations import Locations
from include.config.model_folder import ModelFolder, load_model_folder
from include.demo.stream import DemoStream
from include.features.labelled import LabelledRows, gather_features
from include.features.reading import published, read_keys
from include.judging.champion import predict_labelled
from include.judging.losses import row_losses
from include.records import PromotionRecord
from include.replay.runner import Runner, for_replay, replay
from include.storage.packed_model import PackedModel
from include.storage.stores import Stores, open_stores
from tests.bench.maturity import Past
from tests.hotel import EXAMPLE as HOTEL
from tests.hotel import prepare

ROOT = Path(__file__).parents[2]
TAXI = ROOT / "include" / "models" / "taxi"
BOOKINGS = Path(os.environ.get("EVERGREEN_EXAMPLE_DATA", ROOT.parent / "shared" / "data")) / "hotel_bookings.csv.gz"
WEEK = ((3, 0.2), (6, 0.3), (8, 0.3), (12, 0.2))
MONTH = ((14, 0.2), (26, 0.3), (34, 0.3), (46, 0.2))
# By this week the hotels have their first version.
FIRST_VERSION = 27
# A trip takes so much longer from the concept change on.
SLOWDOWN = 1.3


@dataclass(frozen=True)
class LongTripsLast(DemoStream):
    """The stream with informative lateness: of a day's labels the longest trips' come last."""

    @functools.lru_cache(maxsize=256)  # noqa: B019 - as in the stream itself
    def _trips(self, number: int) -> pd.DataFrame:
        trips = super()._trips(number)
        rank = trips["trip_minutes"].rank(method="first").astype(int) - 1
        return trips.assign(delay=np.sort(trips["delay"].to_numpy())[rank])


@dataclass(frozen=True)
class Cell:
    """One way in which labels come.

    :param name: as the table calls it.
    :param stream: the plan; its concept change is the known one.
    """

    name: str
    stream: DemoStream


def plan(changed: int, batches: int, **ways: Any) -> DemoStream:
    """A stream of 300 trips a day with one abrupt change and nothing else but its usual dirt."""
    options = {"trips": 300, "broken": (), "shifted": (0, 0), "slowdown": SLOWDOWN, **ways}
    return DemoStream(changed=changed, batches=batches, **options)


CELLS = (
    Cell("the same day", plan(46, 66, delays=((0, 1.0),))),
    Cell("after 7 days", plan(46, 80, delays=WEEK)),
    Cell("after 30 days", plan(92, 148, delays=MONTH)),
    Cell("after 7, from day 60 on 30 days", plan(92, 148, delays=WEEK, later=(60, MONTH))),
    Cell("after 30, from day 80 on 7 days", plan(92, 130, delays=MONTH, later=(80, WEEK))),
    Cell("once in 28 days, all at once", plan(98, 150, delays=((0, 1.0),), bulk=28)),
    Cell("after 30 days, long trips last", LongTripsLast(**vars(plan(92, 148, delays=MONTH)))),
    Cell(
        "after 7, from day 60 on 30 days, long trips last",
        LongTripsLast(**vars(plan(92, 148, delays=WEEK, later=(60, MONTH)))),
    ),
)


def taxi(folder: Path, stream: DemoStream, policy: str | None) -> ModelFolder:
    """The taxi model with the loop's defaults, but for what does not matter here and how long labels are waited for.

    :param policy: None for the default one.
    """
    path = folder / "models" / "taxi"
    shutil.copytree(TAXI, path, ignore=shutil.ignore_patterns("__pycache__"))
    config = yaml.safe_load((path / "config.yaml").read_text(encoding="utf-8"))
    config["schedule"].pop("end")
    ways = (*stream.delays, *(stream.later[1] if stream.later else ()))
    config["labels"]["max_delay"] = max(1, max(days for days, _ in ways) + stream.bulk - 1)
    config |= {
        "training": {"min_labels": 1000},
        "gate": {"metric": "mae"},
        "check": {"html": "never", "ignore": list(config["rows"]["columns"])},
        "retrain": {"any": [policy]} if policy else {},
    }
    (path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return load_model_folder(path)


@dataclass(frozen=True)
class Drive:
    """A loop that has run, and all labels that there ever are.

    :param labels: (labels, key + target + known) with the number of the batch, from 0, whose feed brings each.
    :param batches: how many ran.
    """

    model: ModelFolder
    at: Locations
    labels: pd.DataFrame
    batches: int

    @property
    def stores(self) -> Stores:
        return open_stores(self.at, self.model.id)

    @property
    def promotions(self) -> list[PromotionRecord]:
        return list(self.stores.ledger.all(PromotionRecord, "champion"))

    def label_all(self) -> LabelledRows:
        """Every clean row with its label, also those that come after the end."""
        config, calendar = self.model.config, self.model.config.calendar
        span = [calendar.name(i) for i in range(self.batches)]
        clean = published(self.stores, "rows", span, span[-1], config.rows.columns)
        key = list(config.rows.key)
        keys = read_keys(config, self.stores, clean).drop_duplicates(key, keep="first")
        rows = keys.merge(self.labels, on=key)
        # A label that was there before its row counts with the row.
        rows["known"] = np.maximum(rows["known"], rows["batch"].map(calendar.index))
        return LabelledRows(rows.sort_values(["batch", *key]).reset_index(drop=True), 0, tuple(clean))

    def past_of(self, promotion: PromotionRecord) -> tuple[Past, pd.DataFrame, PackedModel]:
        """What a version would have lost on every row, and the features of the rows."""
        config, calendar = self.model.config, self.model.config.calendar
        labelled = self.label_all()
        assert config.labels != "none"
        target = labelled.rows[config.labels.column].to_numpy(dtype=float)
        predicted = predict_labelled(config, self.stores, promotion, labelled)
        packed = self.stores.models.load_version(promotion.version)
        features, _ = gather_features(config, self.stores, packed, labelled)
        rows = pd.DataFrame(
            {
                "batch": labelled.rows["batch"].map(calendar.index).to_numpy(),
                "known": labelled.rows["known"].to_numpy(),
                "target": target,
                "champion": predicted,
                "loss": row_losses(config.gate.metric, target, predicted),
            }
        )
        clean = read_keys(config, self.stores, list(labelled.partitions))["batch"].map(calendar.index)
        counts = np.bincount(clean, minlength=self.batches)
        return Past(rows, counts, getattr(config.labels, "max_delay", 0)), features, packed


def drive_stream(folder: Path, stream: DemoStream, policy: str | None) -> Drive:
    """Take a stream through the loop, day by day; under ``never`` nothing is checked once there is a champion."""
    model, at = taxi(folder, stream, policy), Locations.under(folder / "home")
    unchecked = without_checks(model)
    for number in range(1, stream.batches + 1):
        stream.land(Path(at.landing) / model.id, number)
        stays = policy == "never" and open_stores(at, model.id).ledger.last(PromotionRecord, "champion") is not None
        Runner(unchecked if stays else model, at, sinks=()).run_batch(model.config.calendar.name(number - 1))
    assert model.config.labels != "none"
    longest = getattr(model.config.labels, "max_delay", 0)
    feeds = [stream.make_labels(number).assign(known=number - 1) for number in range(1, stream.batches + longest + 1)]
    labels = pd.concat([feed for feed in feeds if len(feed)], ignore_index=True)
    return Drive(model, at, labels, stream.batches)


def without_checks(model: ModelFolder) -> ModelFolder:
    """A model that is never checked: what a check would say of a champion that stays can be told afterwards."""
    check = model.config.check.model_copy(update={"every": 10**6})
    return model.replace(model.config.model_copy(update={"check": check}))


def seeded(cell: Cell, seed: int) -> DemoStream:
    """A cell's stream with other random draws."""
    return replace(cell.stream, seed=seed)


def drive_hotel(folder: Path, last: str) -> Drive:
    """Take two years of bookings through the loop under their first champion."""
    model, at = for_replay(load_model_folder(HOTEL), None, "never", html=False), Locations.under(folder)
    check = model.config.check.model_copy(update={"ignore": tuple(model.config.rows.columns)})
    model = model.replace(model.config.model_copy(update={"check": check}))
    landing = Path(at.landing) / model.id
    prepare(BOOKINGS, landing)
    calendar = model.config.calendar
    first = calendar.name(FIRST_VERSION)
    replay(model, at, calendar.name(0), first)
    replay(without_checks(model), at, calendar.shift(first, 1), last)
    files = [(file, calendar.index(file.name[7:17])) for file in sorted(landing.glob("labels_*.csv.gz"))]
    labels = pd.concat([pd.read_csv(file).assign(known=week) for file, week in files], ignore_index=True)
    return Drive(model, at, labels, calendar.index(last) + 1)
