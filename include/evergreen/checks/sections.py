"""The four sections of a check: freshness, inputs, predictions, outcomes."""

import functools
import itertools
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from evergreen.checks.calibrating import RECENT
from evergreen.checks.comparing import find_drifted, judge_columns
from evergreen.checks.drift import PREDICTION, Reference, watched_columns
from evergreen.config.contract import ModelConfig
from evergreen.config.data_schema import DataSchema
from evergreen.errors import FeaturesInvalid
from evergreen.features.known import records_with_rows
from evergreen.features.labelled import LabelledRows, match_labels, standing_claim
from evergreen.features.reading import published, read_rows
from evergreen.judging.champion import (
    arrived_labels,
    champion_losses,
    judged_promotion,
    promotion_decided,
    read_losses,
    read_predictions,
)
from evergreen.losses import METRICS, Metric
from evergreen.records import Numbers, PromotionRecord, SectionVerdict
from evergreen.storage.revisions import sealed_batch, sealed_batches
from evergreen.storage.stores import Stores

# A volume is held against that of so many batches before, and says nothing with fewer of them or of their rows.
_EARLIER = 14
_FEWEST_EARLIER = 3
_FEWEST_ROWS = 50
_FALLEN = 0.2
_BEYOND_NOISE = 2
_NOBODY = SectionVerdict(state="provisional", why="no champion yet")


def check_freshness(config: ModelConfig, stores: Stores, covers: list[str]) -> SectionVerdict:
    """Whether rows and labels came, and of rows not a fifth or less of what the batches before brought."""
    faults, rows = [], {}
    for feed in ("rows", "labels") if config.labels is not None else ("rows",):
        for record in sealed_batches(stores.ledger, feed, covers, covers[-1]):
            if record.state != "published":
                faults.append(f"{feed} of {record.batch} {record.state}")
            elif feed == "rows":
                rows[record.batch] = record.rows_in
    numbers: Numbers = {"rows": rows, "usual_rows": None}
    before = records_with_rows(stores.ledger, config.calendar, "rows", config.calendar.shift(covers[0], -1))
    earlier = [record.rows_in for record in itertools.islice(before, _EARLIER)]
    usual = statistics.median(earlier) if len(earlier) >= _FEWEST_EARLIER else 0
    if usual >= _FEWEST_ROWS:
        numbers["usual_rows"] = usual
        low = usual * _FALLEN
        # Where a shop is shut on Sundays, two of fourteen days are as small.
        for batch, came in rows.items() if sum(one <= low for one in earlier) < 2 else ():
            if came <= low:
                faults.append(f"{came} rows in {batch}, where {usual:.0f} are usual (median of {len(earlier)} batches)")
    numbers["faults"] = len(faults)
    if faults:
        return SectionVerdict(state="warn", why="; ".join(faults), numbers=numbers)
    return SectionVerdict(state="ok", why=f"{len(covers)} batches came", numbers=numbers)


def check_inputs(
    config: ModelConfig, stores: Stores, covers: list[str], promotion: PromotionRecord | None
) -> SectionVerdict:
    """Whether the rows lie further from the champion's reference than its own batches do.

    The batches of the last three checks are also compared as one, so that a small shift adds up: with the reference of
    the version before them, for a newer one may have learnt from some of them.
    """
    if promotion is None:
        return _NOBODY
    newest = _compare_inputs(config, stores, covers, promotion)
    if newest is None:
        return SectionVerdict(state="provisional", why="no rows to compare")
    calendar = config.calendar
    since = calendar.shift(covers[-1], 1 - RECENT * config.check.every)
    earlier = promotion_decided(stores.ledger, calendar.shift(since, -1))
    recent = _compare_inputs(config, stores, calendar.between(since, covers[-1]), earlier) if earlier else None
    return _conclude("inputs", newest, recent)


