"""The four sections of a check: freshness, inputs, predictions, outcomes."""

import functools
import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from include.checks.drift import PREDICTION, Reference, judge_columns, watched_columns
from include.config.contract import ModelConfig
from include.errors import FeaturesInvalid
from include.features.labelled import match_labels, standing_claim
from include.features.reading import published, read_rows
from include.judging.champion import arrived_labels, champion_losses, read_losses, read_predictions, read_through
from include.judging.losses import mean_metric
from include.records import Numbers, PromotionRecord, SectionVerdict
from include.storage.cache import ByteCache
from include.storage.revisions import sealed_batches
from include.storage.stores import Stores

# Policies that are compared have the first champion in common, and its inputs: a conclusion takes some kilobytes.
_COMPARED: ByteCache[SectionVerdict] = ByteCache(16 * 1024 * 1024, lambda _: 8192)
_NOBODY = SectionVerdict(state="provisional", why="no champion yet")


def check_freshness(config: ModelConfig, stores: Stores, covers: list[str]) -> SectionVerdict:
    """Whether rows and labels came."""
    faults = []
    for feed in ("rows", "labels") if config.labels != "none" else ("rows",):
        for record in sealed_batches(stores.ledger, feed, covers, covers[-1]):
            if record.state != "published":
                faults.append(f"{feed} of {record.batch} {record.state}")
    if faults:
        return SectionVerdict(state="warn", why="; ".join(faults), numbers={"faults": len(faults)})
    return SectionVerdict(state="ok", why=f"{len(covers)} batches came", numbers={"faults": 0})


def check_inputs(
    config: ModelConfig, stores: Stores, covers: list[str], promotion: PromotionRecord | None
) -> SectionVerdict:
    """Whether the rows lie further from the champion's reference than its own batches do."""
    if promotion is None:
        return _NOBODY
    config = read_through(config, stores, promotion)
    partitions = published(stores, "rows", covers, covers[-1], config.rows.columns)
    if not partitions:
        return SectionVerdict(state="provisional", why="no rows to compare")
    reference, digest = _reference(stores, promotion)
    age = _age(config, covers, promotion)
    # The reference has what was watched when it was made; what is ignored since then is compared no more.
    watched = [name for name in watched_columns(config) if name in reference.columns]
    place = (digest, stores.lake.table_uri("clean"), tuple(partitions), age, repr(config.rows), tuple(watched))
    kept = _COMPARED.get(place)
    if kept is None:
        rows = read_rows(config, stores, partitions)
        kept = _compare(reference.only(watched), rows, "inputs", age, rows.get(config.rows.event_time))
        _COMPARED.put(place, kept)
    return kept


def check_predictions(
    config: ModelConfig, stores: Stores, covers: list[str], promotion: PromotionRecord | None
) -> SectionVerdict:
    """Whether what the champion predicts has moved."""
    if promotion is None:
        return _NOBODY
    claims = [standing_claim(stores, batch) for batch in covers]
    frames = [read_predictions(config, stores, c) for c in claims if c.version == promotion.version]
    if not frames:
        return SectionVerdict(state="provisional", why="the champion has scored none of these batches")
    reference, _ = _reference(stores, promotion)
    rows = pd.concat(frames, ignore_index=True)
    return _compare(reference.only([PREDICTION]), rows, "predictions", _age(config, covers, promotion))


