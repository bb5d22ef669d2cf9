"""What to do about files that lack a key or an event time: a few lines of pandas to run."""

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from evergreen.scaffold.profile_columns import ColumnFacts
from evergreen.scaffold.read_files import HistoryFiles, path_is_parquet

# A moment in UTC from the start of its day in any zone.
_NEAR, _NEARLY = pd.Timedelta(hours=38), 0.98


@dataclass(frozen=True)
class DateParts:
    """A date, or a month, that stands in several columns.

    :param year, month: the columns.
    :param day: the one of the day; None where there is none, and the first of the month stands for it.
    :param form: how the month is written.
    """

    year: str
    month: str
    day: str | None
    form: str

    def agree(self, columns: dict[str, ColumnFacts], moments: pd.Series) -> bool:
        """Whether they are the day of a column of dates, in whatever zone."""
        year, month = (columns[name].values.astype(str) for name in (self.year, self.month))
        day = columns[self.day].values.astype(str) if self.day else "1"
        days = pd.to_datetime(year + "-" + month + "-" + day, format=f"%Y-{self.form}-%d", errors="coerce")
        reach = _NEAR if self.day else _NEAR + pd.Timedelta(days=31)
        return bool(((moments - days.dt.tz_localize(moments.dt.tz)).abs() <= reach).mean() >= _NEARLY)

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.year, self.month, self.day)))


def find_date_parts(columns: dict[str, ColumnFacts]) -> DateParts | None:
    """Year, month and mostly day in columns of their own, under names that begin and end alike."""
    for name, facts in columns.items():
        found = re.fullmatch(r"(.*?)(?:year|yr)(.*?)", name, re.IGNORECASE)
        if not found or not facts.is_number or not facts.values.dropna().between(1900, 2200).all():
            continue
        month = _named(columns, found, "month", "mon", "mo")
        if month is None:
            continue
        day = _named(columns, found, "day", "day_of_month", "dayofmonth")
        days = day is not None and day.is_number and day.values.dropna().between(1, 31).all()
        texts = month.values.dropna().astype(str).head(1000)
        for form in ("%m", "%B", "%b"):
            if pd.to_datetime(texts, format=form, errors="coerce").notna().all():
                return DateParts(name, month.name, day.name if day is not None and days else None, form)
    return None


def write_mending(files: HistoryFiles, parts: DateParts | None, number: bool) -> str:
    """A script that writes the history anew with what it lacks.

    :param parts: put these together into ``event_time``.
    :param number: add a row number, ``row_id``.
    """
    first = files.paths[0]
    target = Path(first.name.partition(".")[0] + "_mended.csv")
    read = "pandas.read_parquet({})" if path_is_parquet(first) else f"pandas.read_csv({{}}{_written(files)})"
    paths = [str(path) for path in files.paths]
    rows = (
        read.format(repr(paths[0]))
        if len(paths) == 1
        else f"pandas.concat([{read.format('path')} for path in {paths}])"
    )
    lines = ["import pandas", f"rows = {rows}"]
    if parts is not None:
        text = ' + "-" + '.join(f"rows[{name!r}].astype(str)" for name in (parts.year, parts.month, parts.day) if name)
        text += "" if parts.day else ' + "-1"'
        lines.append(f'event_time = pandas.to_datetime({text}, format="%Y-{parts.form}-%d")')
        lines.append('rows["event_time"] = event_time.dt.strftime("%Y-%m-%d")')
    if number:
        lines.append('rows.insert(0, "row_id", range(1, len(rows) + 1))')
    lines.append(f"rows.to_csv({str(target)!r}, index=False)")
    return "\n".join(lines)


def _written(files: HistoryFiles) -> str:
    told = ", dtype=str, keep_default_na=False"
    if files.delimiter != ",":
        told += f", sep={files.delimiter!r}"
    if files.encoding != "utf-8":
        told += f", encoding={files.encoding!r}"
    return told


def _named(columns: dict[str, ColumnFacts], year: re.Match[str], *parts: str) -> ColumnFacts | None:
    wanted = [f"{year[1]}{part}{year[2]}".lower() for part in parts]
    return next((facts for name, facts in columns.items() if name.lower() in wanted), None)
