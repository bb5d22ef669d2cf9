"""Measure input alarms: how often they are false, which changes they find and how soon; Evidently's beside them."""

import multiprocessing
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
from evidently.legacy.calculations.stattests.registry import _get_default_stattest
from evidently.legacy.core import ColumnType

from evergreen.checks.judge_columns import find_drifted
from evergreen.checks.reference import build_reference
from evergreen.checks.thresholds import RECENT
from tests.bench.alarm_streams import CATEGORICAL, CHANGES, Batches, draw
from tests.bench.page import QUICK, table, write_section
from tests.tallied import judge_columns

_SEED = 20
_AFTER = 30
_LIMIT = 0.01
_REFERENCES = 2 if QUICK else 8
# Stream, window, rows a batch; each reference judges 30 batches, one after the other.
_QUIET = [
    *[
        (stream, window, size)
        for stream in ("alike", "ordinary", "apart", "calendar")
        for window in (6, 12)
        for size in (100, 1000)
    ],
    ("ordinary", 12, 10_000),
    ("ordinary", 40, 1000),
    ("weekly", 12, 1000),
    ("seasonal", 12, 1000),
]
_CHANGED = [(stream, size) for stream in ("alike", "ordinary", "apart") for size in (100, 1000)]
# The share of batches that Evidently judges, too.
_THEIRS = 0.05


def run_quiet(cell: tuple[str, int, int]) -> dict[str, Any]:
    """Judge batches without a change."""
    stream, window, size = cell
    ours: list[bool] = []
    theirs: list[bool] = []
    for seed in range(_REFERENCES):
        random = np.random.default_rng([_SEED, seed, window, size])
        first = int(random.integers(0, 300))
        learnt, judge = _learn(stream, random, first, window, size, seed)
        later = draw(stream, random, first + window, _AFTER, size)
        for n in range(_AFTER):
            ours.append(bool(judge(later, n)))
            if random.random() < _THEIRS:
                theirs.append(_evidently(learnt, _cut(later, n, n + 1)))
    return {"cell": cell, "ours": ours, "theirs": theirs}


def run_changed(cell: tuple[str, int]) -> dict[str, list[int | None]]:
    """By change, the changed batch, from 1, in which each reference of 12 first warned of the changed column."""
    stream, size = cell
    first: dict[str, list[int | None]] = {change: [] for change in CHANGES}
    for seed in range(2 * _REFERENCES):
        random = np.random.default_rng([_SEED + 1, seed, size])
        _, judge = _learn(stream, random, 0, 12, size, seed)
        for change, found in first.items():
            changed = draw(stream, random, 12, 20, size, change)
            warned = (n + 1 for n in range(20) if {"load", "load missing", "kind"} & judge(changed, n))
            found.append(next(warned, None))
    return first


def main() -> None:
    """Run the cells on two cores, write the section, and hold the limit."""
    began = time.time()
    quiet = [("alike", 12, 100), ("ordinary", 12, 1000), ("calendar", 12, 100)] if QUICK else _QUIET
    changed = [("ordinary", 1000)] if QUICK else _CHANGED
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        found = [pool.submit(run_changed, cell) for cell in changed]
        silent = [pool.submit(run_quiet, cell) for cell in quiet]
        rates = [one.result() for one in silent]
        finds = {cell: one.result() for cell, one in zip(changed, found, strict=True)}
    steady = [flag for one in rates if one["cell"][0] != "seasonal" for flag in one["ours"]]
    write_section("alarms", _tell(rates, finds, steady))
    rate = float(np.mean(steady))
    print(f"{time.time() - began:.0f} s")
    print(f"false alarms: {100 * rate:.2f} per 100 batches of {len(steady)}, at most {100 * _LIMIT:.0f}")
    sys.exit(rate > _LIMIT)


