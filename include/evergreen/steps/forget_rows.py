"""Forget a person's rows."""

import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from evergreen.checks.named_rows import NamedRows
from evergreen.checks.raw_files import rewrite_raw
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import NotReady, Refused
from evergreen.features.forgotten_views import leave_view, tables_of_views
from evergreen.records import (
    FEEDS,
    ArrivalRecord,
    BatchRecord,
    ClaimRecord,
    DataRecord,
    ForgettingRecord,
    ForgottenRecord,
    ForgottenRows,
    PromotionRecord,
    VerdictRecord,
)
from evergreen.records.removals import hash_key
from evergreen.sources.intake import find_landed
from evergreen.storage.content import content_hash
from evergreen.storage.lake import describe
from evergreen.storage.lease import hold_lease
from evergreen.storage.ledger import Ledger
from evergreen.storage.removals import FORGETTINGS, find_forgetting, put_forgetting
from evergreen.storage.remover import Remover
from evergreen.storage.revisions import is_scored
from evergreen.storage.spool import Spool
from evergreen.storage.stores import Stores, stores_of

# The tables that rows are found in by any of their columns; by their keys then all else.
_ROWS = ("clean", "quarantine_rows")


@dataclass(frozen=True)
class ForgetResult:
    """What became of forgetting rows.

    :param record: what was to be removed, and which versions had learnt from it.
    :param ended: that it is, with its counts.
    :param landing: files of their batches that lie in the landing folder still, which is not Evergreen's.
    :param again: whether nothing was left to do.
    :param spooled: files of answers that are in no table yet, and were not looked at.
    """

    record: ForgettingRecord
    ended: ForgottenRecord
    landing: tuple[str, ...]
    again: bool
    spooled: int = 0


@dataclass(frozen=True)
class _Found:
    """What holds rows that are meant.

    :param named: the rows, by their values and keys.
    :param partitions: of tables, with the hash of what will be left.
    :param contents: of quarantined rows, as they are kept.
    """

    named: NamedRows
    partitions: tuple[ForgottenRows, ...]
    contents: tuple[str, ...]


def forget_rows(
    model: ModelFolder, at: Locations, values: tuple[str, ...], columns: tuple[str, ...], on: date, why: str
) -> ForgetResult:
    """Remove all rows of some values, with their labels and predictions, from all that the lake keeps, for good.

    Versions that learnt from them stay as they are, and are named. A call that was killed is gone on with by the next.

    :param values: one for each of the columns, as text.
    :param columns: declared columns of rows; empty for the key.
    :param on: the day, in UTC.
    :param why: who wants it, and why; it must not hold the values.
    :raises Refused: if no row has these values, or a value cannot be one of its column.
    :raises NotReady: while a batch is half taken in or half scored, or another process is at it.
    """
    stores, by = stores_of(model, at), columns or model.config.rows.key
    try:
        named = NamedRows(model.config, by, values)
    except Refused as error:
        raise Refused(f"model {model.id}: {error}") from None
    with hold_lease(at, model.id, "forgetting"):
        _require_rest(model, stores)
        remover = Remover(at, model.id)
        found = _find(stores, remover, named)
        standing = find_forgetting(stores.ledger, by, values)
        ended = stores.ledger.get(ForgottenRecord, FORGETTINGS, standing.n) if standing is not None else None
        if standing is None and not found.partitions:
            raise Refused(f"model {model.id}: no row, label or prediction has this value of {', '.join(by)}")
        if standing is not None and ended is not None and not found.partitions:
            return ForgetResult(standing, ended, _still_landed(model, at, standing), True, _spooled(model, at))
        is_begun = standing is not None and ended is None and {*found.partitions} <= {*standing.partitions}
        record = standing if standing is not None and is_begun else _put(model, stores, remover, found, on, why)
        ended = _remove(model, stores, remover, found, record)
        return ForgetResult(record, ended, _still_landed(model, at, record), False, _spooled(model, at))


def describe_forgotten(model: str, result: ForgetResult) -> Iterator[str]:
    """Say what was removed, and what that leaves to do."""
    record, ended = result.record, result.ended
    if result.again:
        yield f"{model}: {record.told} before; nothing is left of it"
    else:
        counts = ", ".join(f"{rows} of {table}" for table, rows in ended.rows.items())
        beside = f"{ended.files} raw files, {ended.reports} reports and {ended.records} records were rid of them"
        yield f"{model}: {record.told}: {counts or 'no row'}; {beside}"
    versions = ", ".join(map(str, record.versions))
    yield f"versions that had read them to learn: {versions}" if versions else "no version had learnt from them"
    if versions:
        yield "  they stay as they are; `evergreen status` tells who serves, a retraining learns without these rows"
    if result.spooled:
        yield f"  {result.spooled} files of answers wait in the spool: forget once more when a batch has taken them in"
    for name in result.landing:
        yield f"  {name} lies in the landing folder still: take the rows out there, or a reingest brings them back"


