"""Histories of five shapes, made up with a seed: wide, tiny, all-categorical, full of gaps, with a time zone."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

FIRST = pd.Timestamp("2023-03-06")


@dataclass(frozen=True)
class Shape:
    """A history on disk and what has to be said about it."""

    file: Path
    flags: tuple[str, ...]


def make_wide(folder: Path) -> Shape:
    """40 columns, whose names are not what a programmer would choose."""
    random = np.random.default_rng(1)
    rows = 12 * 7 * 12
    columns = {f"Sensor {i} [°C]": random.normal(20, 5, rows).round(3) for i in range(24)}
    columns |= {f'shop.type "{i}"': random.choice(["a", "b: c", "d, e", "no"], rows) for i in range(8)}
    columns |= {f"it's #{i}": random.integers(0, 9, rows) for i in range(8)}
    day = FIRST + pd.to_timedelta(np.arange(rows) // 12, "D")
    frame = pd.DataFrame(
        {"batch": 1, "order no": np.arange(rows) + 7000, "sold on": day.strftime("%d.%m.%Y"), **columns}
    )
    frame["Net amount"] = (3 * frame["Sensor 3 [°C]"] + 9 * frame["it's #1"] + random.normal(0, 4, rows)).round(2)
    file = folder / "wide.csv"
    frame.to_csv(file, index=False)
    return Shape(file, ("--key", "order no", "--event-time", "sold on", "--target", "Net amount", "--every", "week"))


def make_tiny(folder: Path) -> Shape:
    """Forty rows in twelve weeks."""
    random = np.random.default_rng(2)
    day = FIRST + pd.to_timedelta(np.sort(random.integers(0, 84, 40)), "D")
    size = random.uniform(0, 10, 40).round(1)
    frame = pd.DataFrame(
        {"id": range(40), "day": day.strftime("%Y-%m-%d"), "size": size, "cost": (7 * size).round() + 1}
    )
    file = folder / "tiny.csv"
    frame.to_csv(file, index=False)
    return Shape(file, ("--key", "id", "--event-time", "day", "--target", "cost", "--every", "week"))


def make_categorical(folder: Path) -> Shape:
    """Text alone, with semicolons, in another encoding; yes or no, in German, is predicted."""
    random = np.random.default_rng(3)
    rows = 16 * 7 * 20
    day = FIRST + pd.to_timedelta(np.arange(rows) // 20, "D") + pd.to_timedelta(random.integers(0, 1440, rows), "min")
    frame = pd.DataFrame({f"größe {i}": random.choice(["klein", "groß", "mittel"], rows) for i in range(6)})
    frame["plan"] = random.choice(["basic", "plus", "pro"], rows, p=[0.6, 0.3, 0.1])
    frame["zip"] = random.choice([f"0{i:04d}" for i in range(60)], rows)
    frame["churned"] = np.where(
        random.random(rows) < frame["plan"].map({"basic": 0.8, "plus": 0.3, "pro": 0.05}), "ja", "nein"
    )
    frame.insert(0, "customer", [f"C{i:06d}" for i in range(rows)])
    frame.insert(1, "asked", day.strftime("%d/%m/%Y %H:%M"))
    file = folder / "customers.csv"
    frame.to_csv(file, index=False, sep=";", encoding="cp1252")
    return Shape(file, ("--key", "customer", "--event-time", "asked", "--target", "churned", "--every", "week"))


def make_gaps(folder: Path) -> Shape:
    """Most values missing, written in four ways, a fifth of the targets among them."""
    random = np.random.default_rng(4)
    rows = 16 * 7 * 20
    day = FIRST + pd.to_timedelta(np.arange(rows) // 20, "D")
    values = {f"m{i}": random.normal(0, 1, rows).round(3) for i in range(8)}
    target = (5 * np.nan_to_num(values["m0"]) + random.normal(50, 1, rows)).round(2)
    frame = pd.DataFrame({"row": np.arange(rows), "day": day.strftime("%Y%m%d"), **values}).astype(str)
    for i, text in enumerate(("NULL", "", "n/a", "-", "", "NULL", "", "")):
        frame.loc[random.random(rows) < (0.3 if i == 0 else 0.6 + 0.05 * i), f"m{i}"] = text
    frame["colour"] = random.choice(["red", "blue", "NULL"], rows)
    frame["never"] = ""
    frame["amount"] = target.astype(str)
    frame.loc[random.random(rows) < 0.2, "amount"] = "NULL"
    file = folder / "gaps.csv"
    frame.to_csv(file, index=False)
    return Shape(file, ("--key", "row", "--event-time", "day", "--target", "amount", "--every", "week"))


def make_zoned(folder: Path) -> Shape:
    """Hourly readings in Parquet, in a zone whose clocks change on the way; two columns name a row."""
    random = np.random.default_rng(5)
    hours = pd.date_range("2023-03-13", periods=21 * 24, freq="h", tz="UTC").tz_convert("Europe/Berlin")
    frame = pd.DataFrame({"read_at": np.repeat(hours, 4), "meter": np.tile([f"M{i}" for i in range(4)], len(hours))})
    local = frame["read_at"].dt.hour
    frame["open"] = local.between(8, 17)
    frame["installed"] = pd.Timestamp("2020-05-01").date()
    frame.loc[frame["meter"] == "M3", "installed"] = None
    frame["load"] = (10 + 8 * frame["open"] + 3 * frame["meter"].eq("M2") + random.normal(0, 1, len(frame))).round(3)
    file = folder / "meters.parquet"
    frame.to_parquet(file, index=False)
    return Shape(file, ("--key", "meter,read_at", "--event-time", "read_at", "--target", "load", "--every", "day"))


SHAPES = {
    "wide": make_wide, "tiny": make_tiny, "categorical": make_categorical, "gaps": make_gaps, "zoned": make_zoned,
}  # fmt: skip
