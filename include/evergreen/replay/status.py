"""Who serves and why: what `evergreen status` and `evergreen why` say."""

from collections.abc import Iterator
from datetime import UTC, datetime

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import Outage, Refused
from evergreen.incidents import newest_incidents
from evergreen.judging.attempts import find_due_attempt, find_open_verdict, get_verdict, newest_verdict
from evergreen.judging.promotions import judged_promotion, promotion_serving, require_promoted
from evergreen.records import (
    ApprovalRecord,
    ArmsRecord,
    AttemptRecord,
    ClaimRecord,
    Judgement,
    Numbers,
    PromotionRecord,
    ReproductionRecord,
    VerdictRecord,
)
from evergreen.steps.send_alerts import find_untold, runbook_of
from evergreen.storage.stores import Stores, open_stores, stores_of


def describe_status(model: ModelFolder, at: Locations) -> Iterator[str]:
    """Say who serves, since when and why, and what is open."""
    stores = stores_of(model, at)
    claimed = stores.ledger.last_batch(ClaimRecord, model.config.calendar)
    if claimed is None:
        yield f"{model.id}: no batch has been scored yet"
        return
    following = model.config.calendar.shift(claimed, 1)
    promotion = promotion_serving(stores.ledger, following)
    if promotion is None:
        yield f"{model.id}: nobody serves yet (last batch {claimed})"
    else:
        attempt = find_attempt(stores, promotion)
        named = f"version {promotion.version}{', the baseline,' if promotion.baseline else ''}"
        yield f"{model.id}: {named} serves since batch {promotion.effective_from}"
        yield f"  promotion {promotion.number}, decided at batch {promotion.as_of}: {attempt.why}"
        yield from _describe_damage(stores, promotion)
    claim = stores.ledger.last(ClaimRecord, claimed)
    if claim is not None:
        yield f"  last batch {claimed}: {claim.outcome}"
    newest = newest_verdict(model.config, stores)
    if newest is not None:
        yield from _describe_verdict(newest)
    verdict = find_open_verdict(model.config, stores)
    if verdict is None:
        yield "  open verdict: none"
    else:
        due = find_due_attempt(model.config, stores)
        when = f"its attempt is due at {due.as_of}" if due else "its attempt waits for labels"
        yield f"  open verdict: {verdict.id} ({', '.join(verdict.reasons)}); {when}"
    if model.config.serving.experiments:
        yield from (f"  {line}" for line in describe_arms(model, at))
    still = [incident for incident in newest_incidents(stores.ledger) if incident.resolved is None]
    yield f"  open incidents: {len(still) or 'none'}"
    for incident in still:
        opened, (first, *later) = incident.opened, incident.story
        yield f"    {opened.id} since {opened.as_of}, seen {incident.often}: {first}"
        yield from (f"      at {incident.newest}: {text}" for text in later)
        if (quiet := incident.snoozed) is not None:
            yield f"      quiet until {quiet.until}, by {quiet.by}: {quiet.why}"
        yield f"      {runbook_of(model)}#{opened.cause}"
    yield from (f"  not told yet: {one}" for one in find_untold(model, at, datetime.now(UTC)))


def describe_arms(model: ModelFolder, at: Locations) -> Iterator[str]:
    """Say who answers online beside the champion, how both did, and what was decided."""
    record = stores_of(model, at).ledger.last(ArmsRecord, "online")
    if record is None:
        yield "online: the champion answers alone; no challenger was tried yet"
        return
    named = f"version {record.challenger}" if record.version is not None else f"of attempt {record.challenger}"
    answers = f"answers {record.share:g} of a hundred keys since {record.since}" if record.share else "answers unseen"
    did = answers if record.state == "running" else f"{record.state} at {record.as_of}"
    yield f"online: the challenger {named} {did}: {record.why}"
    for arm in record.arms:
        error = f", {model.config.gate.metric} {arm.error:.4g}" if arm.error is not None else ""
        yield f"  {arm.arm}: {arm.answered} rows answered, {arm.rows} with a label{error}"
    if (seen := record.comparison) is not None:
        yield f"  improvement {seen.improvement:.1%} ({seen.lower:.1%} to {seen.upper:.1%}), at all looks together"
    for limit in record.limits:
        if limit.seems_broken:
            yield f"  {limit.told}"


def describe_version(model: ModelFolder, at: Locations, version: int) -> Iterator[str]:
    """Tell the judgement that promoted a version.

    :raises ModelNotFound: naming the versions that there are.
    """
    stores = open_stores(at, model.id)
    promotion = require_promoted(stores, version)
    attempt = find_attempt(stores, promotion)
    yield f"{model.id} version {version}: promotion {promotion.number}, serves from batch {promotion.effective_from}"
    if attempt.refresh:
        judged = judged_promotion(stores.ledger, promotion).version
        yield f"  a refresh: the recipe of version {judged}, which was judged, fitted on newer labels"
    yield from describe_attempt(stores, attempt)
    yield f"  what serves was fitted on labels known {promotion.trained_on[0]} to {promotion.trained_on[1]}"
    yield f"  data {promotion.data}, code {promotion.code}; MLflow {at.env}.{model.id} version {version}"
    yield from _describe_approval(stores, attempt)
    for one in stores.ledger.all(ReproductionRecord, str(version)):
        yield f"  reproduced at batch {one.as_of}: {'equal' if one.equal else '; '.join(one.found)} ({one.why})"


