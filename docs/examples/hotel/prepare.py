"""Turn the public hotel_bookings.csv(.gz) into what would have arrived week by week.

    python docs/examples/hotel/prepare.py hotel_bookings.csv.gz LANDING/hotel

A booking lands in the week in which it was made, its arrival date less ``lead_time`` days, its outcome in the week
of ``reservation_status_date``. The values stay the text that they were.
"""

import sys
from pathlib import Path

import pandas as pd
import yaml

_KNOWN_WITH_THE_OUTCOME = ["is_canceled", "reservation_status", "reservation_status_date"]


def prepare(source: Path, folder: Path) -> None:
    """Write one file of bookings and one of labels a week, each with its marker.

    :param source: the bookings as they were published, 32 columns.
    :param folder: where the weeks go; made if it is absent.
    """
    bookings = pd.read_csv(source, dtype=str, keep_default_na=False)
    # The data have no key: a booking is named by its line.
    bookings.insert(0, "booking", range(1, len(bookings) + 1))
    parts = [bookings[f"arrival_date_{part}"] for part in ("year", "month", "day_of_month")]
    arrival = pd.to_datetime(parts[0] + " " + parts[1] + " " + parts[2], format="%Y %B %d")
    booked = arrival - pd.to_timedelta(bookings["lead_time"].astype(int), unit="D")
    bookings.insert(1, "booked", booked.dt.strftime("%Y-%m-%d"))
    start = pd.Timestamp(_start())
    # Of the bookings made before, only those are in the data that had still to arrive: no sample of their weeks.
    bookings = bookings[booked >= start]
    told = pd.to_datetime(bookings["reservation_status_date"], format="%Y-%m-%d")
    folder.mkdir(parents=True, exist_ok=True)
    _write(bookings.drop(columns=_KNOWN_WITH_THE_OUTCOME), _weeks(booked[booked >= start], start), folder, "bookings")
    _write(bookings[["booking", "is_canceled"]], _weeks(told, start), folder, "labels")


def _start() -> str:
    """The first week, which config.yaml names."""
    config = yaml.safe_load(Path(__file__).with_name("config.yaml").read_text(encoding="utf-8"))
    return str(config["schedule"]["start"])


def _weeks(days: pd.Series, start: pd.Timestamp) -> pd.Series:
    """The first day of the week in which each day lies; weeks begin on the start's weekday."""
    return start + pd.to_timedelta((days - start).dt.days // 7 * 7, unit="D")


def _write(rows: pd.DataFrame, weeks: pd.Series, folder: Path, name: str) -> None:
    for week, part in rows.groupby(weeks):
        stem = f"{name}_{week:%Y-%m-%d}"
        # Without the time of writing, the same bookings give the same bytes.
        part.to_csv(folder / f"{stem}.csv.gz", index=False, compression={"method": "gzip", "mtime": 0})
        (folder / f"{stem}.done").touch()


if __name__ == "__main__":
    prepare(Path(sys.argv[1]), Path(sys.argv[2]))
