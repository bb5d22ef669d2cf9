"""Check the champion."""

import logging

from evergreen.checks.html import render_drift
from evergreen.checks.kept_statistics import read_statistics
from evergreen.checks.outcomes import check_outcomes
from evergreen.checks.reference import watched_columns
from evergreen.checks.sections import check_freshness, check_inputs, check_predictions
from evergreen.config.contract import ModelConfig
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import NotReady
from evergreen.features.batch_statistics import EvenSample
from evergreen.features.generations import outgrown, sealed_schema
from evergreen.features.label_batches import label_records
from evergreen.features.labelled import match_labels
from evergreen.features.reading import is_readable, published
from evergreen.incidents import report, resolve
from evergreen.judging.attempts import get_verdict
from evergreen.judging.promotions import promotion_decided
from evergreen.policies import count_idle, find_reasons, tell_over_budget
from evergreen.records import BatchRecord, ClaimRecord, ClosingRecord, PromotionRecord, VerdictRecord, Words
from evergreen.sources.waiting import unsettled
from evergreen.steps.promote_model import sync_alias
from evergreen.storage.frames import to_frame
from evergreen.storage.revisions import sealed_batch
from evergreen.storage.stores import Stores, stores_of

_logger = logging.getLogger(__name__)


def check_drift(model: ModelFolder, at: Locations, as_of: str) -> VerdictRecord:
    """Check freshness, inputs, predictions and outcomes since the last check, and say whether to retrain.

    :param as_of: the last batch of the check's data interval.
    :returns: the verdict that stands for it.
    :raises NotReady: if that batch has not been claimed, or its labels are not sealed.
    """
    stores = stores_of(model, at)
    verdict = stores.ledger.get(VerdictRecord, as_of)
    if verdict is None:
        lacking = unsettled(model, at, as_of)
        if lacking is not None:
            raise NotReady(f"model {model.id}: {lacking}")
        verdict = _conclude(model, stores, as_of)
        _draw(model, stores, verdict)
        # A person may have asked meanwhile at the check before; a chain of asks without that wish would lose it.
        while _misses_a_wish(model.config, stores, verdict):
            verdict = _conclude(model, stores, as_of)
        verdict = stores.ledger.put(verdict)
    sync_alias(model, stores, as_of)
    _show_error(model.config, stores, verdict)
    _tell(model, stores, verdict)
    return verdict


def _show_error(config: ModelConfig, stores: Stores, verdict: VerdictRecord) -> None:
    """Let MLflow show the live error on the run of the version in force: one point a check, at its batch's place."""
    numbers, calendar = verdict.outcomes.numbers, config.calendar
    if verdict.version is None or numbers.get("error") is None:
        return
    point = {f"live_{numbers['metric']}": numbers["error"], "live_rows": numbers["rows"]}
    place = calendar.index(verdict.as_of), calendar.end(verdict.as_of)
    stores.models.pages.add_live_numbers(verdict.version, point, verdict.as_of, *place)


def _conclude(model: ModelFolder, stores: Stores, as_of: str) -> VerdictRecord:
    config, ledger, calendar = model.config, stores.ledger, model.config.calendar
    previous = find_previous(config, stores, as_of)
    covers = calendar.between(calendar.shift(previous.as_of, 1), as_of) if previous else [as_of]
    # What is decided at this batch comes after its check, however late the check is made.
    promotion = promotion_decided(ledger, calendar.shift(as_of, -1))
    outcomes = check_outcomes(config, stores, as_of, promotion, config.worse_by)
    asked, later = previous.last_ask if previous else None, _has_later(config, stores, as_of)
    reasons: tuple[str, ...] = ()
    if promotion is not None:
        idle = count_idle(config, stores, as_of, promotion, asked)
        reasons = find_reasons(config.policies, idle, outcomes)
    # The baseline serves until something beats it, whatever the policies ask.
    begins = promotion is None or promotion.baseline or _begins_generation(config, stores, promotion, asked)
    held = _find_hold(config, stores, as_of, asked, promotion, later)
    if begins and _can_bootstrap(config, stores, as_of):
        reasons = ("bootstrap", *reasons)
    elif begins:
        # Before there is enough to begin with, whatever else asks would only be refused for it.
        held = held or "fewer labels than training.min_labels are known under the columns of config.yaml"
    held = held if reasons else ""
    asks = bool(reasons) and not held
    return VerdictRecord(
        as_of=as_of,
        n=0,
        covers=tuple(covers),
        promotion=promotion.number if promotion else None,
        version=promotion.version if promotion else None,
        freshness=check_freshness(config, stores, covers, previous.freshness.numbers if previous else None),
        inputs=check_inputs(config, stores, covers, promotion),
        predictions=check_predictions(config, stores, covers, promotion),
        outcomes=outcomes,
        reasons=reasons,
        action="retrain" if asks else "none",
        last_ask=VerdictRecord.id_of(as_of, 0) if asks else asked,
        previous_ask=asked if asks else (previous.previous_ask if previous else None),
        held=held,
    )


