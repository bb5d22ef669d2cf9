"""The content hash: what rows say, however they are stored and in however many pieces they are read."""

import hashlib
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

_ROWS = 65_536


class ContentHash:
    """Hash of rows that come piece by piece: of their CSV text, columns by name.

    The text is that of Arrow's CSV writer, put together here because that one spends more on a time in UTC than on
    eleven other columns.

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

    Columns count by name, not by place, and one without a value does not count: a table that gains a column later has
    nulls in the batches before.
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


def _lines(rows: pa.RecordBatch) -> pa.Buffer:
    """The CSV lines of some rows, of which there are some."""
    *others, last = [_texts(column) for column in rows.columns]
    ended = pc.binary_join_element_wise(last, "\n", "", null_handling="replace")
    lines = pc.binary_join_element_wise(*others, ended, ",", null_handling="replace")
    # The lines follow one another in memory: they need not be joined once more.
    _, offsets, text = lines.buffers()
    return text[: memoryview(offsets).cast("i")[len(lines)]]


def _texts(column: pa.Array) -> pa.Array:
    """What the CSV of a column says: texts in quotes, other values without, nothing for a null."""
    if pa.types.is_string(column.type):
        quoted = _doubled(column) if pc.any(pc.match_substring(column, '"')).as_py() else column
        return pc.binary_join_element_wise('"', quoted, '"', "")
    if pa.types.is_timestamp(column.type) and column.type.tz == "UTC":
        return pc.binary_join_element_wise(column.cast(pa.timestamp(column.type.unit)).cast(pa.string()), "Z", "")
    return column.cast(pa.string())


def _doubled(texts: pa.Array) -> pa.Array:
    return pc.replace_substring(texts, '"', '""')
