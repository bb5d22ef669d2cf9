"""A file without some of its rows: the others as they stand in it, byte for byte where it is text."""

import csv
import gzip
import io
import re
from collections.abc import Callable, Collection, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evergreen.config.feeds_config import FilesConfig, QueryConfig
from evergreen.errors import FileUnreadable
from evergreen.sources.parsing import JSON_LINES
from evergreen.sources.tables import ParsedFile


def write_without(
    name: str,
    content: bytes,
    source: FilesConfig | QueryConfig,
    numbers: Collection[int],
    parse: Callable[[bytes], ParsedFile],
) -> bytes | None:
    """A file without the rows of some numbers.

    :param numbers: as ``ParsedFile.numbers`` has them.
    :param parse: reads a file of this name.
    :returns: None where it cannot be written so that what is left reads as it did.
    """
    before, packed, ending = parse(content), name.lower().endswith(".gz"), name.lower().removesuffix(".gz")
    kept = before.rows.filter(pa.array(~np.isin(before.numbers, list(numbers))))
    if not kept.num_rows:
        return None
    try:
        plain = gzip.decompress(content) if packed else content
        if ending.endswith(".parquet"):
            written = _cut_parquet(plain, numbers)
        else:
            encoding = source.encoding if isinstance(source, FilesConfig) else "utf-8"
            text = plain.decode(encoding, "surrogateescape")
            is_json = ending.endswith(JSON_LINES)
            rows = _json_lines(text) if is_json else _csv_rows(text, getattr(source, "delimiter", ","))
            written = "".join(row for number, row in rows if number not in numbers).encode(encoding, "surrogateescape")
        written = gzip.compress(written, mtime=0) if packed else written
        after = parse(written)
    except (FileUnreadable, UnicodeError, csv.Error):
        return None
    return written if after.rows.equals(kept) else None


def _cut_parquet(content: bytes, numbers: Collection[int]) -> bytes:
    rows = pq.ParquetFile(io.BytesIO(content)).read()
    sink = io.BytesIO()
    pq.write_table(rows.filter(pa.array(~np.isin(np.arange(1, rows.num_rows + 1), list(numbers)))), sink)
    return sink.getvalue()


def _json_lines(text: str) -> Iterator[tuple[int, str]]:
    parts = re.split(r"(\r\n|\n|\r)", text)
    yield from enumerate(map("".join, zip(parts[::2], [*parts[1::2], ""], strict=True)), start=1)


def _csv_rows(text: str, delimiter: str) -> Iterator[tuple[int, str]]:
    """Rows as they are written, the header as row 0; empty lines belong to none and go."""
    lines = io.StringIO(text, newline="").readlines()
    begin, number = 0, 0
    reader = csv.reader(lines, delimiter=delimiter)
    for row in reader:
        if row:
            yield number, "".join(lines[begin : reader.line_num])
            number += 1
        begin = reader.line_num
