"""What the loop's decisions cost: the table of docs/judgement.md.

`make bench-decisions`; `QUICK=1` takes one made stream; named streams are measured and printed alone. Each goes through
the loop's own runner under its folder's settings. What was served is held against the best ungated cadence: a version
fitted after every batch, on all of the past or on the recent window, whichever served better over the stream.
"""

import itertools
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

from evergreen.config.contract import Window
from evergreen.features.label_batches import training_span
from evergreen.features.packing import Recipe, fit_model, packing_folder
from evergreen.losses import METRICS
from evergreen.records import PromotionRecord
from evergreen.storage.packed_model import PackedModel
from tests.bench.page import QUICK, table, write_section
from tests.bench.spoilt import spoil
from tests.bench.streams import AHEAD, Run, Stream, drive, find_streams


@dataclass(frozen=True)
class Line:
    """One stream.

    :param error: of what was served, relative to the best ungated cadence.
    :param worst: the same over the worst four batches in a row.
    :param cadences: by window, the ungated cadence's error relative to the best.
    :param worse: promotions that were worse than what they replaced by 2 % over the next batches.
    :param lost: what those have cost while they served, in shares of the error served.
    :param unscored: batches after the first that was scored which nobody scored.
    :param spoilt: by kind, judgements of challengers that were truly worse by 5 %, how many passed as new code, and
        how many as the code that serves.
    """

    stream: str
    error: float
    worst: float
    cadences: dict[str, float]
    never: float
    attempts: int
    promotions: int
    worse: int
    lost: float
    unscored: int
    seconds: float
    spoilt: dict[str, np.ndarray]


def measure(stream: Stream) -> Line:
    """Run a stream through the loop, and look at it from the end."""
    with tempfile.TemporaryDirectory() as place:
        run = drive(stream, Path(place))
        scored = {one.batch: one for one in run.history.batches if one.error is not None}
        counted = [name for name in run.names[stream.scored : stream.batches] if name in scored]
        metric = METRICS[run.history.metric]
        errors = np.array([scored[name].error for name in counted], dtype=float)
        losses = errors**2 if metric.is_root else errors
        served = losses * np.array([scored[name].labelled for name in counted])
        sums = {str(window): _cadence(run, window, counted) for window in run.model.config.windows[:2]}
        best = min(sums.values(), key=lambda one: float(one.sum()))
        wide = np.ones(min(AHEAD, len(counted)))
        stretches = np.convolve(served, wide, "valid") / np.convolve(best, wide, "valid")
        attempts = [one for one in run.history.attempts if one.as_of >= counted[0]]
        worse, lost = _look_again(run, counted)
        first = min(scored)
        return Line(
            stream=stream.name,
            error=float(served.sum() / best.sum()),
            worst=float(stretches.max()),
            cadences={name: float(one.sum() / best.sum()) for name, one in sums.items()},
            never=float(_never(run, counted).sum() / best.sum()),
            attempts=len(attempts),
            promotions=sum(one.as_of >= counted[0] for one in run.history.promotions),
            worse=worse,
            lost=lost / float(served.sum()),
            unscored=sum(one.claim is None or one.claim.version is None for one in run.history.batches
                         if one.batch > first and one.rows.has_rows),
            seconds=sum(float(one.meta.get("cpu_seconds", 0)) for one in run.history.attempts),
            spoilt=spoil(run, attempts),
        )  # fmt: skip


def _cadence(run: Run, window: Window, counted: list[str]) -> np.ndarray:
    """Summed losses by batch of a version that is fitted anew after every batch (batches,)."""
    sums, calendar = [], run.model.config.calendar
    for name in counted:
        span = training_span(run.model.config.data_schema, run.stores, calendar.shift(name, -1), window)
        assert span is not None
        with packing_folder() as folder:
            sums.append(float(run.losses(_fit(run, window, span, folder), run.rows_of([name])).sum()))
    return np.array(sums)


def _fit(run: Run, window: Window, span: tuple[str, str], folder: Path) -> PackedModel:
    return fit_model(Recipe.of(run.model, window), run.model.config.data_schema, run.stores, span, folder).packed