def _find_hold(
    config: ModelConfig, stores: Stores, as_of: str, asked: str | None, promotion: PromotionRecord | None, later: bool
) -> str:
    """Why a check that has reasons asks for nothing; empty where it asks."""
    closing = stores.ledger.get(ClosingRecord, asked) if asked else None
    if later:
        return "a later batch was checked already"
    if asked is not None and (closing is None or closing.as_of >= as_of):
        return f"verdict {asked} is open"
    return tell_over_budget(config, stores, as_of, asked) if promotion is not None else ""


def find_previous(config: ModelConfig, stores: Stores, as_of: str) -> VerdictRecord | None:
    """The newest verdict before a batch."""
    calendar = config.calendar
    for i in range(calendar.index(as_of) - 1, -1, -1):
        # A wish that a person added at the same batch stands above the check's own verdict.
        verdict = stores.ledger.last(VerdictRecord, calendar.name(i))
        if verdict is not None:
            return verdict
    return None


def _misses_a_wish(config: ModelConfig, stores: Stores, verdict: VerdictRecord) -> bool:
    """Whether another verdict asked last, before this one, than it was concluded from."""
    previous = find_previous(config, stores, verdict.as_of)
    asked = verdict.previous_ask if verdict.action == "retrain" else verdict.last_ask
    return previous is not None and previous.last_ask != asked


def _begins_generation(config: ModelConfig, stores: Stores, promotion: PromotionRecord, asked: str | None) -> bool:
    """Whether today's schema has outgrown the champion's, and no verdict has asked for a beginning under it yet.

    :param asked: the newest verdict that asked.
    """
    today = config.data_schema
    if not outgrown(today, stores.models.load_promoted(promotion).spec.data_schema(today)):
        return False
    while asked is not None:
        verdict = get_verdict(stores, asked)
        rows = stores.ledger.get(BatchRecord, f"rows.{verdict.as_of}")
        labels = stores.ledger.get(BatchRecord, f"labels.{verdict.as_of}")
        if rows is None or not rows.columns or outgrown(today, sealed_schema(today, rows, labels)):
            return True
        if "bootstrap" in verdict.reasons:
            return False
        asked = verdict.previous_ask
    return True


def _can_bootstrap(config: ModelConfig, stores: Stores, as_of: str) -> bool:
    """Whether the rows whose labels are known are enough to begin.

    Looked for from the newest back, as far as rows can be read under today's contract, in spans that double: the labels
    are matched only where there may be enough.
    """
    count, wanted, oldest = 0, config.training.min_labels, ""

    def enough() -> bool:
        return len(match_labels(config.data_schema, stores, oldest, as_of).rows) >= config.training.min_labels

    for record in label_records(config.data_schema, stores, as_of):
        if not is_readable(sealed_batch(stores.ledger, "rows", record.batch, as_of), config.rows.columns):
            break
        oldest = record.batch
        count += record.clean
        if count >= wanted:
            if enough():
                return True
            wanted = 2 * count
    return config.training.min_labels <= count < wanted and enough()


