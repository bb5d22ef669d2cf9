"""Distances of a batch from what the champion learnt from, against thresholds: what drifted, what cannot be told."""

from typing import Any

from evergreen.checks.calendar_columns import follows
from evergreen.checks.divergences import LARGEST, measure
from evergreen.checks.reference import Reference
from evergreen.checks.tallies import Tallies

# With fewer batches than this their number is why nobody can tell; with more, it is what they hold.
_FEW_BATCHES = 6


def measure_distances(reference: Reference, current: Tallies) -> dict[str, float]:
    """Distances of a batch from the reference, and beside each the change in the share of missing values."""
    distances = {}
    for name, column in current.columns.items():
        described = reference.columns[name]
        distances[name] = measure(reference.measured(name), described, column)
        distances[f"{name} missing"] = abs(current.share_missing(name) - described["missing"])
    return distances


def judge_columns(reference: Reference, current: Tallies, age: int) -> dict[str, dict[str, Any]]:
    """By column and ``<column> missing``: distance, threshold, what set it, and whether it drifted.

    A threshold that says nothing has ``cannot_tell``: whatever the distance below it, nobody can call it normal. A
    column that still follows the event time as in the reference cannot drift.

    :param age: batches since the last one learnt from.
    """
    judged: dict[str, dict[str, Any]] = {}
    some = current.some_rows
    for name, distance in measure_distances(reference, current).items():
        limits = reference.limits(name, current.rows, age, current.batches)
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
        part = follows(followed, some[name], some[some.columns[0]]) if followed and name in some else None
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
