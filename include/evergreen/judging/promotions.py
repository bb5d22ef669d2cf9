"""Which promotion is in force at a batch, or was decided by it."""

from collections.abc import Callable

from evergreen.batches import Calendar
from evergreen.errors import ModelNotFound
from evergreen.records import ClaimRecord, PromotionRecord
from evergreen.storage.ledger import Ledger
from evergreen.storage.stores import Stores


def promotion_decided(ledger: Ledger, as_of: str) -> PromotionRecord | None:
    """The newest promotion that had been decided by a batch."""
    return _newest(ledger, lambda promotion: promotion.as_of <= as_of)


def promotion_serving(ledger: Ledger, batch: str) -> PromotionRecord | None:
    """The newest promotion that is in force for scoring a batch."""
    return _newest(ledger, lambda promotion: promotion.effective_from <= batch)


def require_promoted(stores: Stores, version: int) -> PromotionRecord:
    """The newest promotion of a version.

    :raises ModelNotFound: naming the versions that there are.
    """
    promotions = {one.version: one for one in stores.ledger.all(PromotionRecord, "champion")}
    if version not in promotions:
        versions = ", ".join(map(str, sorted(promotions))) or "none"
        raise ModelNotFound(f"model {stores.model_id} has no promoted version {version}; promoted versions: {versions}")
    return promotions[version]


def judged_promotion(ledger: Ledger, promotion: PromotionRecord) -> PromotionRecord:
    """The promotion whose recipe a refresh carries on; of one that was judged, itself."""
    if promotion.refreshes is None:
        return promotion
    return ledger.require(PromotionRecord, "champion", promotion.refreshes - 1)


def next_effective(ledger: Ledger, calendar: Calendar, as_of: str) -> str:
    """The first batch that a promotion decided at ``as_of`` may score: after it, and after all that are claimed."""
    claimed = ledger.last_batch(ClaimRecord, calendar)
    return calendar.shift(max(as_of, claimed or as_of), 1)


def _newest(ledger: Ledger, holds: Callable[[PromotionRecord], bool]) -> PromotionRecord | None:
    promotion = ledger.last(PromotionRecord, "champion")
    while promotion is not None and not holds(promotion):
        promotion = ledger.get(PromotionRecord, "champion", promotion.number - 2) if promotion.number > 1 else None
    return promotion
