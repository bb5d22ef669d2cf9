"""Score batches again."""

from collections.abc import Iterator
from dataclasses import dataclass

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import NotReady, Refused
from evergreen.features.building import claimed_data
from evergreen.features.labelled import standing_claim
from evergreen.features.reading import partition_of
from evergreen.judging.promotions import promotion_serving, require_promoted
from evergreen.records import BatchRecord, ClaimRecord, DataRecord, PromotionRecord, RescoreRecord
from evergreen.steps.score_batch import predict_batch, put_predictions
from evergreen.storage.revisions import sealed_batch
from evergreen.storage.stores import Stores, stores_of

_NOT_SCORED = "not scored: "


@dataclass(frozen=True)
class RescoreResult:
    """What became of scoring one batch again.

    :param batch: which.
    :param standing: the scores that are read now.
    :param before: those that were read before; equal to ``standing`` where nothing has changed.
    :param rows: predictions written.
    :param why: why there is no further revision; empty where there is one.
    """

    batch: str
    standing: ClaimRecord
    before: ClaimRecord
    rows: int = 0
    why: str = ""


def rescore_batches(
    model: ModelFolder, at: Locations, first: str, last: str, version: int | None, why: str, wish: str = ""
) -> list[RescoreResult]:
    """Score a range of batches once more, as a further revision of their predictions; claims and all else stand.

    Each is scored from its rows as they are read now, and from the history that its claim lists. What was scored by the
    same version from the same rows is left as it is.

    :param version: a version that was promoted once; None for the champion of each batch's time.
    :param why: who wants it, and why.
    :param wish: the wish's own name: a second call under it makes no further revision.
    :returns: one for each batch, from first to last, both included.
    :raises Refused: if a batch was not scored yet, or none of them can be.
    :raises ModelNotFound: if there is no such promoted version, naming those that there are.
    :raises NotReady: if somebody else scored a batch again meanwhile.
    """
    stores = stores_of(model, at)
    as_of = _require_scored(model, stores, first, last)
    promotion = require_promoted(stores, version) if version is not None else None
    asked = RescoreRecord(as_of=as_of, why=why, wish=wish, n=0, batch="", revision=0, version=0, promotion=0, data="")
    results = [
        _rescore(model, stores, batch, promotion or promotion_serving(stores.ledger, batch), asked)
        for batch in model.config.calendar.between(first, last)
    ]
    if all(one.why.startswith(_NOT_SCORED) for one in results):
        raise Refused(f"model {model.id}: no batch from {first} to {last} can be scored again: {results[0].why}")
    return results


def describe_rescored(results: list[RescoreResult]) -> Iterator[str]:
    """Say what became of each batch."""
    for one in results:
        now, then = one.standing, one.before
        before = f"version {then.version}" if then.version is not None else "nobody"
        again = f"{one.rows} rows scored again by version {now.version}, as revision {now.revision}; by {before} before"
        yield f"batch {one.batch}: {one.why or again}"
    if not all(one.why for one in results):
        yield "claims, verdicts and what was predicted then stand; outcomes are told of what was predicted then"


def _require_scored(model: ModelFolder, stores: Stores, first: str, last: str) -> str:
    """The batch that is open, from which on the new scores are read.

    :raises Refused: if a batch is none, or was not scored yet.
    """
    calendar = model.config.calendar
    try:
        begin, end = calendar.index(first), calendar.index(last)
    except ValueError as error:
        raise Refused(f"model {model.id}: {error}") from error
    if begin > end:
        raise Refused(f"model {model.id}: batch {first} lies after {last}; name the earlier one first")
    claimed = stores.ledger.last_batch(ClaimRecord, calendar)
    if begin < 0 or claimed is None or end > calendar.index(claimed):
        scored = f"{calendar.name(0)} to {claimed}" if claimed else "none"
        raise Refused(f"model {model.id}: {first} to {last}: not all were scored yet; batches that were: {scored}")
    return calendar.shift(claimed, 1)


def _rescore(
    model: ModelFolder, stores: Stores, batch: str, promotion: PromotionRecord | None, asked: RescoreRecord
) -> RescoreResult:
    """Score one batch again.

    :param asked: who asks and why, as a record that names no batch yet.
    """
    claim, every = standing_claim(stores, batch), list(stores.ledger.all(RescoreRecord, "batches"))
    made = [one for one in every if one.batch == batch]
    before = made[-1].scores if made else claim
    granted = next((one for one in made if asked.wish and one.wish == asked.wish), None)
    if granted is not None:
        rows = _write_missing(model, stores, granted)
        return RescoreResult(batch, before, before, rows, f"this run has scored it, as revision {granted.revision}")
    if promotion is None:
        return RescoreResult(batch, before, before, why=f"{_NOT_SCORED}nobody was champion then; name a version")
    sealed = sealed_batch(stores.ledger, "rows", batch)
    if sealed is None or not sealed.has_rows:
        became = sealed.state if sealed is not None and sealed.state != "published" else "all in quarantine"
        return RescoreResult(batch, before, before, why=f"{_NOT_SCORED}its rows are {became}")
    data = _list_data(stores, claim, sealed)
    if (before.version, before.data) == (promotion.version, data.id):
        rows = _write_missing(model, stores, made[-1]) if made else 0
        same = f"nothing has changed; version {promotion.version} scored it from the same rows"
        return RescoreResult(batch, before, before, rows, same)
    stores.ledger.put(data)
    # A claim has no more than the revisions 0 and 1.
    revision = made[-1].revision + 1 if made else 2
    who = {"version": promotion.version, "promotion": promotion.number, "data": data.id}
    record = asked.model_copy(update={"n": len(every), "batch": batch, "revision": revision, **who})
    # What the version fails on is not put on record.
    predicted = predict_batch(model, stores, record.scores, stores.models.load_promoted(promotion))
    standing = stores.ledger.put(record)
    while (standing.batch, standing.revision) != (batch, revision):
        standing = stores.ledger.put(record.model_copy(update={"n": standing.n + 1}))
    if standing.scores != record.scores:
        raise NotReady(f"model {model.id}: batch {batch} was scored again by somebody else meanwhile; try again")
    return RescoreResult(batch, standing.scores, before, put_predictions(model, stores, standing.scores, predicted))


def _write_missing(model: ModelFolder, stores: Stores, record: RescoreRecord) -> int:
    """Write what a run that was killed has put on record and not written; returns the number of rows."""
    if stores.lake.read_any("predictions", record.batch, record.revision).num_rows:
        return 0
    promotion = stores.ledger.require(PromotionRecord, "champion", record.promotion - 1)
    packed = stores.models.load_promoted(promotion)
    return put_predictions(model, stores, record.scores, predict_batch(model, stores, record.scores, packed))


def _list_data(stores: Stores, claim: ClaimRecord, rows: BatchRecord) -> DataRecord:
    """The rows of a batch as they are read now, with the history that its claim lists."""
    listed = [one for one in claimed_data(stores, claim).partitions if (one.table, one.batch) != ("clean", claim.as_of)]
    return DataRecord.listing([*listed, partition_of(rows)])
