"""The content hash: what rows say, however they are stored and in however many pieces they are read."""

import hashlib
import io
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

_ROWS = 65_536
# What stands behind a time in UTC until its zone is put there, and behind a missing one.
_ZONE, _NO_ZONE = 7_823_478_932_478_923, 7_823_478_932_478_924


class ContentHash:
    """Hash of rows that come piece by piece: of their CSV text, columns by name.

    Arrow's CSV writer spends more on a time in UTC than on eleven other columns. So it is given the time without its
    zone, and the zone is put in afterwards: the same text at half the cost.

    :param names: the columns that count; one without any value in the whole does not.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = sorted(names)
        header = ",".join('"' + name.replace('"', '""') + '"' for name in self._names)
        self._hash = hashlib.sha256(f"{header}\n".encode() if header else b"")

    def update(self, rows: pa.Table) -> None:
        """Add the next rows, in canonical order."""
        for piece in plain(rows.select(self._names)).to_batches(max_chunksize=_ROWS) if self._names else ():
            self._hash.update(_lines(piece))

    def hexdigest(self) -> str:
        """The hash of the rows so far."""
        return self._hash.hexdigest()[:32]


def content_hash(rows: pa.Table) -> str:
    """Hash of canonical rows: their CSV text, sorted by whoever calls. Equal rows give equal hashes, however stored.

    Columns count by name, not by position, and one without a value does not count: a table that gains a column later
    has nulls in the batches before.
    """
    whole = ContentHash(name for name in rows.column_names if rows.column(name).null_count < rows.num_rows)
    whole.update(rows)
    return whole.hexdigest()


def plain(rows: pa.Table) -> pa.Table:
    """Views and dictionaries of strings as plain strings, so that equal rows have equal types."""
    for i, field in enumerate(rows.schema):
        if pa.types.is_string_view(field.type) or pa.types.is_dictionary(field.type):
            rows = rows.set_column(i, field.name, pc.cast(rows.column(i), pa.string()))
    return rows


def _lines(rows: pa.RecordBatch) -> bytes:
    """The CSV lines of some rows."""
    columns: list[pa.Array] = []
    for column in rows.columns:
        zoned = pa.types.is_timestamp(column.type) and column.type.tz == "UTC"
        columns.append(column.cast(pa.timestamp(column.type.unit)) if zoned else column)
        if zoned:
            columns.append(pc.if_else(column.is_valid(), _ZONE, _NO_ZONE))
    sink = io.BytesIO()
    lines = pa.Table.from_arrays(columns, names=[str(i) for i in range(len(columns))])
    csv.write_csv(lines, sink, csv.WriteOptions(include_header=False, batch_size=_ROWS))
    return sink.getvalue().replace(b",%d" % _ZONE, b"Z").replace(b",%d" % _NO_ZONE, b"")
