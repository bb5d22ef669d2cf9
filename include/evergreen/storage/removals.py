"""What was removed on purpose, as those who read are told: rows that were forgotten, and what had reached its age."""

from collections.abc import Collection, Iterable, Iterator

from evergreen.errors import RowsRemoved
from evergreen.records import ForgettingRecord, ForgottenFile, ForgottenRows, Partition, RetentionRecord, SourceFile
from evergreen.storage.ledger import Ledger

FORGETTINGS = "rows"


def contents_left(ledger: Ledger, partition: Partition) -> Collection[str]:
    """Hashes that the rows of a partition may have beside that of its record, since some of them were forgotten.

    Asked only where rows are not those of the record: what was never touched costs no look.

    :raises RowsRemoved: if all of it had reached its age.
    """
    require_retained(ledger, partition.table, partition.batch)
    return [rows.content for _, rows in _forgotten_of(ledger, [partition])]


def require_retained(ledger: Ledger, table: str, batch: str) -> None:
    """Refuse what is no longer there since it had reached its age.

    :raises RowsRemoved: naming table and batch, and since when.
    """
    record = removed_by_age(ledger, table, batch)
    if record is not None:
        kept = f"what is older than `retention` in config.yaml allows goes; kept from {record.before} on"
        raise RowsRemoved(f"{table} of batch {batch}: removed by retention at batch {record.as_of} ({kept})")


def removed_by_age(ledger: Ledger, table: str, batch: str) -> RetentionRecord | None:
    """The record by which what a table (or ``raw``) held of a batch is gone; None where it is not."""
    last = ledger.last(RetentionRecord, table.partition("_")[0])
    return last if last is not None and batch < last.before else None


def tell_removed(ledger: Ledger, partitions: Iterable[Partition]) -> list[str]:
    """What is missing of some partitions, in words: one line a forgetting, and one a table that retention cut."""
    listed, told = list(partitions), dict[str, None]()
    counts: dict[int, tuple[ForgettingRecord, int]] = {}
    for record, rows in _forgotten_of(ledger, listed):
        counts[record.n] = (record, counts.get(record.n, (record, 0))[1] + rows.rows)
    told.update(dict.fromkeys(f"{rows} rows or labels of it: {record.told}" for record, rows in counts.values()))
    for table in dict.fromkeys(one.table for one in listed):
        gone = {one.batch for one in listed if one.table == table and removed_by_age(ledger, table, one.batch)}
        if gone:
            told[f"{table} of {len(gone)} batches, {min(gone)} to {max(gone)}: removed by retention"] = None
    return list(told)


def require_kept(ledger: Ledger, partitions: Iterable[Partition], what: str) -> None:
    """Refuse what would need rows that are no longer there.

    :param what: what needs them.
    :raises RowsRemoved: with what was removed, when and why.
    """
    if told := tell_removed(ledger, partitions):
        raise RowsRemoved(f"{what}: {'; '.join(told)}")


def follow_file(ledger: Ledger, file: SourceFile) -> tuple[SourceFile, str]:
    """A raw file as it lies by now, where it was written anew without forgotten rows; and what is told of that.

    :raises RowsRemoved: if it is gone for good.
    """
    told = ""
    for record, rewritten in _rewritten(ledger):
        if rewritten.raw == file.raw:
            told = f"without the rows that were {record.told}"
            if not rewritten.now:
                raise RowsRemoved(f"{file.name}: the raw file is gone: rows of it were {record.told}")
            file = file.model_copy(update={"raw": rewritten.now, "sha256": rewritten.sha256})
    return file, told


def find_forgetting(ledger: Ledger, columns: tuple[str, ...], values: tuple[str, ...]) -> ForgettingRecord | None:
    """The newest record by which the rows of some values are forgotten."""
    named = [one for one in ledger.all(ForgettingRecord, FORGETTINGS) if one.names(columns, values)]
    return named[-1] if named else None


def put_forgetting(ledger: Ledger, record: ForgettingRecord) -> ForgettingRecord:
    """Put a forgetting on record under the next number, unless it is there."""
    standing = ledger.put(record.model_copy(update={"n": 0}))
    while standing.salt != record.salt:
        standing = ledger.put(record.model_copy(update={"n": standing.n + 1}))
    return standing


def _rewritten(ledger: Ledger) -> Iterator[tuple[ForgettingRecord, ForgottenFile]]:
    for record in ledger.all(ForgettingRecord, FORGETTINGS):
        for file in record.files:
            yield record, file


def _forgotten_of(ledger: Ledger, partitions: list[Partition]) -> Iterator[tuple[ForgettingRecord, ForgottenRows]]:
    wanted = {(one.table, one.batch, one.revision) for one in partitions}
    for record in ledger.all(ForgettingRecord, FORGETTINGS):
        for rows in record.partitions:
            if (rows.table, rows.batch, rows.revision) in wanted:
                yield record, rows
