"""History files, of which a model's past batches are cut: read whole, their columns held against one another."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from evergreen.config.feeds_config import FilesConfig
from evergreen.config.fields import ColumnType
from evergreen.config.limits_config import DEFAULT_LIMITS, LimitsConfig, megabytes
from evergreen.config.regular_files import read_regular
from evergreen.errors import FileUnreadable
from evergreen.sources.number_text import exact_limit
from evergreen.sources.parsing import parse_file
from evergreen.sources.tables import ParsedFile


def read_history(
    paths: list[Path],
    source: FilesConfig,
    declared: Collection[str] | None = None,
    limits: LimitsConfig = DEFAULT_LIMITS,
) -> list[ParsedFile]:
    """Read history files whole, all with the columns of the first, in its order.

    :param declared: columns that have to be there once; None if none is declared yet.
    :param limits: what a file may hold.
    :raises FileUnreadable: if one cannot be read, has a row that cannot be taken apart, or has other columns.
    """
    read: list[ParsedFile] = []
    for path in paths:
        try:
            parsed = parse_file(path.name, read_whole(path, limits), source, declared, limits=limits)
        except OSError as error:
            raise FileUnreadable(str(path), None, f"cannot be read: {error.strerror}") from error
        if parsed.torn:
            # Rows are counted below a header, where there is one.
            line = parsed.torn[0].number + (0 if parsed.texts else 1)
            raise FileUnreadable(path.name, line, f"{parsed.torn[0].problem}; mend it by hand")
        parsed = replace(parsed, held=parsed.rows)
        first = read[0] if read else parsed
        lacks = [name for name in first.column_names if name not in parsed.column_names]
        more = [name for name in parsed.column_names if name not in first.column_names]
        if lacks or more:
            found = "; ".join(
                f"{what} {', '.join(names)}" for what, names in (("lacks", lacks), ("adds", more)) if names
            )
            raise FileUnreadable(path.name, 1, f"{found}; expected the columns of {first.name}")
        read.append(replace(parsed, held=parsed.rows.select(first.column_names)))
    return read


def read_whole(path: Path, limits: LimitsConfig) -> bytes:
    """The content of a history file.

    :raises FileRefused: if it is larger than its limit.
    :raises OSError: if it cannot be read, or is no regular file.
    """
    size = path.stat().st_size
    limits.require("file_mb", size, path.name, f"is {megabytes(size)} MB large")
    return read_regular(path)


def as_text(file: ParsedFile, declared: Mapping[str, ColumnType], null: str = "") -> pa.Table:
    """The rows of a file as the text that reads back as the same values.

    :param declared: the contract's columns: what the file states as a date or a number is written in its declared
        format.
    :param null: the text that stands for a missing value.
    :raises FileUnreadable: if a column holds what no text can stand for, such as a list, or is declared to be read
        exactly and holds floats that are rounded.
    """
    rows = file.rows
    for i, field in enumerate(rows.schema):
        if pa.types.is_string(field.type):
            continue
        column = declared.get(field.name)
        if column and column.type != "float":
            _require_exact(file, field.name)
        try:
            texts = _text_of(rows.column(i), column)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            problem = f"column {field.name} holds {field.type}, which is no plain value; flatten it or leave it out"
            raise FileUnreadable(file.name, None, problem) from error
        if column and column.decimal:
            texts = pc.replace_substring(texts, ".", column.decimal)
        rows = rows.set_column(i, field.name, pc.fill_null(texts, null))
    return rows


def _require_exact(file: ParsedFile, column: str) -> None:
    """Refuse floats so large that one stands for its neighbours too: as text they would look exact."""
    values = file.rows.column(column)
    if not pa.types.is_floating(values.type):
        return
    limit = exact_limit(values.type)
    largest = pc.max(pc.abs(values.cast(pa.float64()))).as_py()
    if largest is not None and largest >= limit:
        problem = f"column {column} holds {largest:.0f} as {values.type}, which rounds whole numbers from {limit} on; "
        raise FileUnreadable(file.name, None, f"{problem}write it anew as integers or text")


def _text_of(values: pa.ChunkedArray, declared: ColumnType | None) -> pa.ChunkedArray:
    if pa.types.is_dictionary(values.type):
        values = pc.cast(values, values.type.value_type)
    if pa.types.is_floating(values.type):
        # Not a number is how pandas writes a missing one.
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    if pa.types.is_timestamp(values.type):
        # Names of a zone differ from writer to writer; the moment does not.
        values = values.cast(pa.timestamp("us", tz="UTC" if values.type.tz else None), safe=False)
    if declared and declared.format and (pa.types.is_timestamp(values.type) or pa.types.is_date(values.type)):
        stamps = values.cast(pa.timestamp("us", tz=getattr(values.type, "tz", None)))
        if declared.epoch:
            return pc.divide(stamps.cast(pa.int64()), declared.epoch).cast(pa.string())
        written = stamps.to_pandas().dt.strftime(declared.format)
        return pa.chunked_array([pa.array(written, pa.string(), from_pandas=True)])
    return values.cast(pa.string())