def check_predictions(
    config: ModelConfig, stores: Stores, covers: list[str], promotion: PromotionRecord | None
) -> SectionVerdict:
    """Whether what the champion predicts has moved."""
    if promotion is None:
        return _NOBODY
    claims = [standing_claim(stores, batch) for batch in covers]
    frames = [read_predictions(config.data_schema, stores, c) for c in claims if c.version == promotion.version]
    if not frames:
        return SectionVerdict(state="provisional", why="the champion has scored none of these batches")
    reference = _reference(stores, promotion)
    rows = pd.concat(frames, ignore_index=True)
    compared = _compare(reference.only([PREDICTION]), rows, _age(config, covers, promotion))
    return _conclude("predictions", compared)


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
        return _NOBODY
    today = config.data_schema
    if today.labels is None:
        return SectionVerdict(state="provisional", why="this model has no labels")
    judged = judged_promotion(stores.ledger, promotion)
    # Where the version that was judged is gone from MLflow, the champion counts from its own promotion on.
    if not stores.models.has_version(judged.version):
        judged = promotion
    schema = stores.models.load_version(judged.version).spec.data_schema(today)
    # How late labels come is told of the stream, not of the version.
    schema = replace(schema, labels=replace(schema.labels or today.labels, max_delay=today.labels.max_delay))
    labelled = arrived_labels(schema, stores, judged, as_of, config.check.window)
    if labelled is None:
        return SectionVerdict(state="provisional", why="no labels since the promotion")
    rows = labelled.rows
    if len(rows) < config.check.min_rows:
        why = f"{len(rows)} labelled rows, {config.check.min_rows} are needed"
        return SectionVerdict(state="provisional", why=why, numbers={"rows": len(rows)})
    metric, since = METRICS[config.gate.metric], range(judged.number, promotion.number)
    refreshes = [one.version for n in since if (one := stores.ledger.get(PromotionRecord, "champion", n)) is not None]
    try:
        losses = champion_losses(schema, metric, stores, judged, labelled, refreshes)
        begun = _first_losses(config, schema, stores, judged, str(rows["known"].min()))
    except FeaturesInvalid as failed:
        return SectionVerdict(state="provisional", why=f"the champion cannot score these rows: {failed}")
    error, naive = metric.of(losses), _constant_losses(schema, metric, stores, judged, labelled)
    first, constant = (metric.of(one) if one is not None else None for one in (begun, naive))
    numbers: Numbers = {
        "metric": metric.name,
        "error": error,
        "at_first": first,
        "constant": constant,
        "rows": len(rows),
        "unmatched_labels": labelled.unmatched,
        "by_arrival_of_labels": _by(rows["known"], losses, metric),
        **_follow_batches(schema, metric, stores, sorted(set(rows["batch"])), as_of),
    }
    why = f"{metric.name} {error:.4g} on {len(rows)} rows"
    if naive is not None and constant is not None and _is_larger(losses - naive, np.zeros(1)):
        why = f"{why}, worse than a constant, which has {constant:.4g}"
        return SectionVerdict(state="bad", why=why, numbers=numbers)
    if begun is None or first is None:
        return SectionVerdict(state="ok", why=f"{why}, the first of this version", numbers=numbers)
    limit = first * (1 + worse_by)
    why = f"{why}, {first:.4g} on the first labels of version {judged.version}, limit {limit:.4g}"
    bad = error > limit and _is_larger(losses, begun)
    return SectionVerdict(state="bad" if bad else "ok", why=why, numbers=numbers)


def _is_larger(losses: np.ndarray, than: np.ndarray) -> bool:
    """Whether the mean of some losses lies above that of others by more than two standard errors."""
    noise = sum(float(np.var(one)) / len(one) for one in (losses, than)) ** 0.5
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
    constant = stores.models.load_version(promotion.version).spec.constant
    if promotion.baseline or constant is None:
        return None
    assert schema.labels is not None
    target = labelled.rows[schema.labels.column].to_numpy(dtype=float)
    return metric.row_losses(target, np.full(len(target), constant))


def _compare_inputs(
    config: ModelConfig, stores: Stores, batches: list[str], promotion: PromotionRecord
) -> Numbers | None:
    """What ``_compare`` says of the rows of some batches, as known at the last; None if they have none."""
    schema = stores.models.load_version(promotion.version).spec.data_schema(config.data_schema)
    partitions = published(stores, "rows", batches, batches[-1], schema.columns)
    if not partitions:
        return None
    reference = _reference(stores, promotion)
    age = _age(config, batches, promotion)
    # The reference has what was watched when it was made; what is ignored since then is compared no more.
    watched = [name for name in watched_columns(schema, config) if name in reference.columns]
    rows = read_rows(schema, stores, partitions)
    return _compare(reference.only(watched), rows, age, rows.get(schema.event_time), rows["batch"])


