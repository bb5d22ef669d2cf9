"""Parquet: with the types that it states, and no more of it than its limits allow, whatever its few bytes stand for."""

import io
import itertools
from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from evergreen.config.limits_config import LimitsConfig, megabytes
from evergreen.errors import FileUnreadable
from evergreen.sources.tables import ParsedFile, name_fields

# Bytes of a value in memory by its physical type, where they are not 8; of a text without its characters.
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "BYTE_ARRAY": 4}
_BATCH = 65_536


def parse_parquet(name: str, content: bytes, declared: Collection[str], limits: LimitsConfig) -> ParsedFile:
    """Read a Parquet file.

    :param declared: columns that have to be there once.
    :raises FileRefused: if it holds more than its limits allow.
    :raises FileUnreadable: if it is no whole Parquet file, or names a declared column twice.
    """
    try:
        # Not read_table, which refuses a name that stands twice.
        file = parquet.ParquetFile(io.BytesIO(content))
        longest = _require_small(name, file.metadata, limits)
        rows = file.read() if longest <= limits.most("unpacked_mb") else _read_texts(name, content, file, limits)
        rows = rows.rename_columns(name_fields(rows.column_names, declared))
        # Bytes that are no text are found only here, and would end a run where they are first looked at.
        rows.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise FileUnreadable(name, None, f"is not Parquet: {error}; deliver it again") from error
    except ValueError as error:
        raise FileUnreadable(name, 1, str(error)) from None
    return ParsedFile(name, rows, np.arange(1, rows.num_rows + 1))


def _require_small(name: str, footer: parquet.FileMetaData, limits: LimitsConfig) -> int:
    """Refuse what the footer says to be too large: equal values take next to nothing in the file.

    :returns: bytes that its texts can have at most, if each is as long as all that is stored of its column.
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
    return longest


def _read_texts(name: str, content: bytes, file: parquet.ParquetFile, limits: LimitsConfig) -> pa.Table:
    """All rows, batch by batch. Texts are read as dictionaries, and written out once it is known how long they are."""
    stated, leaves = file.schema_arrow, [file.schema.column(i) for i in range(file.metadata.num_columns)]
    texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    careful = parquet.ParquetFile(io.BytesIO(content), metadata=file.metadata, read_dictionary=texts)
    batches, held = [], 0
    # Not over the ends of row groups: lists of texts from two dictionaries cannot be joined.
    parts = (careful.iter_batches(_BATCH, row_groups=[i]) for i in range(file.num_row_groups))
    for batch in itertools.chain.from_iterable(parts):
        held += sum(map(_count_text, batch.columns))
        limits.require("unpacked_mb", held, name, f"holds texts of more than {limits.unpacked_mb:,} MB")
        columns = [column.cast(field.type) for column, field in zip(batch.columns, stated, strict=True)]
        batches.append(pa.record_batch(columns, schema=stated))
    return pa.Table.from_batches(batches, stated)


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