def _has_later(config: ModelConfig, stores: Stores, as_of: str) -> bool:
    """Whether a later batch was checked already: then this one is a backfill, and asks for nothing."""
    claimed = stores.ledger.last_batch(ClaimRecord, config.calendar)
    later = config.calendar.between(as_of, claimed or as_of)[1:]
    return any(stores.ledger.get(VerdictRecord, batch) is not None for batch in later)


def _draw(model: ModelFolder, stores: Stores, verdict: VerdictRecord) -> None:
    """Write Evidently's HTML report of a check, where config.yaml wants one.

    It is for people to look at: where it cannot be drawn, the check goes on without.
    """
    config, number = model.config, verdict.promotion
    promotion = stores.ledger.get(PromotionRecord, "champion", number - 1) if number else None
    if promotion is None or not config.check.draws(verdict.inputs.state):
        return
    spec = stores.models.load_promoted(promotion).spec
    schema, learnt = spec.data_schema(config.data_schema), config.calendar.between(*promotion.trained_on)
    covers = list(verdict.covers)
    watched = watched_columns(schema, config)
    current, reference = EvenSample(), EvenSample()
    for sample, batches, known in ((current, covers, verdict.as_of), (reference, learnt, promotion.as_of)):
        for partition in published(stores, "rows", batches, known, schema.columns):
            columns = {name: schema.columns[name] for name in watched}
            sample.add(read_statistics(schema, stores, partition, columns).sample.rows)
    if not current.rows.num_rows or not reference.rows.num_rows:
        return
    categorical = {name for name in watched if schema.columns[name].type in ("category", "boolean")}
    try:
        sides = to_frame(reference.rows), to_frame(current.rows)
        page = render_drift(*sides, watched, categorical, spec.seed)
    except Exception:
        _logger.exception(
            "%s, batch %s: Evidently could not draw its report; nothing depends on it", model.id, covers[-1]
        )
        return
    if page is not None:
        stores.lake.put_report(f"drift-{verdict.as_of}.html", page)


def _tell(model: ModelFolder, stores: Stores, verdict: VerdictRecord) -> None:
    ledger, as_of = stores.ledger, verdict.as_of
    serving = f"{model.id}, version {verdict.version}, batch {as_of}"
    asked = "A retraining is asked for"
    if verdict.action == "none":
        asked = f"No retraining is asked for: {verdict.held or 'the policies in config.yaml do not ask for it'}"
    keys = verdict.freshness.numbers.get("label_keys", {"state": "unknown"})
    if keys["state"] == "unmatched":
        words = Words(
            f"{model.id}, batch {as_of}: {keys['why']}.",
            "These labels count for nothing; nothing was judged by them.",
            f"Have the key written alike in both, then: evergreen reingest {model.id} BATCH --feed labels",
        )
        report(ledger, "unmatched", as_of, words)
    elif keys["state"] == "ok":
        resolve(ledger, "unmatched", as_of, f"{model.id}, batch {as_of}: labels match their rows again")
    if verdict.inputs.state == "warn":
        text = f"{serving}: {verdict.inputs.why}. Numbers are distances from the rows that it learnt from."
        todo = "Look whether the source changed: a unit, a code, a new customer. If so, have it mended and reingest."
        report(ledger, "drift", as_of, Words(text, f"{asked}; outcomes decide, not inputs.", todo))
    elif verdict.inputs.state == "ok":
        resolve(ledger, "drift", as_of, f"{serving}: inputs as in the reference")
    if verdict.outcomes.state == "bad":
        todo = "Nothing now: a challenger is trained, and serves if it is expected to do better."
        if verdict.action == "none":
            todo = "Nothing, if the reason above ends by itself; else ask for a retraining by hand."
        report(ledger, "decay", as_of, Words(f"{serving}: {verdict.outcomes.why}.", f"{asked}.", todo))
    elif verdict.outcomes.state == "ok":
        resolve(ledger, "decay", as_of, f"{serving}: {verdict.outcomes.why}")
