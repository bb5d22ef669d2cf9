"""The files as text, with how they are written: encoding, delimiter, the texts that mean missing."""

import csv
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from evergreen.config.feeds_config import FilesConfig
from evergreen.config.limits_config import DEFAULT_LIMITS
from evergreen.config.patterns import FilePattern
from evergreen.errors import FileUnreadable
from evergreen.scaffold.read_history import as_text, read_history, read_whole
from evergreen.scaffold.read_numbers import reads_as_numbers
from evergreen.sources.unpacking import unpack

_DELIMITERS = (",", ";", "\t", "|")
_LINES = 200
# Texts that hardly ever mean anything but a missing value, and some that may also be a value.
_SURELY_MISSING = ("NULL", "null", "NaN", "nan", "N/A", "n/a", "#N/A", "<NA>", "\\N")
_PERHAPS_MISSING = ("NA", "na", "None", "none", "-", "--", "?", ".")


@dataclass(frozen=True)
class HistoryFiles:
    """What the files hold, as text.

    :param paths: the files.
    :param rows: (rows, columns) text of all files.
    :param stated: the types that Parquet states, by column; none of CSV.
    :param delimiter: between fields.
    :param encoding: of the text.
    :param nulls: texts that mean missing, the empty one first.
    :param null_counts: how often each of them stands in the files.
    :param sizes: rows of each file.
    """

    paths: tuple[Path, ...]
    rows: pa.Table
    stated: dict[str, pa.DataType]
    delimiter: str
    encoding: str
    nulls: tuple[str, ...]
    null_counts: dict[str, int]
    sizes: tuple[int, ...]

    @cached_property
    def texts(self) -> pd.DataFrame:
        """The rows as pandas sees them, all text."""
        texts: pd.DataFrame = self.rows.to_pandas()
        return texts

    @property
    def names(self) -> str:
        """The files' names, shortened."""
        names = [path.name for path in self.paths]
        return ", ".join(names) if len(names) < 4 else f"{names[0]} … {names[-1]} ({len(names)} files)"


def read_files(paths: list[Path]) -> HistoryFiles:
    """Read history files, and see how they are written.

    :raises FileUnreadable: naming the file and what is wrong with it.
    """
    encoding, delimiter = _detect_format(paths[0])
    source = FilesConfig(files=FilePattern("history_{batch:%Y}.csv"), delimiter=delimiter, encoding=encoding)
    parsed = read_history(paths, source)
    first = parsed[0].rows.schema
    for one in parsed:
        for field, expected in zip(one.rows.schema, first, strict=True):
            if _kind(field.type) != _kind(expected.type) and not pa.types.is_null(field.type):
                problem = f"column {field.name} is {field.type}; expected {expected.type}, as in {parsed[0].name}"
                raise FileUnreadable(one.name, None, problem)
    rows = pa.concat_tables([as_text(one, {}) for one in parsed]).combine_chunks()
    if rows.num_rows == 0:
        raise FileUnreadable(", ".join(path.name for path in paths), None, "holds no rows; expected a history")
    stated = {field.name: field.type for field in first if not pa.types.is_string(field.type)}
    texts = {field.name for field in first if path_is_parquet(paths[0]) and pa.types.is_string(field.type)}
    stated |= dict.fromkeys(texts, pa.string())
    nulls, counts = _find_nulls(rows)
    sizes = tuple(one.rows.num_rows for one in parsed)
    return HistoryFiles(tuple(paths), rows, stated, delimiter, encoding, nulls, counts, sizes)


def add_columns(files: HistoryFiles, texts: pd.DataFrame, stated: dict[str, pa.DataType]) -> HistoryFiles:
    """Files with further columns, in place of those of their names.

    :param texts: (rows, further columns) text, row by row.
    :param stated: the types that Parquet states of them.
    """
    kept = [name for name in files.rows.column_names if name not in texts]
    rows = files.rows.select(kept)
    for name in texts:
        rows = rows.append_column(name, pa.array(texts[name], pa.string()))
    nulls, counts = _find_nulls(rows)
    types = {name: of for name, of in files.stated.items() if name in kept} | stated
    return replace(files, rows=rows, stated=types, nulls=nulls, null_counts=counts)


def path_is_parquet(path: Path) -> bool:
    """Whether a file states its own types."""
    return path.suffix == ".parquet"


def _detect_format(path: Path) -> tuple[str, str]:
    """Encoding and delimiter of a text file; the defaults where the file is none."""
    try:
        content = read_whole(path, DEFAULT_LIMITS)
    except OSError as error:
        raise FileUnreadable(str(path), None, f"cannot be read: {error.strerror}") from error
    if path.suffix == ".gz":
        content = unpack(path.name, content, DEFAULT_LIMITS)
    if path_is_parquet(path):
        return "utf-8", ","
    encoding = _encoding_of(content)
    lines = content.decode(encoding, errors="replace").lstrip("\ufeff").splitlines()[:_LINES]
    return encoding, _delimiter_of(lines)


def _encoding_of(content: bytes) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    for encoding in ("utf-8", "cp1252"):
        try:
            content.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"


def _delimiter_of(lines: list[str]) -> str:
    """The delimiter that cuts most of the lines into as many fields as the header has, more than one."""
    fits: dict[str, tuple[float, int]] = {}
    for delimiter in _DELIMITERS:
        try:
            widths = [len(fields) for fields in csv.reader(lines, delimiter=delimiter) if fields]
        except csv.Error:
            continue
        if widths and widths[0] > 1:
            fits[delimiter] = (sum(width == widths[0] for width in widths) / len(widths), widths[0])
    return max(fits, key=lambda delimiter: fits[delimiter]) if fits else ","


def _find_nulls(rows: pa.Table) -> tuple[tuple[str, ...], dict[str, int]]:
    """Texts that mean missing: what hardly means anything else, and what alone keeps a column from being numbers."""
    seen: Counter[str] = Counter()
    needed: set[str] = set()
    for name in rows.column_names:
        counted = pc.value_counts(rows.column(name).combine_chunks())
        texts = counted.field("values")
        by_text = dict(zip(texts.to_pylist(), counted.field("counts").to_pylist(), strict=True))
        here = [text for text in (*_SURELY_MISSING, *_PERHAPS_MISSING) if text in by_text]
        seen.update({text: by_text[text] for text in here})
        unsure = [text for text in here if text in _PERHAPS_MISSING]
        held, surely = (texts.filter(pc.invert(pc.is_in(texts, pa.array(nulls)))) for nulls in ([""], ["", *here]))
        if unsure and reads_as_numbers(surely) and not reads_as_numbers(held):
            needed.update(unsure)
    found = [text for text in (*_SURELY_MISSING, *_PERHAPS_MISSING) if text in needed or text in seen]
    nulls = [text for text in found if text in _SURELY_MISSING or text in needed]
    return ("", *nulls), {text: seen[text] for text in nulls}


def _kind(stated: pa.DataType) -> str:
    """Types that may differ from file to file: the widths of numbers, the units of times, how text is kept."""
    if pa.types.is_dictionary(stated):
        return _kind(stated.value_type)
    if pa.types.is_integer(stated) or pa.types.is_floating(stated) or pa.types.is_decimal(stated):
        return "number"
    if pa.types.is_timestamp(stated):
        return f"timestamp {bool(stated.tz)}"
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
    return "text" if any(test(stated) for test in texts) else str(stated)
