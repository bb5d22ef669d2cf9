"""Parquet: with the types that it states, and no more of it than its limits allow, whatever its few bytes stand for."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from evergreen.config.limits_config import LimitsConfig, megabytes
from evergreen.errors import FileUnreadable
from evergreen.sources.tables import ParsedFile, Unread, name_fields
from evergreen.storage.pieces import ROWS

OpenFile = Callable[[], Any]
# Bytes of a value in memory by its physical type, where they are not 8; of a text without its characters.
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "BYTE_ARRAY": 4}
# Bytes that are read at once of each column; a row group would be held whole.
_BUFFER = 1024 * 1024
# A text whose value takes less than that in its file is one of few.
_FEW_BYTES = 4


def parse_parquet(
    name: str, content: bytes, declared: Collection[str], limits: LimitsConfig, stored: OpenFile | None = None
) -> ParsedFile:
    """Read a Parquet file; one of many rows is read when its pieces are asked for.

    :param declared: columns that have to be there once.
    :param stored: opens the file where it lies, so that the content of a large one need not be held.
    :raises FileRefused: if it holds more than its limits allow.
    :raises FileUnreadable: if it is no whole Parquet file, or names a declared column twice.
    """
    try:
        # Not read_table, which refuses a name that stands twice.
        file = parquet.ParquetFile(pa.BufferReader(content))
        held, longest = _require_small(name, file.metadata, limits)
        names = name_fields(file.schema_arrow.names, declared)
    except (pa.ArrowException, OSError) as error:
        raise FileUnreadable(name, None, f"is not Parquet: {error}; deliver it again") from error
    except ValueError as error:
        raise FileUnreadable(name, 1, str(error)) from None
    count, schema = file.metadata.num_rows, file.schema_arrow
    opened = stored if stored is not None and count > ROWS else partial(pa.BufferReader, content)
    reader = _Reader(name, opened, file.metadata, schema, names, limits, longest > limits.most("unpacked_mb"))
    unread = Unread(pa.schema(list(map(pa.Field.with_name, schema, names))), count, held, reader.read)
    parsed = ParsedFile(name, unread, range(1, count + 1))
    return parsed if count > ROWS else replace(parsed, held=parsed.rows)


@dataclass(frozen=True)
class _Reader:
    """Reads a file piece by piece.

    :param opened: opens it.
    :param stated: its names and types, as it states them.
    :param names: of its columns.
    :param careful: whether its texts may be too long: they are read as dictionaries, and written out once it is known
        how long they are.
    """

    name: str
    opened: OpenFile
    footer: parquet.FileMetaData
    stated: pa.Schema
    names: list[str]
    limits: LimitsConfig
    careful: bool

    def read(self, columns: Collection[str] | None = None) -> Iterator[pa.Table]:
        """Pieces of at most 65,536 rows."""
        footer, stated, rows, size = self.footer, self.stated, 0, 0
        texts = [footer.schema.column(i).path for i in range(footer.num_columns) if self._is_coded(i)]
        try:
            file = parquet.ParquetFile(
                self.opened(), metadata=footer, read_dictionary=texts, buffer_size=_BUFFER, pre_buffer=False
            )
            wanted = None
            if columns is not None:
                wanted = [given for given, name in zip(stated.names, self.names, strict=True) if name in columns]
            # Not over the ends of row groups: lists of texts from two dictionaries cannot be joined.
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(ROWS, row_groups=[group], columns=wanted, use_threads=False):
                    size += sum(map(_count_text, batch.columns))
                    self.limits.require(
                        "unpacked_mb", size, self.name, f"holds texts of more than {self.limits.unpacked_mb:,} MB"
                    )
                    rows += batch.num_rows
                    yield self._complete(batch, wanted)
        except (pa.ArrowException, OSError) as error:
            raise FileUnreadable(self.name, None, f"is not Parquet: {error}; deliver it again") from error
        if rows != footer.num_rows:
            found = f"is not Parquet: it holds {rows:,} rows and says {footer.num_rows:,}; deliver it again"
            raise FileUnreadable(self.name, None, found)

    def _is_coded(self, leaf: int) -> bool:
        """Whether a column is read as a dictionary: texts that must be, and those of which few seem to differ."""
        footer = self.footer
        if footer.schema.column(leaf).physical_type != "BYTE_ARRAY":
            return False
        stored = sum(footer.row_group(i).column(leaf).total_uncompressed_size for i in range(footer.num_row_groups))
        return self.careful or stored < _FEW_BYTES * footer.num_rows

    def _complete(self, batch: pa.RecordBatch, wanted: list[str] | None) -> pa.Table:
        """A piece under the names and types that the file states; few different texts stay a dictionary."""
        stated = self.stated
        fields = [stated.field(i) for i in range(len(stated)) if wanted is None or stated.names[i] in wanted]
        names = [name for i, name in enumerate(self.names) if wanted is None or stated.names[i] in wanted]
        columns = [
            column if _is_short(column, field.type) else column.cast(field.type)
            for column, field in zip(batch.columns, fields, strict=True)
        ]
        piece = pa.Table.from_arrays(columns, names=names)
        # Bytes that are no text are found only here, and would end a run where they are first looked at.
        piece.validate(full=True)
        return piece


def _is_short(column: pa.Array, stated: pa.DataType) -> bool:
    is_coded = pa.types.is_dictionary(column.type) and (pa.types.is_string(stated) or pa.types.is_large_string(stated))
    return is_coded and 2 * len(column.dictionary) < len(column)


def _require_small(name: str, footer: parquet.FileMetaData, limits: LimitsConfig) -> tuple[int, int]:
    """Refuse what the footer says to be too large: equal values take next to nothing in the file.

    :returns: bytes that it takes, and those that its texts can have at most: if each is as long as all that is stored
        of its column.
    """
    groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
    limits.require_table(name, max(footer.num_rows, sum(group.num_rows for group in groups)), footer.num_columns)
    held, longest = 0, 0
    for group in groups:
        for i in range(group.num_columns):
            column = group.column(i)
            width = footer.schema.column(i).length or _WIDTHS.get(column.physical_type, 8)
            held += max(column.num_values * width, column.total_uncompressed_size)
            if column.physical_type == "BYTE_ARRAY":
                longest += column.num_values * column.total_uncompressed_size
    limits.require("unpacked_mb", held, name, f"takes {megabytes(held)} MB when it is read")
    return held, longest


def _count_text(column: pa.Array) -> int:
    """Bytes of a column's texts when each is written out, in lists and structs too."""
    if pa.types.is_dictionary(column.type) and _is_text(column.type.value_type):
        lengths = pc.take(pc.binary_length(column.dictionary), column.indices)
        return int(pc.sum(lengths).as_py() or 0)
    if not pa.types.is_nested(column.type):
        return 0
    if pa.types.is_map(column.type):
        column = column.cast(pa.list_(pa.struct([column.type.key_field, column.type.item_field])))
    parts = column.flatten()
    return sum(map(_count_text, parts if isinstance(parts, list) else [parts]))


def _is_text(stated: pa.DataType) -> bool:
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(kind(stated) for kind in kinds)
