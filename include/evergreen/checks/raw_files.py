"""Raw files: what arrived as rows, and what is left of a file once some of them have to go."""

import collections
import functools
import io
import itertools
from collections.abc import Collection, Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evergreen.checks.named_rows import NamedRows
from evergreen.config.fields import ColumnType
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import FileRefused, FileUnreadable, SourceChanged
from evergreen.records import ArrivalRecord, Feed, ForgettingRecord, ForgottenFile, Reason, SourceFile
from evergreen.sources.intake import fetch, source_of
from evergreen.sources.parquet_file import OpenFile
from evergreen.sources.parsing import JSON_LINES, lines_of, parse_file
from evergreen.sources.rewriting import write_without
from evergreen.sources.tables import ParsedFile, TornRow, Unread
from evergreen.storage.columns import find_column
from evergreen.storage.removals import FORGETTINGS
from evergreen.storage.remover import Remover
from evergreen.storage.stores import Stores

_FEEDS: tuple[Feed, ...] = ("rows", "labels")


def read_arrived(model: ModelFolder, stores: Stores, feed: Feed, file: SourceFile) -> ParsedFile:
    """The rows of a file that arrived, from its copy in the lake.

    :raises FileUnreadable: if it is not what the feed is declared to be.
    """
    return parse_arrived(model, feed, file.name, fetch(stores, file).content, functools.partial(_open, stores, file))


def parse_arrived(
    model: ModelFolder, feed: Feed, name: str, content: bytes, stored: OpenFile | None = None
) -> ParsedFile:
    """The rows of a file as a feed declares them.

    :param stored: opens the file where it lies, so that the content of a large one need not be held.
    :raises FileUnreadable: if it is not what the feed is declared to be.
    """
    config = model.config
    declared = config.rows.columns if feed == "rows" else config.label_columns
    columns = {name: column for own, column in declared.items() for name in (own, *column.renamed_from)}
    decimals = {name: column.decimal for name, column in columns.items() if column.decimal}
    return parse_file(name, content, source_of(model, feed) or config.source, columns, decimals, config.limits, stored)


def _open(stores: Stores, file: SourceFile) -> Any:
    try:
        return stores.lake.open_raw(file.raw)
    except SourceChanged:
        # It lies elsewhere since rows of it were forgotten.
        return io.BytesIO(fetch(stores, file).content)


def read_arrival(
    model: ModelFolder, stores: Stores, feed: Feed, arrival: ArrivalRecord, through: bool = False
) -> tuple[list[ParsedFile], list[Reason]]:
    """The files of an arrival, and which of them cannot be read.

    :param through: whether large ones are read to their ends, to be sure of it.
    """
    parsed: list[ParsedFile] = []
    unreadable: list[Reason] = []
    rows = size = 0
    for file in arrival.files:
        try:
            one = read_arrived(model, stores, feed, file)
            model.config.limits.require_batch(file.name, rows + one.num_rows, size + one.held.nbytes)
            rows, size = rows + one.num_rows, size + one.held.nbytes
            if through:
                collections.deque(one.pieces(), maxlen=0)
            parsed.append(one)
        except FileUnreadable as error:
            whole = f"line {error.line}: {error.problem}" if error.line else error.problem
            unreadable.append(Reason(expectation="readable file", found=whole, rows=0, file=file.name))
            parsed.append(_unreadable(stores, file, error))
    return parsed, unreadable


def _unreadable(stores: Stores, file: SourceFile, error: FileUnreadable) -> ParsedFile:
    """A file that cannot be read, line by line, so that nothing of it is lost; one that was refused, as one row."""
    lines = None if isinstance(error, FileRefused) else lines_of(file.name, fetch(stores, file).content)
    if lines is None:
        whole = TornRow(0, "", "the file was not read")
        return ParsedFile(file.name, pa.table({}), np.array([], dtype=np.int64), (whole,))
    # The header of a CSV file is its row 0.
    first = 1 if file.name.lower().removesuffix(".gz").endswith(JSON_LINES) else 0
    torn = tuple(TornRow(i, line, "the file cannot be read") for i, line in enumerate(lines, start=first))
    return ParsedFile(file.name, pa.table({}), np.array([], dtype=np.int64), torn)


