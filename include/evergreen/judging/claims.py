"""Claims: which version is to score a batch, and from which data."""

from contextlib import suppress

from evergreen.config.model_folder import ModelFolder
from evergreen.errors import ModelIncompatible, NotReady, Outage, Refused
from evergreen.features.building import list_readable_data
from evergreen.features.generations import missing_columns
from evergreen.features.online import prepare_views
from evergreen.incidents import report
from evergreen.judging.promotions import promotion_serving
from evergreen.records import ClaimRecord, DataRecord, PromotionRecord, Unscored, Words
from evergreen.storage.packed_model import PackedModel
from evergreen.storage.revisions import sealed_batch
from evergreen.storage.stores import Stores, missing_database


def make_claim(model: ModelFolder, stores: Stores, batch: str) -> ClaimRecord:
    """Who is to score a batch, and from which data; or why nobody does.

    :raises NotReady: if the batch is not sealed, or the one before it not claimed.
    :raises ModelIncompatible: if the champion cannot be loaded; an incident tells of it.
    """
    calendar, ledger = model.config.calendar, stores.ledger
    record = sealed_batch(ledger, "rows", batch, batch)
    if record is None:
        raise NotReady(f"model {model.id}: the rows of batch {batch} are not sealed; validate them first")
    promotion = promotion_serving(ledger, batch)
    if promotion is None and calendar.index(batch) == 0:
        _require_new(model, stores)
    # Before all else: what keeps it from being loaded is told at each batch, not that the batch before was not scored.
    spec = load_champion(model, stores, promotion, batch).spec if promotion is not None else None
    before = calendar.shift(batch, -1)
    if calendar.index(batch) > 0 and ledger.get(ClaimRecord, before) is None:
        raise NotReady(f"model {model.id}: batch {before} has not been claimed; score it before {batch}")
    today = model.config.data_schema
    # What today's folder looks back on is listed as well: challengers learn from what was listed here.
    lookback = max(model.config.features.lookback, spec.lookback if spec is not None else 0)
    data, cut = list_readable_data(today, stores, batch, lookback)
    views, declared = spec.views if spec is not None else {}, model.config.features.views
    values, failed = prepare_views(views, declared, stores, calendar.moment(batch), calendar.end(batch))
    data = DataRecord.listing([*data.partitions, *values])
    ledger.put(data)
    claim = ClaimRecord(as_of=batch, revision=0, version=None, promotion=None, why="", data=data.id, label_cut=cut)

    def by_nobody(unscored: Unscored, why: str) -> ClaimRecord:
        return claim.model_copy(update={"unscored": unscored, "why": why})

    if record.state != "published":
        return by_nobody(record.state, f"batch {record.state}")
    if record.clean == 0:
        return by_nobody("empty", "batch without a clean row")
    if promotion is None or spec is None:
        return by_nobody("no champion", "no champion yet")
    if unknown := missing_columns(today, spec.data_schema(today)):
        why = f"version {promotion.version} reads {', '.join(unknown)}, as config.yaml does not say"
        return by_nobody("unreadable", why)
    if failed:
        return by_nobody("failed", f"version {promotion.version} reads what could not be computed: {failed}")
    why = f"promotion {promotion.number}, in force from {promotion.effective_from}"
    return claim.model_copy(update={"version": promotion.version, "promotion": promotion.number, "why": why})


def load_champion(model: ModelFolder, stores: Stores, promotion: PromotionRecord, batch: str) -> PackedModel:
    """The version that is to score a batch.

    :raises ModelIncompatible: if it cannot be loaded. Nobody scores the batch then: it waits until the files are
        restored, or another version serves.
    """
    try:
        return stores.models.load_promoted(promotion)
    except ModelIncompatible as error:
        words = Words(
            f"{model.id}: batch {batch} has no predictions: {error}.",
            "Nothing of that version was run; this batch and those after it wait.",
            "Restore what it names, or `evergreen rollback`; then clear score_batch, or run it again.",
        )
        report(stores.ledger, "unscored", batch, words)
        raise


def _require_new(model: ModelFolder, stores: Stores) -> None:
    """Refuse to begin anew what has a history: its lake was lost, or is kept elsewhere.

    :raises Refused: if MLflow knows a promotion of the model, and the ledger none.
    """
    number = 0
    # While MLflow is down a model that is new need not wait for it.
    with suppress(Outage):
        number = 0 if missing_database(stores.at) else stores.models.champion()[1]
    if number:
        raise Refused(
            f"model {model.id}: the ledger at {stores.at.lake} has none, and MLflow at {stores.at.tracking_uri} "
            f"knows promotion {number} of {stores.models.name}: the lake was lost, or is elsewhere. Set EVERGREEN_LAKE "
            "or restore it from a backup (docs/runbook.md#when-state-is-damaged); to begin anew, delete the registered "
            "model in MLflow, or choose another EVERGREEN_ENV"
        )