def describe_challenger(model: ModelFolder, at: Locations) -> Iterator[str]:
    """Tell of the challenger that an open verdict has, if any: one that waits for a person, or is to be registered."""
    stores = open_stores(at, model.id)
    verdict = find_open_verdict(model.config, stores)
    attempt = stores.ledger.get(AttemptRecord, verdict.id) if verdict is not None else None
    if attempt is None:
        yield f"{model.id}: no challenger waits; evergreen why {model.id} VERSION tells of a promoted version"
        return
    yield f"{model.id}: the challenger of attempt {attempt.id}, made at batch {attempt.as_of}"
    yield from describe_attempt(stores, attempt)
    yield f"  data {attempt.data}, code {attempt.code}"
    yield from _describe_approval(stores, attempt)


def describe_attempt(stores: Stores, attempt: AttemptRecord) -> Iterator[str]:
    """Tell what an attempt was asked for, learnt from and judged on, and how it ended."""
    if attempt.version is None:
        verdict = get_verdict(stores, attempt.verdict)
        yield f"  asked for by verdict {verdict.id}: {', '.join(verdict.reasons)}; outcomes: {verdict.outcomes.why}"
    if attempt.trained_on is not None and not attempt.refresh:
        yield (
            f"  trained on {attempt.training_rows} rows, {attempt.waiting_rows} of their batches without a label yet, "
            f"labels known {attempt.trained_on[0]} to {attempt.trained_on[1]}; judged on labels that became known in "
            f"{', '.join(attempt.holdout)}"
        )
    if len(attempt.tried) > 1:
        losses = ", ".join(f"{window} {loss:.4g}" for window, loss in attempt.tried.items())
        yield f"  windows, by their loss on these: {losses}; best over the last attempts: {attempt.window}"
    if attempt.judgement is not None:
        yield from describe_judgement(attempt.judgement)
    yield f"  outcome: {attempt.outcome}: {attempt.why}"


def _describe_approval(stores: Stores, attempt: AttemptRecord) -> Iterator[str]:
    answer = stores.ledger.get(ApprovalRecord, attempt.id)
    if answer is not None:
        why = f": {answer.why}" if answer.why else ""
        yield f"  {'approved' if answer.approved else 'rejected'} by {answer.by}{why}"


def find_attempt(stores: Stores, promotion: PromotionRecord) -> AttemptRecord:
    """The attempt that led to a promotion."""
    return stores.ledger.require(AttemptRecord, promotion.attempt)


def describe_judgement(judgement: Judgement) -> Iterator[str]:
    """Tell what the gate has seen, in lines."""
    proof = f", at least {judgement.proof:.1%} at gate.confidence" if judgement.proof is not None else ""
    yield (
        f"  against {judgement.against}: {judgement.metric} {judgement.champion:.4g} to {judgement.challenger:.4g} "
        f"on {judgement.rows} rows in {judgement.blocks} batches, improvement {judgement.improvement:.1%} "
        f"({judgement.lower:.1%} to {judgement.upper:.1%}){proof}, expected {judgement.expected:.1%}, worse with a "
        f"probability of {judgement.worse:.0%}"
    )
    for judged in judgement.slices:
        text = f"{judged.champion:.4g} to {judged.challenger:.4g} on {judged.rows} rows"
        yield f"    {judged.column}={judged.value}: {text}"
    if (calibration := judgement.calibration) is not None:
        yield (
            f"    calibration error: {calibration.champion:.4g} to {calibration.challenger:.4g} "
            f"on {calibration.rows} rows"
        )
    for report in judgement.fairness:
        small = f"; {report.left_out_groups} small groups left out, {report.left_out_rows} rows"
        gaps = _tell_numbers(report.champion_gap, report.challenger_gap)
        yield f"    {report.column}, largest gap between groups: {gaps}{small if report.left_out_groups else ''}"
        for group in report.groups:
            numbers = _tell_numbers(group.champion, group.challenger)
            yield f"      {report.column}={group.value}: {numbers} on {group.rows} rows"


def _describe_damage(stores: Stores, promotion: PromotionRecord) -> Iterator[str]:
    """What keeps the version in force from being loaded, or the next one from being trained."""
    what = "it cannot be loaded"
    try:
        stores.models.load_promoted(promotion)
        what = "no other can be trained"
        stores.models.require_experiment()
    except (Refused, Outage) as error:
        yield f"  {what}: {error}"


def _tell_numbers(champion: Numbers, challenger: Numbers) -> str:
    """Each number of both models; one that only one of them has is left out."""
    texts = (f"{name} {champion[name]:.4g} to {challenger[name]:.4g}" for name in champion if name in challenger)
    return ", ".join(texts) or "none to compare"


def _describe_verdict(verdict: VerdictRecord) -> Iterator[str]:
    yield f"  last check, batch {verdict.as_of}:"
    for name, section in verdict.sections.items():
        yield f"    {name}: {section.state}, {section.why}"
