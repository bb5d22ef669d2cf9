"""Sealing: what arrived for a batch is sorted, written, and recorded as published, rejected or missing."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from include.checks.sorting import Rules, SortedBatch, reject, sort_batch
from include.config.contract import FilesConfig, LabelsConfig
from include.config.locations import Locations
from include.config.model_folder import ModelFolder
from include.errors import FileUnreadable, NotReady
from include.features.known import records_with_rows
from include.records import ArrivalRecord, BatchRecord, Feed, Reason, SourceFile
from include.sources.intake import fetch, require_earlier
from include.sources.parsing import ParsedFile, TornRow, lines_of, parse_file
from include.storage.content import content_hash
from include.storage.lake import describe
from include.storage.stores import Stores, open_stores

TABLES = {"rows": "clean", "labels": "labels"}


def seal(model: ModelFolder, at: Locations, feed: Feed, batch: str) -> BatchRecord:
    """Validate what arrived for a batch and seal it.

    :returns: the batch record that stands; a sealed batch is not touched again.
    :raises NotReady: if the batch has not been taken in.
    """
    stores = open_stores(at, model.id)
    standing = stores.ledger.get(BatchRecord, f"{feed}.{batch}")
    if standing is not None:
        return standing
    inside = feed == "labels" and _labels(model).files is None
    if inside:
        rows = stores.ledger.get(BatchRecord, f"rows.{batch}")
        if rows is None:
            raise NotReady(f"model {model.id}: the rows of batch {batch} are not sealed; validate them before labels")
        require_earlier(stores, model.config.calendar, model.id, "labels", batch)
        if rows.state != "published":
            brought = _brought(model, stores, "labels", batch)
            return stores.ledger.put(rows.model_copy(update={"feed": "labels", "brought": brought, "meta": {}}))
    arrival = stores.ledger.get(ArrivalRecord, f"{'rows' if inside else feed}.{batch}")
    if arrival is None:
        raise NotReady(f"model {model.id}: {feed} of batch {batch} have not been ingested; run ingest first")
    sorted_ = _sort(model, stores, feed, arrival, inside)
    facts = describe(model=model.id, feed=feed, code=model.code_version)
    stores.lake.replace(f"quarantine_{feed}", batch, arrival.revision, sorted_.quarantine, facts)
    stores.lake.replace(TABLES[feed], batch, arrival.revision, sorted_.clean, facts)
    record = BatchRecord(
        as_of=batch,
        feed=feed,
        revision=arrival.revision,
        state="rejected" if sorted_.rejected else "published",
        files=arrival.files,
        rows_in=sorted_.rows_in,
        clean=sorted_.clean.num_rows,
        quarantined=sorted_.quarantine.num_rows,
        content="" if sorted_.rejected else content_hash(sorted_.clean),
        reasons=sorted_.reasons,
        left_out=sorted_.left_out,
        brought=batch if sorted_.clean.num_rows else _brought(model, stores, feed, batch),
    )
    return stores.ledger.put(record)


def declare_missing(model: ModelFolder, at: Locations, feed: Feed, batch: str) -> BatchRecord:
    """Seal a batch that never came; later batches go on without it."""
    stores = open_stores(at, model.id)
    brought = _brought(model, stores, feed, batch)
    return stores.ledger.put(BatchRecord(as_of=batch, feed=feed, revision=0, state="missing", brought=brought))


def _brought(model: ModelFolder, stores: Stores, feed: Feed, batch: str) -> str:
    """The newest batch before one that was published with rows; empty if there is none."""
    calendar = model.config.calendar
    newest = next(records_with_rows(stores.ledger, calendar, feed, calendar.shift(batch, -1)), None)
    return newest.as_of if newest is not None else ""


def _sort(model: ModelFolder, stores: Stores, feed: Feed, arrival: ArrivalRecord, inside: bool) -> SortedBatch:
    config = model.config
    files = config.source if feed == "rows" or inside else _labels(model).as_files()
    rules = _rules(model, feed, files)
    parsed: list[ParsedFile] = []
    unreadable: list[Reason] = []
    for file in arrival.files:
        try:
            parsed.append(_parse(stores, file, files))
        except FileUnreadable as error:
            whole = f"line {error.line}: {error.problem}" if error.line else error.problem
            unreadable.append(Reason(expectation="readable file", found=whole, rows=0, file=file.name))
            parsed.append(_unreadable(stores, file))
    if unreadable:
        return reject(parsed, unreadable)
    if inside:
        parsed = [_with_target(file, rules, _labels(model).column) for file in parsed]
    return sort_batch(parsed, rules)


def _rules(model: ModelFolder, feed: Feed, files: FilesConfig) -> Rules:
    config, path = model.config, model.path / "expectations.yaml"
    if feed == "rows":
        rows = config.rows
        required = (*rows.key, rows.event_time)
        expected = model.expectations.rows
        return Rules(rows.columns, rows.key, required, files.nulls, expected, rows.max_quarantined, path)
    labels = _labels(model)
    required = (*config.rows.key, labels.column)
    expected = model.expectations.labels
    return Rules(config.label_columns, config.rows.key, required, files.nulls, expected, labels.max_quarantined, path)


def _labels(model: ModelFolder) -> LabelsConfig:
    assert model.config.labels != "none"
    return model.config.labels


def _parse(stores: Stores, file: SourceFile, files: FilesConfig) -> ParsedFile:
    return parse_file(file.name, fetch(stores, file).content, files)


def _unreadable(stores: Stores, file: SourceFile) -> ParsedFile:
    """A file that cannot be read, line by line, so that nothing of it is lost."""
    lines: list[Any] = lines_of(fetch(stores, file).content)
    torn = tuple(TornRow(i, line, "the file cannot be read") for i, line in enumerate(lines))
    return ParsedFile(file.name, pa.table({}), [], torn)  # type: ignore[arg-type]


def _with_target(file: ParsedFile, rules: Rules, target: str) -> ParsedFile:
    """Rows that bring a label: inside the rows, a missing target is a label that is not known yet."""
    if target not in file.rows.column_names:
        return file
    column = file.rows.column(target)
    known = pc.is_valid(column)
    if pa.types.is_string(column.type):
        known = pc.and_(known, pc.invert(pc.is_in(column, value_set=pa.array(rules.nulls, pa.string()))))
    mask = known.combine_chunks()
    return ParsedFile(file.name, file.rows.filter(mask), file.numbers[mask.to_numpy(zero_copy_only=False)], file.torn)
