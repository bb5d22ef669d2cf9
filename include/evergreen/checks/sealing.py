"""Sealing: what arrived for a batch is sorted, written, and recorded as published, rejected or missing."""

from dataclasses import replace

from evergreen.checks.arrived_rows import Rules
from evergreen.checks.deliveries import find_copies, find_exchanged_dates, find_repeat, find_span, records_before
from evergreen.checks.failing_rows import QUARANTINE, keep_failing
from evergreen.checks.quarantine import write_clean_and_quarantine
from evergreen.checks.raw_files import keep_labelled, read_arrival
from evergreen.checks.validating import ValidatedBatch, reject, validate_files
from evergreen.config.expectations_config import ExpectationConfig
from evergreen.config.feeds_config import FilesConfig, LabelsInside, QueryConfig
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.config.rows_config import RowsConfig
from evergreen.errors import FileUnreadable, NotReady
from evergreen.features.label_batches import records_with_rows
from evergreen.records import ArrivalRecord, BatchRecord, Feed, Reason
from evergreen.sources.intake import require_earlier, source_of
from evergreen.sources.tables import ParsedFile
from evergreen.storage.columns import kinds_of
from evergreen.storage.identity import put_identity
from evergreen.storage.set_aside import SetAside
from evergreen.storage.stores import Stores, stores_of


def seal(model: ModelFolder, at: Locations, feed: Feed, batch: str) -> BatchRecord:
    """Validate what arrived for a batch and seal it.

    :returns: the batch record that stands; a sealed batch is not touched again.
    :raises NotReady: if the batch has not been taken in.
    """
    stores = stores_of(model, at)
    standing = stores.ledger.get(BatchRecord, f"{feed}.{batch}")
    if standing is not None:
        return standing
    inside = source_of(model, feed) is None
    if inside:
        rows = stores.ledger.get(BatchRecord, f"rows.{batch}")
        if rows is None:
            raise NotReady(f"model {model.id}: the rows of batch {batch} are not sealed; validate them before labels")
        require_earlier(stores, model.config.calendar, model.id, "labels", batch)
        if rows.state != "published":
            brought = _brought(model, stores, "labels", batch)
            taken = {"feed": "labels", "columns": _declared(model, "labels"), "brought": brought, "meta": {}}
            return stores.ledger.put(rows.model_copy(update=taken))
    arrival = stores.ledger.get(ArrivalRecord, f"{'rows' if inside else feed}.{batch}")
    if arrival is None:
        raise NotReady(f"model {model.id}: {feed} of batch {batch} have not been ingested; run ingest first")
    validated = validate_arrival(model, stores, feed, arrival)
    record = describe_validated(model, feed, arrival, validated, batch)
    write_clean_and_quarantine(model, stores, record, validated)
    brought = batch if validated.clean.num_rows else _brought(model, stores, feed, batch)
    return stores.ledger.put(record.model_copy(update={"brought": brought}))


def declare_missing(model: ModelFolder, at: Locations, feed: Feed, batch: str) -> BatchRecord:
    """Seal a batch that never came; later batches go on without it."""
    stores, columns = stores_of(model, at), _declared(model, feed)
    put_identity(model, at, stores.ledger, feed, batch)
    brought = _brought(model, stores, feed, batch)
    missing = BatchRecord(
        as_of=batch, feed=feed, batch=batch, revision=0, state="missing", columns=columns, brought=brought
    )
    return stores.ledger.put(missing)


def _brought(model: ModelFolder, stores: Stores, feed: Feed, batch: str) -> str:
    """The newest batch before one that was published with rows; empty if there is none."""
    calendar = model.config.calendar
    newest = next(records_with_rows(stores.ledger, calendar, feed, calendar.shift(batch, -1)), None)
    return newest.batch if newest is not None else ""


def describe_validated(
    model: ModelFolder, feed: Feed, arrival: ArrivalRecord, validated: ValidatedBatch, as_of: str
) -> BatchRecord:
    """The record of an arrival that was sorted."""
    return BatchRecord(
        as_of=as_of,
        feed=feed,
        batch=arrival.batch,
        revision=arrival.revision,
        state="rejected" if validated.rejected else "published",
        files=arrival.files,
        rows_in=validated.rows_in,
        clean=validated.clean.num_rows,
        quarantined=validated.quarantine.num_rows,
        content=validated.content,
        reasons=validated.reasons,
        left_out=validated.left_out,
        columns=_declared(model, feed),
    )


def validate_arrival(model: ModelFolder, stores: Stores, feed: Feed, arrival: ArrivalRecord) -> ValidatedBatch:
    """Read the files of an arrival and tell clean rows from the others; nothing is written."""
    try:
        return _validate_parsed(model, stores, feed, arrival, *read_arrival(model, stores, feed, arrival))
    except FileUnreadable:
        # It was found only as its rows were read; which others cannot be read is to be told with it.
        return _validate_parsed(model, stores, feed, arrival, *read_arrival(model, stores, feed, arrival, through=True))


