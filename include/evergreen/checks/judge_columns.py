"""Distances of a batch from what the champion learnt from, against thresholds: what drifted, what cannot be told."""

from typing import Any

import numpy as np
import pandas as pd

from evergreen.checks.calendar_columns import follows
from evergreen.checks.divergences import LARGEST, measure
from evergreen.checks.reference import SAMPLE, Reference, share_missing

# With fewer batches than this their number is why nobody can tell; with more, it is what they hold.
_FEW_BATCHES = 6


def measure_distances(reference: Reference, current: pd.DataFrame) -> dict[str, float]:
    """Distances of a batch from the reference, and beside each the change in the share of missing values.

    Of more than 10,000 rows a sample is compared, the same whenever it is drawn; shares of missing values are of all.

    :param current: (rows, columns); columns that it lacks are left out.
    """
    present = [name for name in reference.columns if name in current]
    sample = current[present]
    if len(current) > SAMPLE:
        chosen = np.random.default_rng(len(current)).choice(len(current), SAMPLE, replace=False, shuffle=False)
        sample = sample.iloc[np.sort(chosen)]
    distances = {}
    for name in present:
        described = reference.columns[name]
        distances[name] = measure(reference.measured(name), described, sample[name])
        distances[f"{name} missing"] = abs(share_missing(current[name], "counts" in described) - described["missing"])
    return distances


def judge_columns(
    reference: Reference, current: pd.DataFrame, age: int, at: pd.Series | None = None, batches: pd.Series | None = None
) -> dict[str, dict[str, Any]]:
    """By column and ``<column> missing``: distance, threshold, what set it, and whether it drifted.

    A threshold that says nothing has ``cannot_tell``: whatever the distance below it, nobody can call it normal.

    :param current: (rows, columns).
    :param age: batches since the last one learnt from.
    :param at: (rows,) event times; a column that still follows them as in the reference cannot drift.
    :param batches: (rows,) the batch of each row; None for one batch.
    """
    judged: dict[str, dict[str, Any]] = {}
    # Of batches of unlike size, as many of equal size as average out as much (Kish 1965, Survey Sampling, 11.7).
    sizes = np.array([len(current)]) if batches is None else batches.value_counts().to_numpy()
    number = float(sizes.sum() ** 2 / (sizes**2).sum()) if sizes.sum() else 1.0
    for name, distance in measure_distances(reference, current).items():
        limits = reference.limits(name, len(current), age, number)
        threshold = max(limits.values())
        one = judged[name] = {
            "distance": distance,
            "threshold": threshold,
            "measure": reference.measured(name),
            "set_by": next(what for what, limit in limits.items() if limit == threshold),
            "drifted": distance > threshold,
        }
        untold = threshold >= LARGEST[one["measure"]]
        followed = reference.columns.get(name, {}).get("follows") if one["drifted"] or untold else None
        part = follows(followed, current[name], at) if followed and at is not None else None
        if part is not None:
            one |= {"follows": part, "drifted": False}
        elif untold and not one["drifted"]:
            one["cannot_tell"] = _explain(reference, name, one["set_by"])
    return judged


def find_drifted(judged: dict[str, dict[str, Any]], recent: dict[str, dict[str, Any]] | None) -> dict[str, bool]:
    """The columns that drifted, and whether only together with the batches before.

    Together counts while the newest batch itself lies out half as far as the limit, and a quarter as far as all of
    them: what is over warns no more.

    :param judged: what ``judge_columns`` says of the newest batch.
    :param recent: what it says of the last ones together; None where nothing can be.
    """
    drifted = {name: False for name, one in judged.items() if one["drifted"]}
    for name, one in (recent or {}).items():
        least = max(one["threshold"] / 2, one["distance"] / 4)
        if one["drifted"] and name not in drifted and judged.get(name, {}).get("distance", 0.0) > least:
            drifted[name] = True
    return drifted


def _explain(reference: Reference, name: str, set_by: str) -> str:
    learnt = reference.batches[name]
    if set_by == "sampling":
        return "too few rows"
    if learnt < _FEW_BATCHES:
        return f"{learnt} whole {'batch' if learnt == 1 else 'batches'} learnt from, too few"
    return "batches too unlike each other" if set_by == "batches" else "moves with time"