def _tell(
    rates: list[dict[str, Any]], finds: dict[tuple[str, int], dict[str, list[int | None]]], steady: list[bool]
) -> str:
    low, high = _wilson(steady)
    streams = list(dict.fromkeys(one["cell"][0] for one in rates))
    lines = [
        f"**Without a change**, {np.mean(steady):.2%} of {len(steady):,} batches raised an alarm, whichever column it "
        f"was (95 % interval {low:.2%} to {high:.2%}, Wilson). Streams have 7 columns, of a calendar 12. `alike`: "
        "independent rows. `ordinary`, `apart`: each batch has levels and shares of its own, 0.1 or 0.15 standard "
        "deviations around the stream's. `weekly`: two columns follow the weekday. `seasonal`: a column swings by 1.4 "
        "standard deviations over the year; it counts in no total, for no window of some days can know the year. "
        "Windows are of 6, 12 and 40 batches of 100 to 10,000 rows.",
        "",
        table(
            ["stream", "batches", "alarms", "worst cell", "Evidently's defaults, any column"],
            [_tell_stream(stream, [one for one in rates if one["cell"][0] == stream]) for stream in streams],
        ),
        "",
        "**With a change**, after a reference of 12 batches: the share of references that warned of the changed column "
        "within three batches / within twenty.",
        "",
        table(
            ["change", *(f"{stream}, {size:,} rows" for stream, size in finds)],
            [[change, *(_tell_found(first[change]) for first in finds.values())] for change in CHANGES],
        ),
    ]
    return "\n".join(lines)


def _tell_stream(stream: str, cells: list[dict[str, Any]]) -> list[object]:
    ours, theirs = (np.concatenate([one[side] for one in cells]) for side in ("ours", "theirs"))
    worst = max(float(np.mean(one["ours"])) for one in cells)
    return [stream, f"{len(ours):,}", f"{ours.mean():.2%}", f"{worst:.2%}", f"{theirs.mean():.0%} of {len(theirs)}"]


def _tell_found(first: list[int | None]) -> str:
    soon, ever = (np.mean([n is not None and n <= within for n in first]) for within in (3, 20))
    return f"{soon:.0%} / {ever:.0%}"


def _learn(
    stream: str, random: np.random.Generator, first: int, window: int, size: int, seed: int
) -> tuple[Batches, Callable[[Batches, int], set[str]]]:
    learnt = draw(stream, random, first, window, size)
    reference = build_reference(learnt.rows, CATEGORICAL, list(learnt.rows), learnt.number, size, seed, at=learnt.at)

    def judge(later: Batches, n: int) -> set[str]:
        """What warns at the n-th batch since, from 0: alone, or together with those before it, as a check has it."""
        newest, recent = (
            judge_columns(reference, batch.rows, n + 1, batch.at, batch.number)
            for batch in (_cut(later, since, n + 1) for since in (n, max(n - RECENT + 1, 0)))
        )
        return set(find_drifted(newest, recent if n >= RECENT - 1 else None))

    return learnt, judge


def _cut(batches: Batches, first: int, end: int) -> Batches:
    places = batches.number - batches.number.iloc[0]
    kept = (places >= first) & (places < end)
    return Batches(*(frame[kept].reset_index(drop=True) for frame in (batches.rows, batches.number, batches.at)))


def _evidently(learnt: Batches, batch: Batches) -> bool:
    """Whether Evidently's default tests flag any column at their default thresholds."""
    for name in learnt.rows:
        kind = ColumnType.Categorical if name in CATEGORICAL else ColumnType.Numerical
        sides: list[pd.Series] = [side.rows[name].dropna() for side in (learnt, batch)]
        test = _get_default_stattest(*sides, kind)
        if test.func(*sides, kind, test.default_threshold)[1]:
            return True
    return False


def _wilson(flags: list[bool]) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927, JASA 22)."""
    n, p, z = len(flags), float(np.mean(flags)), 1.96
    middle, half = p + z * z / (2 * n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    return max(0.0, (middle - half) / (1 + z * z / n)), (middle + half) / (1 + z * z / n)


if __name__ == "__main__":
    main()