def _never(run: Run, counted: list[str]) -> np.ndarray:
    """Summed losses by batch of the version fitted before the first of them."""
    span = training_span(
        run.model.config.data_schema, run.stores, run.model.config.calendar.shift(counted[0], -1), "all"
    )
    assert span is not None
    rows = run.rows_of(counted)
    with packing_folder() as folder:
        losses = run.losses(_fit(run, "all", span, folder), rows)
    return np.array(pd.Series(losses).groupby(rows["batch"].to_numpy()).sum().loc[counted])


def _look_again(run: Run, counted: list[str]) -> tuple[int, float]:
    """Promotions that were worse by 2 % over the next batches, and the losses that these cost while they served."""
    worse, lost = 0, 0.0
    promotions = list(run.stores.ledger.all(PromotionRecord, "champion"))
    ends = [one.effective_from for one in promotions[2:]]
    for (old, new), end in itertools.zip_longest(itertools.pairwise(promotions), ends):
        served = [name for name in counted if name >= new.effective_from and (end is None or name < end)]
        rows = run.rows_of([name for name in counted if name >= new.effective_from][:AHEAD])
        if new.as_of < counted[0] or rows.empty:
            continue
        before, after = (run.losses(run.stores.models.load_promoted(one), rows) for one in (old, new))
        if after.mean() <= 1.02 * before.mean():
            continue
        worse += 1
        rows = run.rows_of(served)
        if not rows.empty:
            before, after = (run.losses(run.stores.models.load_promoted(one), rows) for one in (old, new))
            lost += max(0.0, float(after.sum() - before.sum()))
    return worse, lost


def summarise(lines: list[Line], minutes: float) -> str:
    """The section's text."""
    columns = [
        "stream",
        "error",
        "worst 4",
        "never",
        "all",
        "recent",
        "trainings",
        "promotions",
        "worse",
        "lost",
        "unscored",
        "CPU s",
    ]
    rows: list[list[object]] = []
    for one in lines:
        cadences = [f"{value:.3f}" for value in one.cadences.values()]
        told = [f"{one.error:.3f}", f"{one.worst:.3f}", f"{one.never:.3f}", *cadences, *["-"] * (2 - len(cadences))]
        rows.append(
            [
                one.stream,
                *told,
                one.attempts,
                one.promotions,
                one.worse,
                f"{one.lost:.1%}",
                one.unscored,
                f"{one.seconds:.0f}",
            ]
        )
    mean, worst = np.mean([one.error for one in lines]), max(one.error for one in lines)
    kinds = dict.fromkeys(kind for one in lines for kind in one.spoilt)
    spoilt = {kind: sum(one.spoilt.get(kind, np.zeros(3, int)) for one in lines) for kind in kinds}
    told = "; ".join(f"{kind} {new}, {serving} of {tried}" for kind, (tried, new, serving) in spoilt.items())
    return (
        f"{table(columns, rows)}\n\nMean {mean:.3f}, worst {worst:.3f}. Spoilt challengers that were truly worse by "
        f"5 %, and passed as new code, as the code that serves: {told or 'none was'}. {minutes:.0f} minutes."
    )


def main() -> int:
    """Measure the streams, write the section; 1 if what was served is far from what could have been."""
    begun, lines, named = time.monotonic(), [], sys.argv[1:]
    streams = [stream for stream in find_streams(QUICK) if not named or stream.name in named]
    with get_context("spawn").Pool(2) as pool:
        for line in pool.imap_unordered(measure, streams):
            print(f"{time.monotonic() - begun:5.0f} s  {line}", file=sys.stderr, flush=True)
            lines.append(line)
    names = [stream.name for stream in streams]
    lines.sort(key=lambda line: names.index(line.stream))
    told = summarise(lines, (time.monotonic() - begun) / 60)
    if named:
        print(told)
    else:
        write_section("decisions", told)
    mean = float(np.mean([line.error for line in lines]))
    print(f"decisions: {mean:.3f} of the best ungated cadence (limit 1.1)")
    return 0 if mean <= 1.1 else 1


if __name__ == "__main__":
    sys.exit(main())
