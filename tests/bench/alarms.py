"""Measure input alarms: how often they are false, which changes they find and how soon; Evidently's beside them."""

import multiprocessing
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from evidently.legacy.calculations.stattests.registry import _get_default_stattest
from evidently.legacy.core import ColumnType

from include.checks import drift
from include.checks.drift import build_reference, judge_columns
from tests.bench.alarm_streams import CATEGORICAL, CHANGES, Batches, draw
from tests.bench.page import QUICK, table, write_section

_SEED = 20
_AFTER = 50
_LIMIT = 0.01
# Stream, window, rows a batch, references; each reference judges 50 batches, one after the other.
_QUIET = [
    *[(stream, 12, 10_000, 20) for stream in ("alike", "apart")],
    *[(stream, 6, 100_000, 1) for stream in ("alike", "apart")],
    *[
        (stream, window, size, 20)
        for stream in ("alike", "apart", "calendar")
        for window in (6, 12)
        for size in (100, 1000)
    ],
    *[("apart", window, 100, 20) for window in (30, 60)],
    *[(stream, 12, 1000, 20) for stream in ("weekly", "seasonal")],
]
_CHANGED = [(stream, size) for stream in ("alike", "apart") for size in (100, 1000, 10_000)]
_THEIRS = {100: 0.1, 1000: 0.1, 10_000: 0.02, 100_000: 0.0}


def run_quiet(cell: tuple[str, int, int, int]) -> dict[str, Any]:
    """Judge batches without a change."""
    stream, window, size, references = cell
    ours: list[bool] = []
    theirs: list[float] = []
    for seed in range(references):
        random = np.random.default_rng([_SEED, seed, window, size])
        first = int(random.integers(0, 300))
        learnt, judge = _learn(stream, random, first, window, size, seed)
        for age in range(1, _AFTER + 1):
            batch = draw(stream, random, first + window + age - 1, 1, size)
            ours.append(bool(judge(batch, age)))
            if window in (6, 12) and random.random() < _THEIRS[size]:
                theirs.append(_evidently(learnt, batch))
    return {"cell": cell, "ours": ours, "theirs": theirs}


def run_changed(cell: tuple[str, int]) -> list[dict[str, Any]]:
    """Judge batches with each change, after a reference of 12 batches."""
    stream, size = cell
    references, after = (6, 10) if QUICK else ({100: 12, 1000: 12, 10_000: 3}[size], 20)
    results = {change: {"cell": cell, "change": change, "first": [], "theirs": [], "found": []} for change in CHANGES}
    for seed in range(references):
        random = np.random.default_rng([_SEED + 1, seed, size])
        learnt, judge = _learn(stream, random, 0, 12, size, seed)
        for change, result in results.items():
            changed = draw(stream, random, 12, after, size, change)
            found = []
            for age in range(1, after + 1):
                batch = _cut(changed, age - 1, size)
                names = judge(batch, age)
                found.append(any(name.removesuffix(" missing") in ("load", "kind") for name in names))
                if age in (1, after):
                    result["theirs"].append(_evidently(learnt, batch))
            result["found"] += found
            result["first"].append(found.index(True) + 1 if any(found) else None)
    return list(results.values())


def run_million(change: str) -> tuple[str, bool, bool]:
    """Compare the verdict of a sample with that of all of 1,000,000 rows."""
    random = np.random.default_rng([_SEED + 2, len(change)])
    _, judge = _learn("alike", random, 0, 12, 1000, 1)
    batch = draw("alike", random, 12, 1, 1_000_000, change)
    sampled = judge(batch, 1)
    with patch.object(drift, "_SAMPLE", 1_000_000):
        whole = judge(batch, 1)
    return change, sampled == whole, bool(sampled)


def main() -> None:
    """Run the cells on two cores, write the section, and hold the limit."""
    began = time.time()
    quiet = [("alike", 12, 100, 4), ("apart", 12, 1000, 4), ("calendar", 12, 100, 4)] if QUICK else _QUIET
    changed = [("alike", 1000)] if QUICK else _CHANGED
    million = [] if QUICK else ["", *CHANGES[:3]]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        found = [pool.submit(run_changed, cell) for cell in sorted(changed, key=lambda one: -one[1])]
        silent = [pool.submit(run_quiet, cell) for cell in quiet]
        large = [pool.submit(run_million, change) for change in million]
        rates = [one.result() for one in silent]
        finds = [result for one in found for result in one.result()]
        samples = [one.result() for one in large]
    steady = [flag for one in rates if one["cell"][0] != "seasonal" for flag in one["ours"]]
    write_section("alarms", _tell(rates, finds, samples, steady))
    rate = float(np.mean(steady))
    print(f"{time.time() - began:.0f} s")
    print(f"false alarms: {100 * rate:.2f} per 100 batches of {len(steady)}, at most {100 * _LIMIT:.0f}")
    sys.exit(rate > _LIMIT)


