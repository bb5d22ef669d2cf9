"""Remove what has reached its age."""

from evergreen.config.contract import ModelConfig
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.config.retention_config import NEEDED
from evergreen.judging.attempts import find_open_verdict
from evergreen.judging.promotions import promotion_decided
from evergreen.records import AttemptRecord, DataRecord, PromotionRecord, RetentionRecord
from evergreen.storage.remover import Remover
from evergreen.storage.stores import Stores, stores_of


def apply_retention(model: ModelFolder, at: Locations, batch: str) -> dict[str, str]:
    """Remove what ``retention`` lets go as a batch ends; what is on record as removed is removed again, if it is there.

    Put on record first, so that whoever reads meanwhile is told so. A bound never goes back: a batch that is processed
    again removes nothing more.

    :returns: by table, the first batch that is kept, where any was removed.
    """
    stores, remover, kept = stores_of(model, at), Remover(at, model.id), dict[str, str]()
    for table in model.config.retention.ages:
        before = _find_bound(model.config, stores, table, batch)
        last = stores.ledger.last(RetentionRecord, table)
        n = last.n + 1 if last is not None else 0
        if before > model.config.calendar.name(0) and (last is None or before > last.before):
            last = stores.ledger.put(RetentionRecord(as_of=batch, table=table, n=n, before=before))
        if last is not None:
            kept[table] = last.before
            _remove(remover, table, last.before)
    return kept


def _find_bound(config: ModelConfig, stores: Stores, table: str, batch: str) -> str:
    """The first batch of a table that has to be kept at a batch."""
    calendar = config.calendar
    index = calendar.index(batch)
    # An age may reach back further than dates do.
    age = min(config.retention.ages[table], calendar.end(batch) - calendar.moment(calendar.name(0)))
    oldest = calendar.end(batch) - age
    bound = calendar.name(max(0, min(index, calendar.index(calendar.containing(oldest)))))
    return min(bound, _oldest_needed(config, stores, table, batch)) if table in NEEDED else bound


def _oldest_needed(config: ModelConfig, stores: Stores, table: str, batch: str) -> str:
    """The oldest batch that the serving version, or an attempt that is open, rests on."""
    ledger, calendar = stores.ledger, config.calendar
    decided, newest = promotion_decided(ledger, batch), ledger.last(PromotionRecord, "champion")
    if decided is None or newest is None:
        # The first version may learn from all that there is.
        return calendar.name(0)
    verdict = find_open_verdict(config, stores)
    attempt = ledger.get(AttemptRecord, verdict.id) if verdict is not None else None
    bases = [one for one in (decided, newest, attempt) if one is not None]
    if table == "predictions":
        # The labels that it is judged by came after those that it learnt from, for rows that are older by their delay.
        delay = config.data_schema.labels.max_delay if config.data_schema.labels is not None else 0
        spans = [one.trained_on for one in bases if one.trained_on is not None]
        return min(calendar.shift(last, -delay) for _, last in spans)
    listed = [ledger.require(DataRecord, one.data).partitions for one in bases if one.data]
    return min((one.batch for partitions in listed for one in partitions if one.table == table), default=batch)


def _remove(remover: Remover, table: str, before: str) -> None:
    if table == "raw":
        batches = {one for one in remover.raw_batches() if one < before}
        for path in list(remover.raw_files(batches)):
            remover.drop("raw", path)
        return
    remover.drop_statistics(lambda one, batch: one == table and batch < before)
    for name in remover.tables():
        if name == table or (table == "quarantine" and name.startswith("quarantine_")):
            remover.drop_before(name, before)
