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
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from sklearn.base import clone

from include.config.contract import Window
from include.config.locations import Locations
from include.config.model_folder import ModelFolder
from include.features.history import call_predict
from include.features.known import learning_span
from include.features.labelled import LabelledRows, gather_features, match_labels
from include.features.packing import fit_model, packing_folder, with_window
from include.judging.gate import judge
from include.losses import row_losses
from include.records import AttemptRecord, ClaimRecord, PromotionRecord
from include.replay.history import History, collect_history
from include.replay.runner import Runner, for_replay
from include.storage.packed_model import PackedModel
from include.storage.stores import Stores, open_stores
from tests.bench.page import QUICK, table, write_section
from tests.bench.streams import Stream, find_streams

# Batches over which a promotion is looked at again, and over which the worst stretch is looked for.
_AHEAD = 4
_SPOILT_EVERY = 3


@dataclass(frozen=True)
class Line:
    """One stream.

    :param error: of what was served, relative to the best ungated cadence.
    :param worst: the same over the worst four batches in a row.
    :param cadences: by window, the ungated cadence's error relative to the best.
    :param worse: promotions that were worse than what they replaced by 2 % over the next batches.
    :param lost: what those have cost while they served, in shares of the error served.
    :param unscored: batches after the first that was scored which nobody scored.
    :param spoilt: by kind, judgements of challengers that were truly worse by 5 %, and how many passed.
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
    spoilt: dict[str, tuple[int, int]]


@dataclass(frozen=True)
class _Run:
    """A stream that went through the loop, and all its labels."""

    model: ModelFolder
    stores: Stores
    history: History
    labelled: LabelledRows
    names: list[str]

    def losses(self, packed: PackedModel, rows: pd.DataFrame) -> np.ndarray:
        """What a model would have lost on labelled rows."""
        config = self.model.config
        assert config.labels != "none"
        features, _ = gather_features(config, self.stores, packed, replace(self.labelled, rows=rows))
        predicted = call_predict(packed, features, str(rows["batch"].iloc[0]))
        return row_losses(config.gate.metric, rows[config.labels.column].to_numpy(dtype=float), predicted)

    def rows_of(self, batches: list[str]) -> pd.DataFrame:
        """The labelled rows of some batches."""
        return self.labelled.rows[self.labelled.rows["batch"].isin(batches)].reset_index(drop=True)


def measure(stream: Stream) -> Line:
    """Run a stream through the loop, and look at it from the end."""
    with tempfile.TemporaryDirectory() as place:
        run = _drive(stream, Path(place))
        scored = {one.batch: one for one in run.history.batches if one.error is not None}
        counted = [name for name in run.names[stream.scored : stream.batches] if name in scored]
        power = 2 if run.history.metric == "rmse" else 1
        served = np.array([float(scored[name].error or 0) ** power * scored[name].labelled for name in counted])
        sums = {str(window): _cadence(run, window, counted) for window in run.model.config.windows[:2]}
        best = min(sums.values(), key=lambda one: float(one.sum()))
        wide = np.ones(min(_AHEAD, len(counted)))
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
            spoilt=_spoil(run, attempts),
        )  # fmt: skip


def _drive(stream: Stream, place: Path) -> _Run:
    model = for_replay(stream.prepare(place), None, None, html=False)
    at, calendar = Locations.under(place / "run", landing=str(place / "landing")), model.config.calendar
    names = [calendar.name(i) for i in range(stream.batches + stream.after)]
    runner = Runner(model, at, sinks=())
    for name in names[: stream.batches]:
        runner.run_batch(name)
    for name in names[stream.batches :]:
        runner.take_in(name)
    stores = open_stores(at, model.id)
    history = collect_history(model, at, names[0], names[stream.batches - 1], known_by=names[-1])
    labelled = match_labels(model.config, stores, names[0], names[-1])
    claimed = {name for name in names[: stream.batches] if stores.ledger.get(ClaimRecord, name) is not None}
    known = replace(labelled, rows=labelled.rows[labelled.rows["batch"].isin(claimed)].reset_index(drop=True))
    return _Run(model, stores, history, known, names)


def _cadence(run: _Run, window: Window, counted: list[str]) -> np.ndarray:
    """Summed losses by batch of a version that is fitted anew after every batch (batches,)."""
    sums, calendar = [], run.model.config.calendar
    for name in counted:
        span = learning_span(run.model.config, run.stores, calendar.shift(name, -1), window)
        assert span is not None
        with packing_folder() as folder:
            packed = fit_model(with_window(run.model, window), run.stores, span, folder).packed
            sums.append(float(run.losses(packed, run.rows_of([name])).sum()))
    return np.array(sums)


def _never(run: _Run, counted: list[str]) -> np.ndarray:
    """Summed losses by batch of the version fitted before the first of them."""
    span = learning_span(run.model.config, run.stores, run.model.config.calendar.shift(counted[0], -1), "all")
    assert span is not None
    rows = run.rows_of(counted)
    with packing_folder() as folder:
        losses = run.losses(fit_model(with_window(run.model, "all"), run.stores, span, folder).packed, rows)
    return np.array(pd.Series(losses).groupby(rows["batch"].to_numpy()).sum().loc[counted])


def _look_again(run: _Run, counted: list[str]) -> tuple[int, float]:
    """Promotions that were worse by 2 % over the next batches, and the losses that these cost while they served."""
    worse, lost = 0, 0.0
    promotions = list(run.stores.ledger.all(PromotionRecord, "champion"))
    ends = [one.effective_from for one in promotions[2:]]
    for (old, new), end in itertools.zip_longest(itertools.pairwise(promotions), ends):
        served = [name for name in counted if name >= new.effective_from and (end is None or name < end)]
        rows = run.rows_of([name for name in counted if name >= new.effective_from][:_AHEAD])
        if new.as_of < counted[0] or rows.empty:
            continue
        before, after = (run.losses(run.stores.models.load_version(one.version), rows) for one in (old, new))
        if after.mean() <= 1.02 * before.mean():
            continue
        worse += 1
        rows = run.rows_of(served)
        if not rows.empty:
            before, after = (run.losses(run.stores.models.load_version(one.version), rows) for one in (old, new))
            lost += max(0.0, float(after.sum() - before.sum()))
    return worse, lost


def _spoil(run: _Run, attempts: list[AttemptRecord]) -> dict[str, tuple[int, int]]:
    """Challengers that something went wrong with, judged at the gate; those that were truly worse by 5 % count."""
    found: dict[str, tuple[int, int]] = {}
    config = run.model.config
    gate = config.gate.model_copy(update={"slices": {}, "sensitive": ()})
    assert config.labels != "none"
    for attempt in [one for one in attempts if one.against and one.trained_on][::_SPOILT_EVERY]:
        champion = run.stores.ledger.get(PromotionRecord, "champion", attempt.against - 1)
        assert champion is not None
        assert attempt.trained_on is not None
        serving, target = run.stores.models.load_version(champion.version), config.labels.column
        holdout = match_labels(config, run.stores, attempt.holdout[0], attempt.as_of)
        later = run.rows_of([n for n in run.names if n > attempt.as_of][:_AHEAD])
        with packing_folder() as folder:
            fitted = fit_model(with_window(run.model, "all"), run.stores, attempt.trained_on, folder)
            spoilt = _spoilt_losses(
                run, fitted.packed, fitted.features, fitted.labelled.rows[target], holdout.rows, later
            )
        if later.empty:
            continue
        old, truth = _predict(run, serving, holdout.rows), run.losses(serving, later).mean()
        for kind, (predicted, losses) in spoilt.items():
            if losses.mean() < 1.05 * truth:
                continue
            outcomes = holdout.rows[target].to_numpy(dtype=float)
            blocks = holdout.rows["known"].to_numpy(dtype=str)
            refused = judge(gate, "", outcomes, old, predicted, blocks, pd.DataFrame())[1]
            tried, passed = found.get(kind, (0, 0))
            found[kind] = tried + 1, passed + (refused is None)
    return found


def _predict(run: _Run, packed: PackedModel, rows: pd.DataFrame) -> np.ndarray:
    features, _ = gather_features(run.model.config, run.stores, packed, replace(run.labelled, rows=rows))
    return call_predict(packed, features, str(rows["batch"].iloc[0]))


def _spoilt_losses(
    run: _Run,
    packed: PackedModel,
    features: pd.DataFrame,
    target: pd.Series,
    holdout: pd.DataFrame,
    later: pd.DataFrame,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By kind, what a spoilt model predicts for the holdout, and what it loses on the batches that come."""
    random = np.random.default_rng(0)
    shuffled = target.to_numpy().copy()
    chosen = random.choice(len(shuffled), max(2, len(shuffled) // 10), replace=False)
    shuffled[chosen] = random.permutation(shuffled[chosen])
    half = features.copy()
    for name in random.permutation(features.columns)[: len(features.columns) // 2]:
        half[name] = features[name].iloc[np.zeros(len(features), dtype=int)].set_axis(features.index)
    stale = slice(0, max(30, len(features) // 4))
    kinds = {
        "shuffled labels": (features, shuffled),
        "half its columns": (half, target.to_numpy()),
        "a stale window": (features.iloc[stale], target.to_numpy()[stale]),
    }
    found = {}
    for kind, (learnt, outcomes) in kinds.items():
        if run.model.config.model.task == "classification":
            outcomes = outcomes.astype(np.int64)
        estimator = packed.estimator
        packed.estimator = clone(estimator).fit(learnt, outcomes)
        found[kind] = _predict(run, packed, holdout), run.losses(packed, later) if len(later) else np.array([])
        packed.estimator = estimator
    return found


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
    spoilt = {}
    for one in lines:
        for kind, (tried, passed) in one.spoilt.items():
            before = spoilt.get(kind, (0, 0))
            spoilt[kind] = before[0] + tried, before[1] + passed
    told = "; ".join(f"{kind} {passed} of {tried}" for kind, (tried, passed) in spoilt.items())
    return (
        f"{table(columns, rows)}\n\nMean {mean:.3f}, worst {worst:.3f}. Spoilt challengers that were truly worse by "
        f"5 %, and passed: {told or 'none was'}. {minutes:.0f} minutes."
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
