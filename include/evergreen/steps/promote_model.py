"""Promote a registered version."""

import logging

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import Refused
from evergreen.features.packing import packed_hashes
from evergreen.features.version_tags import BASELINE_TAG, fitted_span
from evergreen.incidents import announce, resolve
from evergreen.judging.attempts import DueAttempt
from evergreen.judging.promotions import judged_promotion, next_effective
from evergreen.records import AttemptRecord, PromotionRecord, Words
from evergreen.steps.register_model import require_passed
from evergreen.storage.stores import Stores, stores_of

_logger = logging.getLogger(__name__)


def promote_model(model: ModelFolder, at: Locations, attempt: DueAttempt, version: int) -> PromotionRecord:
    """Put a version in force: promotion n+1 after a judgement against promotion n, if nobody was faster.

    :returns: the promotion that stands under that number; it names another attempt where somebody was faster.
    :raises ApprovalMissing: if only a human may promote it, and nobody has said yes.
    """
    stores = stores_of(model, at)
    judged = require_passed(model, stores, attempt)
    standing = stores.ledger.get(PromotionRecord, "champion", judged.against)
    if standing is None:
        standing = stores.ledger.put(_build_promotion(model, stores, judged, version))
    sync_alias(model, stores, attempt.as_of)
    if standing.attempt == attempt.verdict:
        as_judged = standing.baseline == judged.baseline
        why = judged.why if as_judged else "the baseline, for what was judged could not be fitted again"
        text = (
            f"{model.id}: version {version} promoted at batch {attempt.as_of}, serves from batch "
            f"{standing.effective_from}: {why}."
        )
        _logger.info("%s", text)
        # Of a refresh the next check says whether it was enough, and it does not mend what the folder says by now.
        if not judged.refresh:
            resolve(stores.ledger, "decay", attempt.as_of, text)
            if as_judged:
                resolve(stores.ledger, "unfit", attempt.as_of, text)
    return standing


def _build_promotion(model: ModelFolder, stores: Stores, judged: AttemptRecord, version: int) -> PromotionRecord:
    """The promotion that an attempt leads to."""
    before = stores.ledger.get(PromotionRecord, "champion", judged.against - 1) if judged.refresh else None
    same = [one for one in stores.ledger.all(PromotionRecord, "champion") if one.version == version]
    if same and judged.version is None:
        raise Refused(
            f"model {model.id}: attempt {judged.id} was registered as version {version}, as promotion {same[0].number} "
            "has called another model before: MLflow's registry has lost versions. Restore its database from a backup "
            "(docs/backup.md)"
        )
    packed = [one.hashes for one in same] or packed_hashes(stores, judged.verdict, "champion")
    tags = stores.models.version_tags(version)
    as_judged = judged.judgement if judged.baseline == (BASELINE_TAG in tags) and not judged.begins else None
    return PromotionRecord(
        as_of=judged.as_of,
        number=judged.against + 1,
        version=version,
        attempt=judged.verdict,
        code=tags["evergreen.code"],
        data=tags["evergreen.data"],
        trained_on=fitted_span(tags),
        effective_from=next_effective(stores.ledger, model.config.calendar, judged.as_of),
        error=as_judged.challenger if as_judged is not None else None,
        baseline=BASELINE_TAG in tags,
        refreshes=judged_promotion(stores.ledger, before).number if before is not None else None,
        hashes=stores.models.find_hashes(version, packed),
    )


def sync_alias(model: ModelFolder, stores: Stores, as_of: str) -> None:
    """Make MLflow's alias say what the ledger says.

    A tag that is lower than the promotion means that the alias lags; an equal one, that a hand has moved it; a higher
    one, that a promotion came while this was looked at.

    :param as_of: the batch at which this is seen.
    """
    promotion = stores.ledger.last(PromotionRecord, "champion")
    if promotion is None:
        return
    version, tagged = stores.models.champion()
    if tagged > promotion.number or (version, tagged) == (promotion.version, promotion.number):
        return
    if tagged == promotion.number:
        words = Words(
            f"{model.id}: the alias champion was moved by hand to version {version}; promotion {promotion.number} "
            f"says version {promotion.version}.",
            "The alias was put back, and nothing was scored by the other version: the ledger decides, the alias shows.",
            "Nothing. To serve another version, use `evergreen rollback`.",
        )
        announce(stores.ledger, "moved", as_of, words)
    stores.models.move_alias(promotion.version, promotion.number)
