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
    """A date that stands in three columns.

    :param year, month, day: the columns.
    :param form: how the month is written.
    """

    year: str
    month: str
    day: str
    form: str

    def agree(self, columns: dict[str, ColumnFacts], moments: pd.Series) -> bool:
        """Whether they are the day of a column of dates, in whatever zone."""
        texts = [columns[name].values.astype(str) for name in (self.year, self.month, self.day)]
        days = pd.to_datetime(texts[0] + "-" + texts[1] + "-" + texts[2], format=f"%Y-{self.form}-%d", errors="coerce")
        return bool(((moments - days.dt.tz_localize(moments.dt.tz)).abs() <= _NEAR).mean() >= _NEARLY)

    def __str__(self) -> str:
        return f"{self.year}, {self.month}, {self.day}"


def find_date_parts(columns: dict[str, ColumnFacts]) -> DateParts | None:
    """Year, month and day in columns of their own, under names that begin alike."""
    for name, facts in columns.items():
        found = re.fullmatch(r"(.*?)year", name, re.IGNORECASE)
        if not found or not facts.is_number or not facts.values.dropna().between(1900, 2200).all():
            continue
        month = _named(columns, found[1], "month")
        day = _named(columns, found[1], "day", "day_of_month", "dayofmonth")
        if month is None or day is None or not day.is_number or not day.values.dropna().between(1, 31).all():
            continue
        texts = month.values.dropna().astype(str).head(1000)
        for form in ("%m", "%B", "%b"):
            if pd.to_datetime(texts, format=form, errors="coerce").notna().all():
                return DateParts(name, month.name, day.name, form)
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
        text = ' + "-" + '.join(f"rows[{name!r}].astype(str)" for name in (parts.year, parts.month, parts.day))
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


def _named(columns: dict[str, ColumnFacts], prefix: str, *endings: str) -> ColumnFacts | None:
    wanted = [f"{prefix}{ending}".lower() for ending in endings]
    return next((facts for name, facts in columns.items() if name.lower() in wanted), None)