def _tell(
    rates: list[dict[str, Any]], finds: list[dict[str, Any]], samples: list[tuple[Any, ...]], steady: list[bool]
) -> str:
    low, high = _wilson(steady)
    over = [one["cell"] for one in rates if one["cell"][0] != "seasonal" and np.mean(one["ours"]) > _LIMIT]
    lines = [
        f"**Without a change**, {np.mean(steady):.2%} of {len(steady):,} batches raised an alarm, whichever column "
        f"it was (95 % interval {low:.2%} to {high:.2%}, Wilson; batches of one reference are not independent: the "
        "truth is wider). Streams have 7 columns, those of a calendar 12; each reference is drawn anew and judges 50 "
        "batches after it. `alike`: independent rows. `apart`: each has levels and shares of its own. `calendar`: "
        "month, season, weekday, weekend and hour beside them, over a year. `weekly`: two columns follow the weekday. "
        "`seasonal`: a temperature swings by 1.4 standard deviations over the year; it counts in no total, because no "
        "window of some days can know the year. Evidently's are its default tests and thresholds, on a part of the "
        "batches: flagged if any column is, and if half of them are, as its preset has it.",
        "",
        table(
            ["stream", "window", "rows a batch", "batches", "alarms", "interval", "Evidently, any", "Evidently, half"],
            [_tell_rate(one) for one in rates],
        ),
        "",
        "Above one in a hundred, by the count: "
        + (", ".join(f"{stream} (window {window}, {size:,} rows)" for stream, window, size, _ in over) or "no cell")
        + ".",
        "",
        "**With a change**, after a window of 12: the share of changed batches in which the changed column warned, and "
        "the batch in which it first did (median of the references that warned within 20 batches). A trend starts "
        "from nothing: its share counts the batches before it is large enough. Evidently's are of the first and the "
        "twentieth changed batch, and warn as the table above says whether or not anything changed.",
        "",
        table(
            ["stream", "rows a batch", "change", "found", "first", "never", "Evidently, any", "Evidently, half"],
            [_tell_find(one) for one in finds],
        ),
    ]
    if samples:
        lines += [
            "",
            "**1,000,000 rows**: a sample of 10,000 against all of them, on "
            + ", ".join(
                f"{change or 'no change'}: {'the same verdict' if same else 'another verdict'}"
                f" ({'an alarm' if alarm else 'none'})"
                for change, same, alarm in samples
            )
            + ".",
        ]
    return "\n".join(lines)


def _tell_rate(one: dict[str, Any]) -> list[object]:
    stream, window, size, _ = one["cell"]
    low, high = _wilson(one["ours"])
    interval = f"{low:.1%} to {high:.1%}"
    return [
        stream,
        window,
        f"{size:,}",
        len(one["ours"]),
        f"{np.mean(one['ours']):.1%}",
        interval,
        *_shares(one["theirs"]),
    ]


def _tell_find(one: dict[str, Any]) -> list[object]:
    stream, size = one["cell"]
    first = [n for n in one["first"] if n is not None]
    never = f"{len(one['first']) - len(first)} of {len(one['first'])}"
    soon = f"{np.median(first):.0f}" if first else "-"
    return [stream, f"{size:,}", one["change"], f"{np.mean(one['found']):.0%}", soon, never, *_shares(one["theirs"])]


def _shares(flagged: list[float]) -> list[str]:
    if not flagged:
        return ["-", "-"]
    shares = np.array(flagged)
    return [f"{np.mean(shares > 0):.0%} of {len(shares)}", f"{np.mean(shares >= 0.5):.0%}"]


def _learn(
    stream: str, random: np.random.Generator, first: int, window: int, size: int, seed: int
) -> tuple[Batches, Callable[[Batches, int], list[str]]]:
    learnt = draw(stream, random, first, window, size)
    reference = build_reference(learnt.rows, CATEGORICAL, list(learnt.rows), learnt.number, size, seed, at=learnt.at)

    def judge(batch: Batches, age: int) -> list[str]:
        judged = judge_columns(reference, batch.rows, age, batch.at)
        return [name for name, one in judged.items() if one["drifted"]]

    return learnt, judge


def _cut(batches: Batches, place: int, size: int) -> Batches:
    part = slice(place * size, (place + 1) * size)
    return Batches(*(frame.iloc[part].reset_index(drop=True) for frame in (batches.rows, batches.number, batches.at)))


def _evidently(learnt: Batches, batch: Batches) -> float:
    """The share of columns that Evidently's default tests flag at their default thresholds."""
    flagged = []
    for name in learnt.rows:
        kind = ColumnType.Categorical if name in CATEGORICAL else ColumnType.Numerical
        sides: list[pd.Series] = [side.rows[name].dropna() for side in (learnt, batch)]
        test = _get_default_stattest(*sides, kind)
        flagged.append(bool(test.func(*sides, kind, test.default_threshold)[1]))
    return float(np.mean(flagged))


def _wilson(flags: list[bool]) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927, JASA 22)."""
    n, p, z = len(flags), float(np.mean(flags)), 1.96
    middle, half = p + z * z / (2 * n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    return max(0.0, (middle - half) / (1 + z * z / n)), (middle + half) / (1 + z * z / n)


if __name__ == "__main__":
    main()