def check_outcomes(
    config: ModelConfig, stores: Stores, as_of: str, promotion: PromotionRecord | None, worse_by: float
) -> SectionVerdict:
    """The champion's error on labels that came in the last batches that brought any, none of which it was trained on.

    :param worse_by: growth over the holdout error at promotion from which the state is ``bad``.
    """
    if promotion is None:
        return _NOBODY
    if config.labels == "none":
        return SectionVerdict(state="provisional", why="this model has no labels")
    config = read_through(config, stores, promotion)
    labelled = arrived_labels(config, stores, promotion, as_of, config.check.window)
    if labelled is None:
        return SectionVerdict(state="provisional", why="no labels since the promotion")
    rows = labelled.rows
    if len(rows) < config.check.min_rows:
        why = f"{len(rows)} labelled rows, {config.check.min_rows} are needed"
        return SectionVerdict(state="provisional", why=why, numbers={"rows": len(rows)})
    metric = config.gate.metric
    try:
        losses = champion_losses(config, stores, promotion, labelled)
    except FeaturesInvalid as failed:
        return SectionVerdict(state="provisional", why=f"the champion cannot score these rows: {failed}")
    error = mean_metric(metric, losses)
    numbers: Numbers = {
        "metric": metric,
        "error": error,
        "at_promotion": promotion.error,
        "rows": len(rows),
        "unmatched_labels": labelled.unmatched,
        "by_arrival_of_labels": _by(rows["known"], losses, metric),
        **_follow_batches(config, stores, sorted(set(rows["batch"])), as_of),
    }
    if promotion.error is None:
        return SectionVerdict(state="ok", why=f"{metric} {error:.4g}; nothing to compare with", numbers=numbers)
    limit = promotion.error * (1 + worse_by)
    why = f"{metric} {error:.4g} on {len(rows)} rows, {promotion.error:.4g} at promotion, limit {limit:.4g}"
    return SectionVerdict(state="bad" if error > limit else "ok", why=why, numbers=numbers)


def _compare(
    reference: Reference, current: pd.DataFrame, what: str, age: int, at: pd.Series | None = None
) -> SectionVerdict:
    columns = judge_columns(reference, current, age, at)
    drifted = [name for name, one in columns.items() if one.pop("drifted")]
    numbers: Numbers = {"rows": len(current), "age": age, "columns": columns, "drifted": drifted}
    if not drifted:
        return SectionVerdict(state="ok", why=f"{what} as in the reference", numbers=numbers)
    told = ", ".join(f"{n} {columns[n]['distance']:.3g} (limit {columns[n]['threshold']:.3g})" for n in drifted[:5])
    return SectionVerdict(state="warn", why=f"{what} drifted: {told}", numbers=numbers)


def _age(config: ModelConfig, covers: list[str], promotion: PromotionRecord) -> int:
    """Batches since the last one that the champion learnt from."""
    return config.calendar.index(covers[-1]) - config.calendar.index(promotion.trained_on[1])


def _reference(stores: Stores, promotion: PromotionRecord) -> tuple[Reference, str]:
    return _load_reference(stores.models.load_version(promotion.version).folder)


@functools.lru_cache(maxsize=32)
def _load_reference(folder: Path) -> tuple[Reference, str]:
    """The reference in a packed model, which never changes, and a name for what it says."""
    reference = Reference.load(folder)
    return reference, hashlib.sha256(repr(reference).encode()).hexdigest()


def _by(batches: pd.Series, losses: np.ndarray, metric: str) -> dict[str, float]:
    grouped = pd.Series(losses).groupby(batches.to_numpy()).mean()
    return {str(name): float(value**0.5 if metric == "rmse" else value) for name, value in grouped.items()}


def _follow_batches(config: ModelConfig, stores: Stores, batches: list[str], as_of: str) -> Numbers:
    """How well batches were scored, and the share of their rows that this is told by.

    The error of the predictions that were made, whoever was champion then, on all labels known at the check: no version
    has learnt from a label of a row that it scored. Batches that nobody scored are left out.

    :param batches: those whose labels the check looks at.
    """
    claims = [claim for batch in batches if (claim := standing_claim(stores, batch)).version is not None]
    if not claims:
        return {"by_batch_scored": {}, "share_labelled": {}}
    labelled = match_labels(config, stores, claims[0].as_of, as_of).rows
    scored = read_losses(config, stores, claims, labelled)
    counts = scored["batch"].value_counts().sort_index()
    sealed = sealed_batches(stores.ledger, "rows", [str(batch) for batch in counts.index], as_of)
    clean = {record.batch: record.clean for record in sealed}
    shares = {str(batch): float(known) / clean[str(batch)] for batch, known in counts.items() if clean.get(str(batch))}
    by_batch = _by(scored["batch"], scored["loss"].to_numpy(), config.gate.metric)
    return {"by_batch_scored": by_batch, "share_labelled": shares}
