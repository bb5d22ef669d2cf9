"""What can be wrong with a delivery as such, told without any expectation: copies, and dates in another order."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evergreen.batches import Calendar
from evergreen.config.feeds_config import FilesConfig, QueryConfig
from evergreen.config.fields import ColumnType
from evergreen.records import ArrivalRecord, BatchRecord, Reason
from evergreen.sources.tables import ParsedFile
from evergreen.storage.ledger import Ledger

DELIVERED_ONCE = "delivered once"
# From this share of the rows on, exchanged dates are no accident: of sound rows that come a month late, one in
# thirty has a day that is the batch's month.
_EXCHANGED = 0.2
# Files may be cut at another midnight than UTC's.
_SLACK = timedelta(days=1)
_YEAR = timedelta(days=366)


def find_span(calendar: Calendar, source: FilesConfig | QueryConfig, batch: str) -> tuple[datetime, datetime]:
    """First and last event time that a batch may bring: a year from it, or as far back as ``source.late`` if longer."""
    begins, ends = calendar.moment(batch), calendar.end(batch)
    late = min(_late(source), timedelta(days=365_000) // (ends - begins)) * (ends - begins)
    return begins - max(late, _YEAR), ends + _YEAR


def records_before(
    ledger: Ledger, calendar: Calendar, source: FilesConfig | QueryConfig, arrival: ArrivalRecord
) -> list[BatchRecord]:
    """The published batches of rows before an arrival, as they were first sealed, as far back as files may be late."""
    now = calendar.index(arrival.batch)
    records = [ledger.get(BatchRecord, f"rows.{calendar.name(i)}") for i in range(max(0, now - _late(source)), now)]
    return [record for record in records if record is not None and record.state == "published"]


def _late(source: FilesConfig | QueryConfig) -> int:
    return int(source.late if isinstance(source, FilesConfig) else FilesConfig.model_fields["late"].default)


def find_copies(parsed: list[ParsedFile], arrival: ArrivalRecord, before: list[BatchRecord]) -> dict[str, Reason]:
    """Files that were delivered already: byte for byte in an earlier batch, or row for row in this one.

    A file without a row is no copy of another one.

    :param before: the batches whose files count.
    :returns: the reason by the name of the copy.
    """
    hashes = {file.name: file.sha256 for file in arrival.files}
    taken = {file.sha256: f"{file.name} of batch {record.batch}" for record in before for file in record.files}
    found: dict[str, Reason] = {}
    first: list[ParsedFile] = []
    for file in parsed:
        same = (one.name for one in first if one.num_rows and not one.torn and _has_same_rows(one, file))
        original = taken.get(hashes[file.name]) or next(same, None)
        if original is None or not file.num_rows:
            first.append(file)
            continue
        text = f"{file.name} is a copy of {original}"
        found[file.name] = Reason(expectation=DELIVERED_ONCE, found=text, rows=file.num_rows, file=file.name)
    return found


def _has_same_rows(one: ParsedFile, other: ParsedFile) -> bool:
    if one.num_rows != other.num_rows or not one.held.schema.equals(other.held.schema):
        return False
    sides = [file.pieces() for file in (one, other)]
    left = [file.held.schema.empty_table() for file in (one, other)]
    while True:
        left = [rows if rows.num_rows else next(side, rows) for side, rows in zip(sides, left, strict=True)]
        most = min(rows.num_rows for rows in left)
        if not most:
            return True
        mine, theirs = (rows.slice(0, most).cast(one.held.schema) for rows in left)
        if not mine.equals(theirs):
            return False
        left = [rows.slice(most) for rows in left]


def find_repeat(rows: int, is_content: Callable[[str], bool], before: list[BatchRecord], names: str) -> Reason | None:
    """Whether the rows are those of an earlier batch, in whatever file.

    :param rows: how many would be published.
    :param is_content: whether a recorded hash is theirs.
    :param names: the batch's files.
    """
    record = next((record for record in before if record.clean == rows > 0 and is_content(record.content)), None)
    if record is None:
        return None
    text = f"its {rows} rows are those of batch {record.batch}"
    return Reason(expectation=DELIVERED_ONCE, found=text, rows=rows, file=names)


def find_exchanged_dates(
    clean: Iterable[pa.Table], event_time: str, declared: ColumnType, calendar: Calendar, batch: str
) -> Reason | None:
    """Whether day and month are exchanged: many rows lie outside the batch as read, and inside it the other way round.

    Dates up to the 12th read either way, so no format tells them apart. A row that is merely late lies outside both
    ways, but for one day in a month.

    :param clean: (rows, columns) what would be published, in pieces.
    """
    begins, ends = calendar.moment(batch) - _SLACK, calendar.end(batch) + _SLACK
    span = np.datetime64(begins.replace(tzinfo=None), "D"), np.datetime64(ends.replace(tzinfo=None), "D")
    rows, count, example = 0, 0, None
    for piece in clean:
        moments = piece.column(event_time)
        rows += piece.num_rows
        days = moments.cast(pa.date32()).to_numpy()
        if _within(days, span).all():
            continue
        year, month, day = (part(moments).to_numpy().astype(np.int64) for part in (pc.year, pc.month, pc.day))
        outside = ~_within(_dates(year, month, day), span)
        exchanged = outside & (day <= 12) & _within(_dates(year, np.minimum(day, 12), month), span)
        count += int(exchanged.sum())
        if example is None and exchanged.any():
            example = moments[int(np.flatnonzero(exchanged)[0])].as_py()
    if example is None or count <= _EXCHANGED * rows:
        return None
    text = (
        f"{count} of {rows} rows lie outside batch {batch}, such as {example:%Y-%m-%d}, and inside it with "
        f"day and month exchanged; expected {declared.format or 'ISO 8601'}"
    )
    return Reason(expectation="order of day and month", column=event_time, found=text, rows=count)


def _dates(year: np.ndarray, month: np.ndarray, day: np.ndarray) -> np.ndarray:
    months = (year - 1970).astype("datetime64[Y]").astype("datetime64[M]") + (month - 1).astype("timedelta64[M]")
    dates: np.ndarray = months.astype("datetime64[D]") + (day - 1).astype("timedelta64[D]")
    return dates


def _within(dates: np.ndarray, span: tuple[Any, Any]) -> np.ndarray:
    inside: np.ndarray = (dates >= span[0]) & (dates < span[1])
    return inside
