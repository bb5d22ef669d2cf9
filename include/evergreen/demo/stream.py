"""City taxi trips as the TLC's public green-taxi files have them, made up by seed, with the dirt that real feeds have.

What is in the stream, by batch (a day), counted from 1:

- every batch: late rows of the day before, equal copies, impossible values, dates that do not exist;
- labels (trip minutes) in a feed of their own: four fifths the same day, the rest one or three days later;
- 8: the source renames a column;
- 11 to 13: a holiday, groups of passengers: an input shift that does not matter to how long a trip takes;
- 16 and on: roadworks: the same trip takes longer, which no input shows.

Other plans let the roadworks grow or come and go, let labels come later or in bulk, and break more batches: what the
loop's decisions are measured on.
"""

import functools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

_ZONES = 40
_RENAMED = "pickup_location"


@dataclass(frozen=True)
class DemoStream:
    """The stream's plan; batch numbers count from 1, 0 stands for never.

    :param seed: of every random draw.
    :param start: first day.
    :param batches: days in all.
    :param trips: trips a day.
    :param broken: batches with a renamed column.
    :param shifted: first and last batch of the harmless input shift.
    :param changed: first batch of the concept change.
    :param slowdown: how much longer a trip takes from then on.
    :param course: whether it does so at once, ever more over ``period`` batches, or by turns of ``period`` batches.
    :param period: batches.
    :param delays: after how many batches which share of the labels becomes known.
    :param later: the first batch from which other delays hold, and those.
    :param bulk: labels come in every so many batches only, all that are due by then.
    """

    seed: int = 1
    start: datetime = datetime(2024, 1, 1, tzinfo=UTC)
    batches: int = 24
    trips: int = 800
    broken: tuple[int, ...] = (8,)
    shifted: tuple[int, int] = (11, 13)
    changed: int = 16
    slowdown: float = 1.5
    course: Literal["abrupt", "gradual", "recurring"] = "abrupt"
    period: int = 20
    delays: tuple[tuple[int, float], ...] = ((0, 0.8), (1, 0.15), (3, 0.05))
    later: tuple[int, tuple[tuple[int, float], ...]] | None = None
    bulk: int = 1

    def land(self, folder: Path, number: int) -> None:
        """Write one batch's trips and the labels that became known that day, each with its marker.

        :param folder: the model's landing folder.
        :param number: the batch, from 1.
        """
        folder.mkdir(parents=True, exist_ok=True)
        day = self.day(number)
        self.make_rows(number).to_csv(folder / f"green_{day}.csv.gz", index=False, compression=_GZIP)
        self.make_labels(number).to_csv(folder / f"labels_{day}.csv", index=False)
        for name in ("green", "labels"):
            (folder / f"{name}_{day}.done").touch()

    def day(self, number: int) -> str:
        """The name of a batch."""
        return f"{self.start + timedelta(days=number - 1):%Y-%m-%d}"

    def make_rows(self, number: int) -> pd.DataFrame:
        """The file of a batch, as text: on-time trips, late ones of the day before, and dirt."""
        today, before = self._trips(number), self._trips(number - 1)
        rows = pd.concat([today[~today["late"]], before[before["late"]]], ignore_index=True)
        rows = rows.drop(columns=["late", "delay", "trip_minutes"])
        random = np.random.default_rng([self.seed, number, 1])
        copies = rows.iloc[random.choice(len(rows), len(rows) // 100, replace=False)]
        rows = rows.astype(str)
        impossible = random.choice(len(rows), 12, replace=False)
        rows.loc[impossible[:4], "trip_distance"] = "-1.0"
        rows.loc[impossible[4:8], "passenger_count"] = "99"
        rows.loc[impossible[8:10], "lpep_pickup_datetime"] = "2024-02-31 08:00:00"
        rows.loc[impossible[10:], "trip_distance"] = "n/a"
        copied = rows[rows["trip_id"].isin(set(copies["trip_id"]))]
        rows = pd.concat([rows, copied], ignore_index=True)
        return rows.rename(columns={"PULocationID": _RENAMED}) if number in self.broken else rows

    def make_labels(self, number: int) -> pd.DataFrame:
        """The label feed of a batch: trip id and minutes of every trip whose outcome became known that day."""
        if number % self.bulk:
            return self._trips(0)[["trip_id", "trip_minutes"]]
        longest = max(days for days, _ in (*self.delays, *(self.later[1] if self.later else ()))) + self.bulk - 1
        due = []
        for earlier in range(max(1, number - longest), number + 1):
            trips = self._trips(earlier)
            known = -(-(earlier + trips["delay"]) // self.bulk) * self.bulk
            due.append(trips[known == number])
        return pd.concat(due, ignore_index=True)[["trip_id", "trip_minutes"]]

    def slowdown_at(self, number: int) -> float:
        """How much longer a trip takes in a batch."""
        since = number - self.changed
        if not self.changed or since < 0:
            return 1.0
        if self.course == "gradual":
            return 1 + (self.slowdown - 1) * min(1.0, (since + 1) / self.period)
        return 1.0 if self.course == "recurring" and since // self.period % 2 else self.slowdown

    @functools.lru_cache(maxsize=256)  # noqa: B019 - a label feed meets the same days again, and streams are few
    def _trips(self, number: int) -> pd.DataFrame:
        """All trips of a day, with what really happened."""
        if number < 1:
            return self._trips(1).iloc[:0]
        random, n = np.random.default_rng([self.seed, number, 0]), self.trips
        midnight = self.start + timedelta(days=number - 1)
        hour = np.clip(random.normal(14, 5, n), 0, 23.99)
        pickup = [midnight + timedelta(seconds=int(h * 3600)) for h in hour]
        start, end = random.integers(1, _ZONES, n), random.integers(1, _ZONES, n)
        distance = np.round(np.clip(random.lognormal(0.7, 0.6, n), 0.3, 30), 2)
        holiday = self.shifted[0] <= number <= self.shifted[1]
        passengers = np.clip(random.poisson(2.6 if holiday else 0.5, n) + 1, 1, 6)
        minutes = self._minutes(random, number, hour, start, distance)
        dropoff = [at + timedelta(minutes=float(m)) for at, m in zip(pickup, minutes, strict=True)]
        fare = np.round(3 + 2.2 * distance, 2)
        return pd.DataFrame(
            {
                "trip_id": [f"t{number:03d}{i:05d}" for i in range(n)],
                "VendorID": random.integers(1, 3, n),
                "lpep_pickup_datetime": [f"{at:%Y-%m-%d %H:%M:%S}" for at in pickup],
                "lpep_dropoff_datetime": [f"{at:%Y-%m-%d %H:%M:%S}" for at in dropoff],
                "store_and_fwd_flag": "N",
                "RatecodeID": 1,
                "PULocationID": start,
                "DOLocationID": end,
                "passenger_count": passengers,
                "trip_distance": distance,
                "fare_amount": fare,
                "total_amount": np.round(fare * 1.1, 2),
                "payment_type": random.integers(1, 3, n),
                "trip_type": 1,
                "trip_minutes": np.round(minutes, 2),
                "late": random.random(n) < 0.02,
                "delay": random.choice(*self._delays(number, n)),
            }
        )

    def _delays(self, number: int, n: int) -> tuple[list[int], int, bool, list[float]]:
        """What to draw delays from, as numpy takes it."""
        held = self.later[1] if self.later is not None and number >= self.later[0] else self.delays
        return [days for days, _ in held], n, True, [share for _, share in held]

    def _minutes(
        self, random: np.random.Generator, number: int, hour: np.ndarray, zone: np.ndarray, distance: np.ndarray
    ) -> np.ndarray:
        """How long trips take: distance over a speed that depends on the hour, the zone and the season."""
        rush = 1 - 0.35 * np.exp(-((hour - 8.5) ** 2) / 4) - 0.4 * np.exp(-((hour - 17.5) ** 2) / 6)
        centre = 1 - 0.3 * (zone % 4 == 0)
        season = 1 + 0.04 * np.sin(2 * np.pi * number / 28)
        minutes = 60 * distance / (22 * rush * centre * season) + 2
        minutes = minutes * self.slowdown_at(number)
        noisy: np.ndarray = minutes * random.lognormal(0, 0.15, len(hour))
        return noisy


# A gzip header holds a time stamp; a fixed one makes equal files equal bytes.
_GZIP = {"method": "gzip", "mtime": 1}
