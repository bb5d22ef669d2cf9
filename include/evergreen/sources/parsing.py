"""Files as they came: CSV and JSON Lines as text, Parquet with the types that it states. Nothing is guessed."""

import codecs
import contextlib
import csv as text_csv
import gzip
import io
import zlib
from collections.abc import Collection, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

from evergreen.config.feeds_config import FilesConfig, QueryConfig
from evergreen.errors import FileUnreadable
from evergreen.sources.json_lines import parse_json_lines
from evergreen.sources.tables import ParsedFile, TornRow, name_fields

JSON_LINES = (".jsonl", ".ndjson")
# What a file of another kind begins with.
_FOREIGN = {
    b"\x1f\x8b": "is gzip; expected its name to end in .gz",
    b"PK\x03\x04": "is a zip archive, such as a spreadsheet; expected text",
    b"PAR1": "is Parquet; expected its name to end in .parquet",
}
_NO_DECIMALS: Mapping[str, str] = MappingProxyType({})
_LARGEST_BLOCK = 2**31 - 1
_CUT = "and no line end; the file may be cut, deliver it again"


def parse_file(
    name: str,
    content: bytes,
    files: FilesConfig | QueryConfig,
    declared: Collection[str] | None = None,
    decimals: Mapping[str, str] = _NO_DECIMALS,
) -> ParsedFile:
    """Read a file by its ending: ``.parquet``, ``.jsonl`` or ``.ndjson``, else CSV; each may be gzipped (``.gz``).

    :param declared: columns that have to be there once, and in JSON Lines hold single values; None if none is declared
        yet: then JSON Lines have to hold single values in all.
    :param decimals: what stands before the fraction of a number, by column where that is no point; JSON's own numbers
        are told as such texts.
    :raises FileUnreadable: naming the file, the line where there is one, and what was expected.
    """
    ending = name.lower()
    if ending.endswith(".gz"):
        ending = ending.removesuffix(".gz")
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            broken = _unpack_whole_part(content).count(b"\n") + 1 if isinstance(error, EOFError) else None
            raise FileUnreadable(name, broken, f"is not whole gzip: {error}; deliver it again") from error
    if ending.endswith(".parquet"):
        return _parse_parquet(name, content, declared or ())
    assert isinstance(files, FilesConfig), "what a query returns is kept as Parquet"
    for begins, problem in _FOREIGN.items():
        if content.startswith(begins):
            raise FileUnreadable(name, None, problem)
    if ending.endswith(JSON_LINES):
        return parse_json_lines(name, _decode(name, content, files.encoding, "surrogateescape"), declared, decimals)
    return _parse_csv(name, content, files, declared or ())


def lines_of(name: str, content: bytes) -> list[str]:
    """The lines of a file that cannot be read, so that they can be kept: odd bytes are written as escapes."""
    if name.lower().endswith(".gz"):
        content = _unpack_whole_part(content) or content
    return content.decode("utf-8", errors="backslashreplace").splitlines()


def _unpack_whole_part(content: bytes) -> bytes:
    """What can be unpacked of a broken gzip file, which says more than packed bytes do."""
    unpacked, left = b"", content
    with contextlib.suppress(zlib.error):
        while left:
            member = zlib.decompressobj(wbits=31)
            unpacked += member.decompress(left)
            left = member.unused_data
    return unpacked


def _parse_parquet(name: str, content: bytes, declared: Collection[str]) -> ParsedFile:
    try:
        # Not read_table, which refuses a name that stands twice.
        rows = parquet.ParquetFile(io.BytesIO(content)).read()
        rows = rows.rename_columns(_name_fields(name, rows.column_names, declared))
        # Bytes that are no text are found only here, and would end a run where they are first looked at.
        rows.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise FileUnreadable(name, None, f"is not Parquet: {error}; deliver it again") from error
    return ParsedFile(name, rows, np.arange(1, rows.num_rows + 1))


def _parse_csv(name: str, content: bytes, files: FilesConfig, declared: Collection[str]) -> ParsedFile:
    text = _decode(name, content, files.encoding)
    header = _read_header(name, text, files.delimiter)
    names = _name_fields(name, header, declared)
    torn: list[TornRow] = []

    def keep(row: csv.InvalidRow) -> str:
        problem = f"has {row.actual_columns} fields where the header has {row.expected_columns}"
        torn.append(TornRow(row.number - 1, row.text, problem))
        return "skip"

    try:
        rows = csv.read_csv(
            io.BytesIO(text.encode()),
            read_options=csv.ReadOptions(
                use_threads=False, block_size=min(max(len(content) * 2, 1 << 20), _LARGEST_BLOCK)
            ),
            parse_options=csv.ParseOptions(
                delimiter=files.delimiter, newlines_in_values=True, invalid_row_handler=keep
            ),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise FileUnreadable(name, None, f"is not CSV with delimiter {files.delimiter!r}: {error}") from error
    if rows.column_names != header:
        raise FileUnreadable(name, 1, f"the header reads as {header} or as {rows.column_names}; expected plain names")
    _require_closed_quotes(name, text, files.delimiter)
    lost = {row.number for row in torn}
    count = rows.num_rows + len(lost)
    if count in lost and torn[-1].text.count(files.delimiter) < len(header) - 1:
        if not text.endswith(("\n", "\r")):
            raise FileUnreadable(name, text.count("\n") + 1, f"its last line {torn[-1].problem}, {_CUT}")
        torn[-1] = replace(torn[-1], ends=True)
    numbers = np.array([n for n in range(1, count + 1) if n not in lost], dtype=np.int64)
    return ParsedFile(name, rows.rename_columns(names), numbers, tuple(torn))


def _decode(name: str, content: bytes, encoding: str, errors: str = "strict") -> str:
    """The text of a file.

    :param errors: ``surrogateescape`` leaves odd bytes to whoever reads the lines.
    """
    try:
        text = content.decode("utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding, errors)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        found = content[error.start : error.start + 1].hex()
        raise FileUnreadable(name, line, f"byte 0x{found} is not {encoding}; declare its encoding") from error
    if "\0" in text and errors == "strict":
        problem = "holds a NUL; expected text (declare encoding: utf-16 if that is what it is)"
        raise FileUnreadable(name, text[: text.index("\0")].count("\n") + 1, problem)
    return text


def _require_closed_quotes(name: str, text: str, delimiter: str) -> None:
    """Refuse a file that ends inside a quoted field: all rows below the open quote would be read as one value."""
    if text.count('"') % 2 == 0:
        return
    lines = text_csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    whole = 0
    try:
        for _ in lines:
            whole = lines.line_num
    except text_csv.Error as error:
        if "unexpected end of data" in str(error):
            problem = "a quote is opened and never closed; the file may be cut, deliver it again"
            raise FileUnreadable(name, whole + 1, problem) from error


def _read_header(name: str, text: str, delimiter: str) -> list[str]:
    if not text.strip():
        raise FileUnreadable(name, None, "is empty; expected a header line")
    try:
        lines = text_csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        header = next(line for line in lines if line)
    except text_csv.Error as error:
        raise FileUnreadable(name, 1, f"the header cannot be read: {error}") from error
    return header


def _name_fields(name: str, header: list[str], declared: Collection[str]) -> list[str]:
    try:
        return name_fields(header, declared)
    except ValueError as error:
        raise FileUnreadable(name, 1, str(error)) from None
