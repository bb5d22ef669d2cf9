"""Declared columns as they are stored, and rows that were sealed under one contract read under another."""

from collections.abc import Container, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from evergreen.config.fields import ColumnType

_ARROW = {
    "string": pa.string(),
    "category": pa.string(),
    "float": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
}


def arrow_type(declared: ColumnType) -> pa.DataType:
    """The type in which a declared column is stored."""
    return _ARROW[declared.type]


def kinds_of(columns: Mapping[str, ColumnType]) -> dict[str, str]:
    """Declared columns and the types that they are stored in, as a record keeps them."""
    return {name: column.kind for name, column in columns.items()}


def find_column(name: str, column: ColumnType, held: Container[str]) -> str | None:
    """Under which name rows hold a declared column: its own, or the newest that it had before."""
    return next((one for one in (name, *column.renamed_from) if one in held), None)


def lacking(columns: Mapping[str, ColumnType], held: Mapping[str, str]) -> list[str]:
    """Declared columns that rows do not have: absent without a default, or of another type.

    :param held: the columns that the rows were sealed with, and their stored types.
    :returns: each with its declared type, for a message; empty if the rows can be read.
    """
    lacks = []
    for name, column in columns.items():
        source = find_column(name, column, held)
        if not column.has_default if source is None else held[source] != column.kind:
            lacks.append(f"{name} ({column.type})")
    return lacks


def read_as(rows: pa.Table, columns: Mapping[str, ColumnType], held: Mapping[str, str]) -> pa.Table:
    """Stored rows under the names of another contract.

    :param rows: (rows, stored columns).
    :param columns: what the contract declares.
    :param held: the columns that the rows were sealed with; empty for rows that were sealed before records said so:
        then a column without a value is taken for one that the rows do not have, and one that is nowhere for nulls.
    :returns: (rows, declared columns).
    """
    said = held or {name: "" for name in rows.column_names if rows.column(name).null_count < rows.num_rows}
    read = {}
    for name, column in columns.items():
        source = find_column(name, column, said)
        if source is not None:
            read[name] = rows.column(source)
        else:
            read[name] = fill(column if held else ColumnType(type=column.type), rows.num_rows)
    return pa.table(read)


def fill(column: ColumnType, rows: int) -> pa.Array:
    """A column of its default alone."""
    return pa.repeat(pa.scalar(column.filler, arrow_type(column)), rows)


def plain(rows: pa.Table) -> pa.Table:
    """Views and dictionaries of strings as plain strings, so that equal rows have equal types."""
    for i, field in enumerate(rows.schema):
        if pa.types.is_string_view(field.type) or pa.types.is_dictionary(field.type):
            rows = rows.set_column(i, field.name, pc.cast(rows.column(i), pa.string()))
    return rows