def keep_labelled(file: ParsedFile, target: str, declared: ColumnType, nulls: tuple[str, ...]) -> ParsedFile:
    """Rows that bring a label: inside the rows, a missing target is a label that is not known yet.

    :param declared: the target's type.
    :param nulls: texts that stand for a missing value.
    """
    source = find_column(target, declared, file.column_names)
    if source is None:
        return file
    kept = np.concatenate([_has_value(piece.column(0), nulls) for piece in file.pieces([source])])
    numbers, texts = np.asarray(file.numbers)[kept], tuple(itertools.compress(file.texts, kept))
    if not isinstance(file.held, Unread):
        return ParsedFile(file.name, file.held.filter(pa.array(kept)), numbers, file.torn, texts)

    def read(columns: Collection[str] | None = None) -> Iterator[pa.Table]:
        start = 0
        for piece in file.pieces(columns):
            yield piece.filter(pa.array(kept[start : start + piece.num_rows]))
            start += piece.num_rows

    return replace(file, held=replace(file.held, num_rows=len(numbers), read=read), numbers=numbers)


def _has_value(column: pa.ChunkedArray, nulls: tuple[str, ...]) -> np.ndarray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    known = pc.is_valid(column)
    if pa.types.is_string(column.type):
        known = pc.and_(known, pc.invert(pc.is_in(column, value_set=pa.array(nulls, pa.string()))))
    found: np.ndarray = known.to_numpy()
    return found


def rewrite_raw(
    model: ModelFolder, stores: Stores, remover: Remover, named: NamedRows, batches: set[str]
) -> Iterator[tuple[ForgottenFile, bytes]]:
    """The raw files of some batches that hold rows that are meant, each with what is left of it.

    A file stays readable by the record of its arrival: without these rows, under another hash, which the record of the
    forgetting gives. One that cannot be read without them goes; then the tables alone hold its other rows.
    """
    names = dict[str, tuple[Feed, str]]()
    for batch in batches:
        for feed in _FEEDS:
            for arrival in stores.ledger.all(ArrivalRecord, f"{feed}.{batch}"):
                names |= {file.raw: (feed, file.name) for file in arrival.files if file.raw}
    for record in stores.ledger.all(ForgettingRecord, FORGETTINGS):
        names |= {file.now: names[file.raw] for file in record.files if file.now and file.raw in names}
    for raw in list(remover.raw_files(batches)):
        if raw not in names:
            # A call that was killed left it; no record names it.
            yield ForgottenFile(raw=raw, now="", sha256=""), b""
            continue
        content = stores.lake.get_raw(raw)
        written = _without(model, *names[raw], content, named)
        if written == content:
            continue
        digest = sha256(written).hexdigest() if written is not None else ""
        now = f"{raw.rpartition('/')[0]}/{digest}" if digest else ""
        yield ForgottenFile(raw=raw, now=now, sha256=digest), written or b""


def _without(model: ModelFolder, feed: Feed, name: str, content: bytes, named: NamedRows) -> bytes | None:
    """A raw file without the rows that are meant; None where it has to go as a whole."""
    parse = functools.partial(parse_arrived, model, feed, name)
    try:
        parsed = parse(content)
        rows = parsed.rows
    except FileUnreadable:
        text = content.decode("utf-8", errors="replace")
        return None if named.mask_texts([text])[0] else content
    torn = named.mask_texts(row.text for row in parsed.torn)
    numbers = {int(number) for number in np.asarray(parsed.numbers)[named.mask(rows)]}
    numbers |= {row.number for row, is_meant in zip(parsed.torn, torn, strict=True) if is_meant}
    if not numbers:
        return content
    return write_without(name, content, source_of(model, feed) or model.config.source, numbers, parse)