def _validate_parsed(
    model: ModelFolder,
    stores: Stores,
    feed: Feed,
    arrival: ArrivalRecord,
    parsed: list[ParsedFile],
    unreadable: list[Reason],
) -> ValidatedBatch:
    source = source_of(model, feed) or model.config.source
    rules = _rules(model, feed, source, arrival.batch)
    if unreadable:
        return reject(parsed, unreadable)
    if source_of(model, feed) is None:
        target = _labels(model).column
        parsed = [keep_labelled(file, target, rules.columns[target], rules.nulls) for file in parsed]
    # Labels may come again: of equal ones nothing changes.
    before = records_before(stores.ledger, model.config.calendar, source, arrival) if feed == "rows" else []
    copies = find_copies(parsed, arrival, before)
    kept = [file for file in parsed if file.name not in copies]
    if copies and not any(file.num_rows or file.torn for file in kept):
        return reject(parsed, list(copies.values()))
    validated = validate_files(kept, rules)
    if feed == "rows" and not validated.rejected:
        wrong = _find_misdelivered(model, arrival, before, validated)
        validated = reject(kept, wrong, validated.left_out) if wrong else validated
    return _keep_copies(validated, [file for file in parsed if file.name in copies], copies)


def _find_misdelivered(
    model: ModelFolder, arrival: ArrivalRecord, before: list[BatchRecord], validated: ValidatedBatch
) -> list[Reason]:
    """What is wrong with a batch whose rows are sound one by one."""
    rows, calendar = model.config.rows, model.config.calendar
    reasons = [
        find_repeat(
            validated.clean.num_rows, validated.is_content, before, ", ".join(file.name for file in arrival.files)
        ),
        find_exchanged_dates(validated.clean, rows.event_time, rows.columns[rows.event_time], calendar, arrival.batch),
    ]
    return [reason for reason in reasons if reason is not None]


def _keep_copies(validated: ValidatedBatch, files: list[ParsedFile], copies: dict[str, Reason]) -> ValidatedBatch:
    """The batch with its copied files in quarantine, each with its own reason."""
    if not files:
        return validated
    quarantine = SetAside(QUARANTINE)
    for kept in (validated.quarantine, *(keep_failing([file], {}, (copies[file.name],)) for file in files)):
        for piece in kept:
            quarantine.append(piece)
    return replace(validated, quarantine=quarantine, reasons=(*copies.values(), *validated.reasons))


def _rules(model: ModelFolder, feed: Feed, source: FilesConfig | QueryConfig, batch: str) -> Rules:
    config, path = model.config, model.path / "expectations.yaml"
    if feed == "rows":
        rows = config.rows
        required = (*rows.key, rows.event_time)
        expected = (*_exact_keys(config.rows), *model.expectations.rows)
        span = rows.event_time, *find_span(config.calendar, source, batch)
        return Rules(rows.columns, rows.key, required, source.nulls, expected, rows.max_quarantined, path, span=span)
    labels = _labels(model)
    required = (*config.rows.key, labels.column)
    expected = (*_exact_keys(config.rows), *_classes(model, labels), *model.expectations.labels)
    return Rules(
        config.label_columns, config.rows.key, required, source.nulls, expected, labels.max_quarantined, path, True
    )


def _classes(model: ModelFolder, labels: LabelsInside) -> tuple[ExpectationConfig, ...]:
    """What a classification's labels may be, as an expectation: a third class would be learnt without a word."""
    if model.config.model.task != "classification" or labels.target[labels.column].type == "boolean":
        return ()
    arguments = {"column": labels.column, "value_set": [0, 1]}
    return (ExpectationConfig(type="expect_column_values_to_be_in_set", arguments=arguments, severity="warning"),)


def _exact_keys(rows: RowsConfig) -> tuple[ExpectationConfig, ...]:
    """Keys that are declared float, as expectations: beyond these limits one stands for its neighbours too."""
    limits = {"min_value": 1 - 2**53, "max_value": 2**53 - 1}
    return tuple(
        ExpectationConfig(
            type="expect_column_values_to_be_between", arguments={"column": name, **limits}, severity="warning"
        )
        for name in rows.key
        if rows.columns[name].type == "float"
    )


def _declared(model: ModelFolder, feed: Feed) -> dict[str, str]:
    return kinds_of(model.config.rows.columns if feed == "rows" else model.config.label_columns)


def _labels(model: ModelFolder) -> LabelsInside:
    assert model.config.labels is not None
    return model.config.labels
