"""Go back to an older version."""

from dataclasses import dataclass

import pandas as pd

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import FeaturesInvalid, ModelIncompatible, ModelNotFound, NotReady, Refused
from evergreen.features.label_batches import newest_label_batches
from evergreen.features.labelled import blocks_of, gather_rows, match_labels
from evergreen.judging.attempts import DueAttempt
from evergreen.judging.champion import predict_labelled
from evergreen.judging.gate import judge
from evergreen.records import AttemptRecord, ClaimRecord, Judgement, PromotionRecord, WishRecord
from evergreen.steps.promote_model import promote_model
from evergreen.storage.stores import Stores, stores_of


@dataclass(frozen=True)
class RollbackPlan:
    """What a rollback would do, and what the gate thinks of it.

    :param attempt: the record that it makes.
    :param version: the version that would serve.
    :param instead: the version that serves now.
    :param doubt: why the gate would refuse it; None if it would not.
    """

    attempt: AttemptRecord
    version: int
    instead: int
    doubt: str | None


def plan_rollback(model: ModelFolder, at: Locations, version: int | None, why: str) -> RollbackPlan:
    """Judge an older version against the champion, on the newest labels that neither has learnt from.

    :param version: the version to go back to; None for the last one before the champion that is no baseline, if any.
    :param why: who wants it, and why.
    :raises ModelNotFound: if there is no such promoted version, naming those that there are.
    :raises NotReady: if no batch has been claimed yet.
    """
    stores = stores_of(model, at)
    promotions = list(stores.ledger.all(PromotionRecord, "champion"))
    as_of = stores.ledger.last_batch(ClaimRecord, model.config.calendar)
    if not promotions or as_of is None:
        raise NotReady(f"model {model.id}: nobody serves yet; there is nothing to go back from")
    champion = promotions[-1]
    older = [promotion for promotion in promotions if promotion.version != champion.version]
    before = [promotion for promotion in older if promotion.version < champion.version and not promotion.baseline]
    candidates = older if version or not before else before
    chosen = next((promotion for promotion in reversed(candidates) if version in (None, promotion.version)), None)
    if chosen is None:
        versions = ", ".join(map(str, sorted({promotion.version for promotion in older}))) or "none"
        wanted = f"version {version}" if version is not None else "an older version"
        raise ModelNotFound(f"model {model.id}: {wanted} has not been promoted before; valid: {versions}")
    holdout, judgement, doubt = _judge(model, stores, as_of, champion, chosen)
    attempt = AttemptRecord(
        as_of=as_of,
        verdict=f"rollback.{champion.number + 1}",
        trained_on=chosen.trained_on,
        training_rows=0,
        data=chosen.data,
        code=chosen.code,
        holdout=tuple(holdout),
        against=champion.number,
        judgement=judgement,
        outcome="passed",
        why=f"rolled back: {why}",
        baseline=chosen.baseline,
        version=chosen.version,
    )
    return RollbackPlan(attempt, chosen.version, champion.version, doubt)


def rollback_model(model: ModelFolder, at: Locations, plan: RollbackPlan) -> PromotionRecord:
    """Put an older version in force again, by the same record as any promotion.

    :returns: the promotion that stands under the number; it names another attempt where somebody was faster.
    :raises Refused: if another rollback was begun and not ended.
    """
    record = stores_of(model, at).ledger.put(plan.attempt)
    if record.version is None or record.version != plan.version:
        raise Refused(
            f"model {model.id}: a rollback to version {record.version} was begun at batch {record.as_of} and not "
            f"ended; end that one first: evergreen rollback {model.id} {record.version}"
        )
    return promote_model(model, at, DueAttempt(record.verdict, record.as_of), record.version)


def roll_back(
    model: ModelFolder, at: Locations, wish: str, version: int | None, why: str, even_if_worse: bool
) -> PromotionRecord:
    """Go back to an older version in one step, once for each wish.

    :param wish: the wish's own name: a second call under it goes back no further.
    :param version: as for ``plan_rollback``.
    :param even_if_worse: whether it goes on where the gate would refuse.
    :raises Refused: with the judgement, if the gate would refuse; or if somebody promoted meanwhile.
    """
    ledger = stores_of(model, at).ledger
    standing = ledger.get(WishRecord, wish)
    begun = ledger.get(AttemptRecord, standing.verdict) if standing is not None else None
    if begun is not None and begun.version is not None:
        return promote_model(model, at, DueAttempt(begun.verdict, begun.as_of), begun.version)
    plan = plan_rollback(model, at, version, why)
    if plan.doubt is not None and not even_if_worse:
        raise Refused(
            f"model {model.id}: the gate would refuse to go back from version {plan.instead} to version "
            f"{plan.version}: {plan.doubt}. Who wants it all the same says even_if_worse"
        )
    standing = ledger.put(WishRecord(as_of=plan.attempt.as_of, name=wish, verdict=plan.attempt.verdict))
    promoted = rollback_model(model, at, plan) if standing.verdict == plan.attempt.verdict else None
    if promoted is None or promoted.attempt != plan.attempt.id:
        raise Refused(f"model {model.id}: another version was promoted meanwhile; look at it, and ask again")
    return promoted


def _judge(
    model: ModelFolder, stores: Stores, as_of: str, champion: PromotionRecord, chosen: PromotionRecord
) -> tuple[list[str], Judgement | None, str | None]:
    """The holdout, the gate's judgement, and why it would refuse."""
    config, schema = model.config, model.config.data_schema
    if schema.labels is None:
        return [], None, "this model has no labels to judge by"
    learnt = max(champion.trained_on[1], chosen.trained_on[1])
    holdout = [one for one in newest_label_batches(schema, stores, as_of, config.gate.min_rows) if one > learnt]
    labelled = match_labels(schema, stores, holdout[0], as_of) if holdout else None
    if labelled is None or len(labelled.rows) < config.gate.min_rows:
        count = len(labelled.rows) if labelled is not None else 0
        return holdout, None, f"{count} labels are new to both, {config.gate.min_rows} are needed to judge"
    try:
        old, new = (predict_labelled(schema, stores, one, labelled) for one in (champion, chosen))
    except (FeaturesInvalid, ModelIncompatible) as error:
        return holdout, None, f"one of the two cannot score these rows: {error}"
    rows = gather_rows(schema, stores, labelled) if config.gate.slices or config.gate.sensitive else pd.DataFrame()
    target = labelled.rows[schema.labels.column].to_numpy(dtype=float)
    blocks = blocks_of(labelled)
    judgement, doubt = judge(config.gate, f"version {champion.version}", target, old, new, blocks, rows)
    return holdout, judgement, doubt
