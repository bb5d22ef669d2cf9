"""Raw files: what arrived as rows, and what is left of a file once some of them have to go."""

import functools
from collections.abc import Iterator
from hashlib import sha256

from evergreen.checks.named_rows import NamedRows
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import FileUnreadable
from evergreen.records import ArrivalRecord, Feed, ForgettingRecord, ForgottenFile, SourceFile
from evergreen.sources.intake import fetch, source_of
from evergreen.sources.parsing import parse_file
from evergreen.sources.rewriting import write_without
from evergreen.sources.tables import ParsedFile
from evergreen.storage.removals import FORGETTINGS
from evergreen.storage.removing import Remover
from evergreen.storage.stores import Stores

_FEEDS: tuple[Feed, ...] = ("rows", "labels")


def read_arrived(model: ModelFolder, stores: Stores, feed: Feed, file: SourceFile) -> ParsedFile:
    """The rows of a file that arrived, from its copy in the lake.

    :raises FileUnreadable: if it is not what the feed is declared to be.
    """
    return parse_arrived(model, feed, file.name, fetch(stores, file).content)


def parse_arrived(model: ModelFolder, feed: Feed, name: str, content: bytes) -> ParsedFile:
    """The rows of a file as a feed declares them.

    :raises FileUnreadable: if it is not what the feed is declared to be.
    """
    config = model.config
    declared = config.rows.columns if feed == "rows" else config.label_columns
    columns = {name: column for own, column in declared.items() for name in (own, *column.renamed_from)}
    decimals = {name: column.decimal for name, column in columns.items() if column.decimal}
    return parse_file(name, content, source_of(model, feed) or config.source, columns, decimals, config.limits)


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
    except FileUnreadable:
        text = content.decode("utf-8", errors="replace")
        return None if named.mask_texts([text])[0] else content
    torn = named.mask_texts(row.text for row in parsed.torn)
    numbers = {int(number) for number in parsed.numbers[named.mask(parsed.rows)]}
    numbers |= {row.number for row, is_meant in zip(parsed.torn, torn, strict=True) if is_meant}
    if not numbers:
        return content
    return write_without(name, content, source_of(model, feed) or model.config.source, numbers, parse)
