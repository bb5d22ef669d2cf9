"""Faults as feeds have them: each damages what one batch of the demo stream has landed; the world stays as it is.

``FAULTS`` holds them by name. What is damaged is text and bytes, as a source would deliver them; where a fault falls on
some of the rows, a seed made of the day chooses them.
"""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from evergreen.demo.stream import DemoStream

_KILOMETRES, _SECONDS = 1.609344, 60
_LATE = "late-"


def land_broken(stream: DemoStream, folder: Path, number: int, fault: str) -> None:
    """Land one batch with a fault in it.

    :param folder: the model's landing folder.
    :param number: the batch, from 1; faults that repeat a file need one before it.
    :param fault: a name in ``FAULTS``.
    """
    stream.land(folder, number)
    FAULTS[fault](folder, stream.day(number), stream.day(number - 1))


def deliver_late(folder: Path) -> None:
    """Let files arrive that were kept back: to be called before a later batch is taken."""
    for path in folder.glob(f"{_LATE}*"):
        path.rename(path.with_name(path.name.removeprefix(_LATE)))


def change_unit(folder: Path, day: str, _: str) -> None:
    """Distances in kilometres instead of miles."""
    _change_rows(folder, day, lambda rows: rows.assign(trip_distance=_scale(rows["trip_distance"], _KILOMETRES)))


def burst_nulls(folder: Path, day: str, _: str) -> None:
    """No passenger count in two rows of five."""

    def empty(rows: pd.DataFrame) -> pd.DataFrame:
        random = np.random.default_rng(int(day.replace("-", "")))
        return rows.assign(passenger_count=rows["passenger_count"].mask(random.random(len(rows)) < 0.4, ""))

    _change_rows(folder, day, empty)


def duplicate_file(folder: Path, day: str, _: str) -> None:
    """The batch's file twice, the second time packed anew."""
    path = _rows_of(folder, day)
    content = gzip.compress(gzip.decompress(path.read_bytes()), compresslevel=1, mtime=0)
    path.with_name(path.name.replace(".csv.gz", "_b.csv.gz")).write_bytes(content)


def repeat_file(folder: Path, day: str, before: str) -> None:
    """The file of the batch before, once more, in the place of this one's."""
    _rows_of(folder, day).write_bytes(_rows_of(folder, before).read_bytes())


def truncate_file(folder: Path, day: str, _: str) -> None:
    """A copy that broke off: the packed file ends half-way."""
    path = _rows_of(folder, day)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def truncate_export(folder: Path, day: str, _: str) -> None:
    """An export that broke off before it was packed: a third of the rows, the last one torn."""
    path = _rows_of(folder, day)
    text = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(text[: len(text) // 3], mtime=0))


def delay_file(folder: Path, day: str, _: str) -> None:
    """Neither file nor marker, until ``deliver_late``."""
    path = _rows_of(folder, day)
    path.rename(path.with_name(f"{_LATE}{path.name}"))
    (folder / f"green_{day}.done").unlink()


def swap_columns(folder: Path, day: str, _: str) -> None:
    """Two columns of one type under each other's names: distance and fare."""
    names = {"trip_distance": "fare_amount", "fare_amount": "trip_distance"}
    _change_rows(folder, day, lambda rows: rows.rename(columns=names))


def swap_codes(folder: Path, day: str, _: str) -> None:
    """Two columns of codes under each other's names: payment type and passenger count, each within its limits."""
    names = {"payment_type": "passenger_count", "passenger_count": "payment_type"}
    _change_rows(folder, day, lambda rows: rows.rename(columns=names))


def exchange_dates(folder: Path, day: str, _: str) -> None:
    """Day before month; up to the 12th it reads as a date all the same."""
    pickup, year_month_day = "lpep_pickup_datetime", r"^(\d{4})-(\d{2})-(\d{2})"

    def exchange(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(**{pickup: rows[pickup].str.replace(year_month_day, r"\1-\3-\2", regex=True)})

    _change_rows(folder, day, exchange)


def empty_file(folder: Path, day: str, _: str) -> None:
    """A header and no row."""
    _change_rows(folder, day, lambda rows: rows.iloc[:0])


def change_label_unit(folder: Path, day: str, _: str) -> None:
    """Labels in seconds instead of minutes."""
    path = folder / f"labels_{day}.csv"
    labels = pd.read_csv(path, dtype=str)
    labels.assign(trip_minutes=_scale(labels["trip_minutes"], _SECONDS)).to_csv(path, index=False)


FAULTS: dict[str, Callable[[Path, str, str], None]] = {
    "unit change": change_unit,
    "null burst": burst_nulls,
    "duplicated file": duplicate_file,
    "repeated file": repeat_file,
    "truncated file": truncate_file,
    "truncated export": truncate_export,
    "late file": delay_file,
    "swapped columns": swap_columns,
    "swapped codes": swap_codes,
    "wrong date order": exchange_dates,
    "empty file": empty_file,
    "labels in other units": change_label_unit,
}


def _rows_of(folder: Path, day: str) -> Path:
    return folder / f"green_{day}.csv.gz"


def _change_rows(folder: Path, day: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    path = _rows_of(folder, day)
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    change(rows).to_csv(path, index=False, compression={"method": "gzip", "mtime": 1})


def _scale(texts: pd.Series, by: float) -> pd.Series:
    """Numbers multiplied; what is none stays as it is."""
    numbers = pd.to_numeric(texts, errors="coerce")
    return texts.where(numbers.isna(), (numbers * by).round(2).astype(str))
