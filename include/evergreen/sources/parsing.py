"""Files as they came: CSV and JSON Lines as text, Parquet with the types that it states. Nothing is guessed."""

import codecs
import csv as text_csv
import io
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pyarrow as pa
from pyarrow import csv

from evergreen.config.feeds_config import FilesConfig, QueryConfig
from evergreen.config.limits_config import DEFAULT_LIMITS, LimitsConfig, megabytes
from evergreen.errors import FileUnreadable
from evergreen.sources.json_lines import parse_json_lines
from evergreen.sources.parquet_file import OpenFile, parse_parquet
from evergreen.sources.tables import ParsedFile, TornRow, count_lines, name_fields
from evergreen.sources.unpacking import unpack, unpack_whole_part

JSON_LINES = (".jsonl", ".ndjson")
# What a file of another kind begins with.
_FOREIGN = {
    b"\x1f\x8b": "is gzip; expected its name to end in .gz",
    b"PK\x03\x04": "is a zip archive, such as a spreadsheet; expected text",
    b"PAR1": "is Parquet; expected its name to end in .parquet",
}
_NO_DECIMALS: Mapping[str, str] = MappingProxyType({})
_LARGEST_BLOCK = 2**31 - 1
# Of a file that cannot be read; each byte and each line takes many times as much where it is told.
_TOLD_BYTES, _TOLD_LINES = 100_000_000, 1_000_000
_CUT = "and no line end; the file may be cut, deliver it again"


def parse_file(
    name: str,
    content: bytes,
    files: FilesConfig | QueryConfig,
    declared: Collection[str] | None = None,
    decimals: Mapping[str, str] = _NO_DECIMALS,
    limits: LimitsConfig = DEFAULT_LIMITS,
    stored: OpenFile | None = None,
) -> ParsedFile:
    """Read a file by its ending: ``.parquet``, ``.jsonl`` or ``.ndjson``, else CSV; each may be gzipped (``.gz``).

    :param declared: columns that have to be there once, and in JSON Lines hold single values; None if none is declared
        yet: then JSON Lines have to hold single values in all.
    :param decimals: what stands before the fraction of a number, by column where that is no point; JSON's own numbers
        are told as such texts.
    :param stored: opens the file where it lies, so that the content of a large one need not be held.
    :raises FileRefused: naming the file and the limit that it goes beyond.
    :raises FileUnreadable: naming the file, the line where there is one, and what was expected.
    """
    ending = name.lower()
    if ending.endswith(".gz"):
        ending = ending.removesuffix(".gz")
        content, stored = unpack(name, content, limits), None
    limits.require("unpacked_mb", len(content), name, f"holds {megabytes(len(content))} MB")
    if ending.endswith(".parquet"):
        return parse_parquet(name, content, declared or (), limits, stored)
    assert isinstance(files, FilesConfig), "what a query returns is kept as Parquet"
    for begins, problem in _FOREIGN.items():
        if content.startswith(begins):
            raise FileUnreadable(name, None, problem)
    if ending.endswith(JSON_LINES):
        text = _decode(name, content, files.encoding, "surrogateescape")
        return parse_json_lines(name, text, declared, decimals, limits)
    return _parse_csv(name, content, files, declared or (), limits)


def lines_of(name: str, content: bytes) -> list[str] | None:
    """The lines of a file that cannot be read, so that they can be kept: odd bytes are written as escapes.

    :returns: None of a file that is too large for it, of which the copy tells more.
    """
    if name.lower().endswith(".gz"):
        content = unpack_whole_part(content, _TOLD_BYTES + 1) or content
    if len(content) > _TOLD_BYTES or content.count(b"\n") + content.count(b"\r") > _TOLD_LINES:
        return None
    return content.decode("utf-8", errors="backslashreplace").splitlines()


def _parse_csv(
    name: str, content: bytes, files: FilesConfig, declared: Collection[str], limits: LimitsConfig
) -> ParsedFile:
    text = _decode(name, content, files.encoding)
    header = _read_header(name, text, files.delimiter, limits)
    limits.require_table(name, count_lines(text) - 1, len(header))
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
    lost = {row.number for row in torn}
    count = rows.num_rows + len(lost)
    _require_sound_quotes(name, text, files, count, limits)
    if count in lost and torn[-1].text.count(files.delimiter) < len(header) - 1:
        if not text.endswith(("\n", "\r")):
            raise FileUnreadable(name, text.count("\n") + 1, f"its last line {torn[-1].problem}, {_CUT}")
        torn[-1] = replace(torn[-1], ends=True)
    numbers = np.delete(np.arange(1, count + 1), [number - 1 for number in lost])
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


def _require_sound_quotes(name: str, text: str, files: FilesConfig, rows: int, limits: LimitsConfig) -> None:
    """Refuse a quote that was meant as no such: all rows from it to the next one would be read as one value.

    :param rows: as they were read; where each is a line, no quote holds several.
    """
    if count_lines(text) <= rows + 1 and text.count('"') % 2 == 0:
        return
    end = re.escape(files.delimiter) + r"\r\n"
    for found in re.finditer(rf'(?<![^{end}])"([^"]*+(?:""[^"]*+)*+)("?)([^{end}]?)', text):
        value, closed, behind = found.groups()
        breaks = count_lines(f"{value}.") - 1
        if not closed:
            problem = "a quote is opened and never closed; the file may be cut, deliver it again"
        elif behind and breaks > 0:
            problem = (
                f"a quote is opened, and text follows the next one, {breaks:,} lines below; expected them in pairs"
            )
        elif breaks > limits.quoted_lines:
            problem = limits.tell("quoted_lines", f"a quoted field goes on for {breaks:,} lines")
        else:
            continue
        raise FileUnreadable(name, count_lines(text[: found.start()] + '"'), problem)


def _read_header(name: str, text: str, delimiter: str, limits: LimitsConfig) -> list[str]:
    if not text or text.isspace():
        raise FileUnreadable(name, None, "is empty; expected a header line")
    most = limits.most("line_mb")
    start = io.StringIO(text[:most], newline="")
    try:
        header = next((line for line in text_csv.reader(start, delimiter=delimiter) if line), [])
    except text_csv.Error as error:
        raise FileUnreadable(name, 1, f"the header cannot be read: {error}") from error
    if not start.read(1):
        limits.require("line_mb", len(text), name, f"has a header of more than {limits.line_mb:,} MB")
    return header


def _name_fields(name: str, header: list[str], declared: Collection[str]) -> list[str]:
    try:
        return name_fields(header, declared)
    except ValueError as error:
        raise FileUnreadable(name, 1, str(error)) from None