def _require_rest(model: ModelFolder, stores: Stores) -> None:
    """Refuse while somebody may be writing rows."""
    calendar, ledger = model.config.calendar, stores.ledger
    last = ledger.last_batch(ClaimRecord, calendar)
    claim = ledger.last(ClaimRecord, last) if last is not None else None
    rest = "wait for its run, or pause the model's DAGs, then try again"
    if claim is not None and claim.version is not None and not is_scored(stores, claim):
        raise NotReady(f"model {model.id}: batch {claim.as_of} is being scored; {rest}")
    for batch in [calendar.name(0)] if last is None else [last, calendar.shift(last, 1)]:
        for feed in FEEDS:
            taken = ledger.get(ArrivalRecord, f"{feed}.{batch}") is not None
            if taken and ledger.get(BatchRecord, f"{feed}.{batch}") is None:
                raise NotReady(f"model {model.id}: {feed} of batch {batch} are being taken in; {rest}")


def _find(stores: Stores, remover: Remover, named: NamedRows) -> _Found:
    """Look through all tables: first for the keys of the rows that are meant, then for all that has these."""
    listed = {table: remover.partitions(table) for table in [*remover.tables(), *tables_of_views(stores)]}
    came = [(table, *one) for table in _ROWS for one in listed.get(table, ())]
    named = named.with_keys(named.keys_of(stores.lake.read_any(*one)) for one in came)
    found, contents = [], list[str]()
    for table, partitions in listed.items():
        for batch, revision in partitions:
            rows = stores.lake.read_any(table, batch, revision)
            meant = named.mask(rows)
            if not meant.any():
                continue
            left = content_hash(rows.filter(pa.array(~meant)))
            count = int(meant.sum())
            found.append(ForgottenRows(table=table, batch=batch, revision=revision, rows=count, content=left))
            if table.startswith("quarantine"):
                contents += rows.filter(pa.array(meant)).column("content").to_pylist()
    return _Found(named, tuple(found), tuple(contents))


def _put(model: ModelFolder, stores: Stores, remover: Remover, found: _Found, on: date, why: str) -> ForgettingRecord:
    """Put on record what is to be removed, before any of it is."""
    named, ledger, salt = found.named, stores.ledger, secrets.token_hex(16)
    batches = {one.batch for one in found.partitions}
    hit = {(one.table, one.batch, one.revision) for one in found.partitions}
    versions = {
        promotion.version
        for promotion in ledger.all(PromotionRecord, "champion")
        for one in ledger.require(DataRecord, promotion.data).partitions
        if (one.table, one.batch, one.revision) in hit
    }
    record = ForgettingRecord(
        as_of=ledger.last_batch(ClaimRecord, model.config.calendar) or model.config.calendar.name(0),
        n=0,
        columns=named.columns,
        salt=salt,
        key=hash_key(salt, named.values),
        on=on.isoformat(),
        partitions=found.partitions,
        files=tuple(file for file, _ in rewrite_raw(model, stores, remover, named, batches)),
        versions=tuple(sorted(versions)),
        why=named.blotted(()).sub("(forgotten)", why),
    )
    return put_forgetting(ledger, record)


def _remove(
    model: ModelFolder, stores: Stores, remover: Remover, found: _Found, record: ForgettingRecord
) -> ForgottenRecord:
    """Remove what was found. The rows themselves go last: a call that goes on finds by them what else there is."""
    ledger, named = stores.ledger, found.named
    batches = {one.batch for one in record.partitions}
    blotted = ledger.blot_out(named.blotted(found.contents))
    reports = [name for name in remover.reports() if _may_hold(ledger, name, batches, record.versions)]
    for name in reports:
        remover.drop("reports", name)
    for file, content in list(rewrite_raw(model, stores, remover, named, batches)):
        if file.now:
            stores.lake.put_raw(file.now, content)
        remover.drop("raw", file.raw)
    remover.drop_statistics(lambda _, batch: batch in batches)
    facts = describe(model=model.id, forgetting=record.n)
    for table in sorted([*remover.tables(), *tables_of_views(stores)], key=lambda name: name in _ROWS):
        for one in found.partitions:
            if one.table == table:
                rows = stores.lake.read_any(table, one.batch, one.revision)
                leave_view(stores, record, table, rows.filter(pa.array(named.mask(rows))))
                stores.lake.replace(table, one.batch, one.revision, rows.filter(pa.array(~named.mask(rows))), facts)
        remover.purge(table, lambda rows: bool(named.mask(rows).any()))
    counts = Counter[str]()
    for one in record.partitions:
        counts[one.table] += one.rows
    return ledger.put(
        ForgottenRecord(
            as_of=record.as_of,
            n=record.n,
            rows=dict(counts),
            files=len(record.files),
            reports=len(reports),
            records=blotted,
        )
    )


def _may_hold(ledger: Ledger, name: str, batches: set[str], versions: tuple[int, ...]) -> bool:
    """Whether a report draws rows of some batches, or what a version that learnt from them was made of."""
    verdict = ledger.get(VerdictRecord, name.removeprefix("drift-").removesuffix(".html"))
    return verdict is None or verdict.version in versions or not batches.isdisjoint(verdict.covers)


def _spooled(model: ModelFolder, at: Locations) -> int:
    return len(Spool(at, model.id).sizes()) if model.config.serving.keeps else 0


def _still_landed(model: ModelFolder, at: Locations, record: ForgettingRecord) -> tuple[str, ...]:
    return tuple(find_landed(model, at, (one.batch for one in record.partitions)))
