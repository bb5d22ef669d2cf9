"""The section of a check that needs labels: how well the champion does, as they become known."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from evergreen.checks.sections import NOBODY
from evergreen.config.contract import ModelConfig
from evergreen.config.data_schema import DataSchema
from evergreen.errors import FeaturesInvalid
from evergreen.features.labelled import LabelledRows, match_labels, standing_claim
from evergreen.judging.champion import arrived_labels, champion_losses, read_losses
from evergreen.judging.promotions import judged_promotion
from evergreen.losses import METRICS, Metric
from evergreen.records import Numbers, PromotionRecord, SectionVerdict
from evergreen.storage.revisions import sealed_batch, sealed_batches
from evergreen.storage.stores import Stores

_BEYOND_NOISE = 2


@dataclass(frozen=True)
class _Outcomes:
    """Losses on the same labels, but for the first ones.

    :param champion: (n,) of the champion, or of the version whose recipe it carries on.
    :param first_losses: its losses on its own first labels; None where too few have come.
    :param constant: (n,) of the best constant of its training; None of the baseline, which it is.
    """

    champion: np.ndarray
    first_losses: np.ndarray | None
    constant: np.ndarray | None


def check_outcomes(
    config: ModelConfig, stores: Stores, as_of: str, promotion: PromotionRecord | None, worse_by: float
) -> SectionVerdict:
    """The champion's error on labels that came in the last batches that brought any, none of which it was trained on.

    It is bad where it lies above that of the version's own first labels, or above what the best constant of its
    training has on the same labels, in both cases beyond what rows that were drawn anew would differ by. A refresh goes
    on where the version that was judged began: what counts is what they have scored, and else what that one would.

    :param worse_by: growth over the error on the first labels from which the state is ``bad``.
    """
    if promotion is None:
        return NOBODY
    if config.labels is None:
        return SectionVerdict(state="provisional", why="this model has no labels")
    judged = judged_promotion(stores.ledger, promotion)
    # Where the version that was judged is gone from MLflow, the champion counts from its own promotion on.
    if not stores.models.has_version(judged.version):
        judged = promotion
    schema = _outcome_schema(config.data_schema, stores, judged)
    labelled = arrived_labels(schema, stores, judged, as_of, config.check.window)
    if labelled is None:
        return SectionVerdict(state="provisional", why="no labels since the promotion")
    rows, metric = labelled.rows, METRICS[config.gate.metric]
    if len(rows) < config.check.min_rows:
        why = f"{len(rows)} labelled rows, {config.check.min_rows} are needed"
        why += f"; {labelled.unmatched} labels match no row" if labelled.unmatched else ""
        return SectionVerdict(
            state="provisional", why=why, numbers={"rows": len(rows), "unmatched_labels": labelled.unmatched}
        )
    refreshes = _refreshes_between(stores, judged, promotion)
    try:
        losses = champion_losses(schema, metric, stores, judged, labelled, refreshes)
        first_losses = _first_losses(config, schema, stores, judged, str(rows["known"].min()))
    except FeaturesInvalid as error:
        return SectionVerdict(state="provisional", why=f"the champion cannot score these rows: {error}")
    outcomes = _Outcomes(losses, first_losses, _constant_losses(schema, metric, stores, judged, labelled))
    verdict = _conclude(metric, outcomes, judged.version, worse_by)
    numbers: Numbers = {
        **verdict.numbers,
        "unmatched_labels": labelled.unmatched,
        "by_arrival_of_labels": _by(rows["known"], losses, metric),
        **_follow_batches(schema, metric, stores, sorted(set(rows["batch"])), as_of),
    }
    return SectionVerdict(state=verdict.state, why=verdict.why, numbers=numbers)


def _refreshes_between(stores: Stores, judged: PromotionRecord, promotion: PromotionRecord) -> list[int]:
    """The versions that carry on the recipe of one that was judged, up to a promotion."""
    numbers = range(judged.number, promotion.number)
    return [one.version for n in numbers if (one := stores.ledger.get(PromotionRecord, "champion", n)) is not None]


def _outcome_schema(today: DataSchema, stores: Stores, judged: PromotionRecord) -> DataSchema:
    """What a version is judged under: its own columns and label; how late labels come is told of the stream."""
    schema = stores.models.load_promoted(judged).spec.data_schema(today)
    labels = schema.labels or today.labels
    assert labels is not None
    assert today.labels is not None
    return replace(schema, labels=replace(labels, max_delay=today.labels.max_delay))


def _conclude(metric: Metric, outcomes: _Outcomes, version: int, worse_by: float) -> SectionVerdict:
    """The state and its words."""
    losses, first_losses, constant_losses = outcomes.champion, outcomes.first_losses, outcomes.constant
    error = metric.of(losses)
    first, constant = (metric.of(each) if each is not None else None for each in (first_losses, constant_losses))
    numbers: Numbers = {
        "metric": metric.name,
        "error": error,
        "at_first": first,
        "constant": constant,
        "rows": len(losses),
    }
    why = f"{metric.name} {error:.4g} on {len(losses)} rows"
    if constant_losses is not None and constant is not None and _is_larger(losses - constant_losses, np.zeros(1)):
        why = f"{why}, worse than a constant, which has {constant:.4g}"
        return SectionVerdict(state="bad", why=why, numbers=numbers)
    if first_losses is None or first is None:
        return SectionVerdict(state="ok", why=f"{why}, the first of this version", numbers=numbers)
    limit = first * (1 + worse_by)
    why = f"{why}, {first:.4g} on the first labels of version {version}, limit {limit:.4g}"
    bad = error > limit and _is_larger(losses, first_losses)
    return SectionVerdict(state="bad" if bad else "ok", why=why, numbers=numbers)


def _is_larger(losses: np.ndarray, than: np.ndarray) -> bool:
    """Whether the mean of some losses lies above that of others by more than two standard errors."""
    noise = sum(float(np.var(each)) / len(each) for each in (losses, than)) ** 0.5
    return bool(np.mean(losses) - np.mean(than) > _BEYOND_NOISE * noise)


def _first_losses(
    config: ModelConfig, schema: DataSchema, stores: Stores, promotion: PromotionRecord, before: str
) -> np.ndarray | None:
    """The losses on the first labels that came after a promotion, None until ``check.min_rows`` came before a batch.

    :param schema: under which the labels are read.
    """
    calendar, rows, taken = config.calendar, 0, list[str]()
    for batch in calendar.between(calendar.shift(promotion.as_of, 1), calendar.shift(before, -1)):
        record = sealed_batch(stores.ledger, "labels", batch, batch)
        if record is None or not record.has_rows:
            continue
        taken.append(batch)
        rows += record.clean
        if rows >= config.check.min_rows and len(taken) >= config.check.window:
            labelled = match_labels(schema, stores, taken[0], batch)
            if len(labelled.rows) < config.check.min_rows:
                continue
            return champion_losses(schema, METRICS[config.gate.metric], stores, promotion, labelled)
    return None


def _constant_losses(
    schema: DataSchema, metric: Metric, stores: Stores, promotion: PromotionRecord, labelled: LabelledRows
) -> np.ndarray | None:
    """The losses of the best constant of what a version learnt from; None for the baseline, which is it."""
    constant = stores.models.load_promoted(promotion).spec.constant
    if promotion.baseline or constant is None:
        return None
    assert schema.labels is not None
    target = labelled.rows[schema.labels.column].to_numpy(dtype=float)
    return metric.row_losses(target, np.full(len(target), constant))


def _by(batches: pd.Series, losses: np.ndarray, metric: Metric) -> dict[str, float]:
    grouped = pd.Series(losses).groupby(batches.to_numpy()).mean()
    return {str(name): metric.of_mean(float(value)) for name, value in grouped.items()}


def _follow_batches(schema: DataSchema, metric: Metric, stores: Stores, batches: list[str], as_of: str) -> Numbers:
    """How well batches were scored, and the share of their rows that this is told by.

    The error of the predictions that were made, whoever was champion then, on all labels known at the check: no version
    has learnt from a label of a row that it scored. Scores that were made again later do not count, for of them that
    need not hold. Batches that nobody scored are left out.

    :param batches: those whose labels the check looks at.
    """
    claims = [claim for batch in batches if (claim := standing_claim(stores, batch)).version is not None]
    if not claims:
        return {"by_batch_scored": {}, "scored_by": {}, "share_labelled": {}}
    labelled = match_labels(schema, stores, claims[0].as_of, as_of).rows
    scored = read_losses(schema, metric, stores, claims, labelled)
    counts = scored["batch"].value_counts().sort_index()
    sealed = sealed_batches(stores.ledger, "rows", [str(batch) for batch in counts.index], as_of)
    clean = {record.batch: record.clean for record in sealed}
    shares = {str(batch): float(known) / clean[str(batch)] for batch, known in counts.items() if clean.get(str(batch))}
    by_batch = _by(scored["batch"], scored["loss"].to_numpy(), metric)
    scored_by = {claim.as_of: claim.version for claim in claims if claim.as_of in by_batch}
    return {"by_batch_scored": by_batch, "scored_by": scored_by, "share_labelled": shares}