def _compare(
    reference: Reference,
    current: pd.DataFrame,
    age: int,
    at: pd.Series | None = None,
    batches: pd.Series | None = None,
) -> Numbers:
    return {"rows": len(current), "age": age, "columns": judge_columns(reference, current, age, at, batches)}


def _conclude(what: str, newest: Numbers, recent: Numbers | None = None) -> SectionVerdict:
    """The state and its words: what drifted, alone or only together, and of what nobody can tell.

    :param newest: of the batches that are checked.
    :param recent: of the last ones together.
    """
    found = find_drifted(newest["columns"], recent["columns"] if recent else None)
    told, drifted = [], list(found)
    for name, together in found.items():
        one = (recent if recent and together else newest)["columns"][name]
        told.append(f"{name} {one['distance']:.3g} (limit {one['threshold']:.3g})")
        if recent and together:
            told[-1] += f" in {recent['rows']} rows of the last batches together"
    untold: dict[str, list[str]] = {}
    for name, one in newest["columns"].items():
        if "cannot_tell" in one and name not in drifted:
            untold.setdefault(one["cannot_tell"], []).append(name)
    cannot = "; ".join(f"{_list(names)} ({reason})" for reason, names in untold.items())
    numbers = {**newest, "drifted": drifted, **({"recent": recent} if recent else {})}
    if not drifted and all("cannot_tell" in one for one in newest["columns"].values() if one["measure"] != "missing"):
        return SectionVerdict(state="provisional", why=f"cannot tell of {cannot}", numbers=numbers)
    why = f"{what} drifted: {_list(told)}" if drifted else f"{what} as in the reference"
    why = f"{why}; cannot tell of {cannot}" if cannot else why
    return SectionVerdict(state="warn" if drifted else "ok", why=why, numbers=numbers)


def _list(names: list[str]) -> str:
    return ", ".join([*names[:5], *([f"{len(names) - 5} more"] if len(names) > 5 else [])])


def _age(config: ModelConfig, covers: list[str], promotion: PromotionRecord) -> int:
    """Batches since the last one that the champion learnt from."""
    return config.calendar.index(covers[-1]) - config.calendar.index(promotion.trained_on[1])


def _reference(stores: Stores, promotion: PromotionRecord) -> Reference:
    return _load_reference(stores.models.load_version(promotion.version).folder)


@functools.lru_cache(maxsize=32)
def _load_reference(folder: Path) -> Reference:
    """The reference in a packed model, which never changes."""
    return Reference.load(folder)


def _by(batches: pd.Series, losses: np.ndarray, metric: Metric) -> dict[str, float]:
    grouped = pd.Series(losses).groupby(batches.to_numpy()).mean()
    return {str(name): metric.of_mean(float(value)) for name, value in grouped.items()}


def _follow_batches(schema: DataSchema, metric: Metric, stores: Stores, batches: list[str], as_of: str) -> Numbers:
    """How well batches were scored, and the share of their rows that this is told by.

    The error of the predictions that were made, whoever was champion then, on all labels known at the check: no version
    has learnt from a label of a row that it scored. Batches that nobody scored are left out.

    :param batches: those whose labels the check looks at.
    """
    claims = [claim for batch in batches if (claim := standing_claim(stores, batch)).version is not None]
    if not claims:
        return {"by_batch_scored": {}, "share_labelled": {}}
    labelled = match_labels(schema, stores, claims[0].as_of, as_of).rows
    scored = read_losses(schema, metric, stores, claims, labelled)
    counts = scored["batch"].value_counts().sort_index()
    sealed = sealed_batches(stores.ledger, "rows", [str(batch) for batch in counts.index], as_of)
    clean = {record.batch: record.clean for record in sealed}
    shares = {str(batch): float(known) / clean[str(batch)] for batch, known in counts.items() if clean.get(str(batch))}
    by_batch = _by(scored["batch"], scored["loss"].to_numpy(), metric)
    return {"by_batch_scored": by_batch, "share_labelled": shares}
