"""Policies against each other through the loop's own runner: the table of docs/judgement.md.

`make bench-policies`; `QUICK=1` takes one stream and a few policies as they are. No policy is told of a change. Options
are chosen on prefixes that the table does not score, the same for all streams; ours stays as it is shipped. Every
policy goes through the same training and the same gate.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from multiprocessing import TimeoutError, get_context
from multiprocessing.pool import IMapIterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from include.config.model_folder import ModelFolder
from include.features.history import call_predict
from include.features.labelled import gather_features, match_labels
from include.judging.losses import row_losses
from include.replay.contenders import Contender, compare_policies
from include.replay.oracle import Hindsight, find_plan, look_back
from include.replay.runner import for_replay
from include.replay.standings import batch_losses
from include.storage.stores import open_stores
from tests.bench.cells import NEVER_RUN, Cell, scored_cells, tuning_cells
from tests.bench.page import QUICK, write_section
from tests.bench.policy_table import ANSWER, CHOICES, LATER, MIDDLE, OURS, PRICES, Line, summarise

_WINDOW = 4
# What is not measured by then is left out, and the page says so.
_MINUTES = float(os.environ.get("MINUTES", "55"))
_ORACLE_EVERY = 2
# What the short form looks at.
_QUICK = ("never", "every n", "decay", OURS)


def choose_options(cell: Cell) -> dict[str, float]:
    """By policy with its options, the cost at the middle price on a prefix."""
    texts = [text for choices in CHOICES.values() for text in choices]
    with tempfile.TemporaryDirectory() as place:
        contenders, _, _ = _run(cell, Path(place), {text: text for text in texts})
        unit, found = float(np.mean(list(batch_losses(contenders[0].history).values()))), {}
        for one in contenders:
            losses = batch_losses(one.history)
            trainings = len([a for a in one.history.attempts if a.data]) - 1
            found[one.policy] = (sum(losses.values()) / unit + MIDDLE * trainings) / max(len(losses), 1)
        return found


def measure(cell: Cell, chosen: dict[str, str]) -> list[Line]:
    """All policies and the oracle on one stream."""
    with tempfile.TemporaryDirectory() as place:
        contenders, model, names = _run(cell, Path(place), chosen)
        scored = set(names[cell.tuned : cell.batches])
        shared = set.intersection(*(set(batch_losses(one.history)) for one in contenders)) & scored
        unit = float(np.mean([batch_losses(contenders[0].history)[batch] for batch in shared]))
        lines = [_line(cell, model, one, shared, unit, names[-1]) for one in contenders]
        seen = look_back(model, contenders[0].at, names[cell.batches - 1], names[-1], _ORACLE_EVERY)
        return [*lines, _oracle_line(cell, seen, contenders[0].history.metric, shared, unit)]


def _run(cell: Cell, place: Path, chosen: dict[str, str]) -> tuple[list[Contender], ModelFolder, list[str]]:
    """Run the policies; the batches come with those of which only the labels count."""
    model, span, after = cell.prepare(place)
    models = {name: for_replay(model, None, text, html=False) for name, text in chosen.items()}
    contenders = compare_policies(models, place / "comparison", str(place / "landing"), span, after)
    return contenders, next(iter(models.values())), [*span, *after]


def _line(cell: Cell, model: ModelFolder, one: Contender, shared: set[str], unit: float, known_by: str) -> Line:
    history, first = one.history, min(shared)
    losses = [loss for batch, loss in batch_losses(history).items() if batch in shared]
    trainings = sum(bool(attempt.data) and attempt.as_of >= first for attempt in history.attempts)
    asked = [b.verdict.as_of for b in history.batches if b.verdict is not None and b.verdict.action == "retrain"]
    asked = [as_of for as_of in asked if as_of >= first]
    right, delays = _answers(cell, model, asked)
    promoted = [promotion for promotion in history.promotions[1:] if promotion.as_of >= first]
    error, worst = _errors(losses, history.metric)
    return Line(
        cell=cell,
        policy=one.policy,
        error=error,
        worst=worst,
        trainings=trainings,
        promotions=len(promoted),
        worse=_count_worse(model, one, first, known_by),
        costs=_costs(losses, unit, trainings),
        asked=len(asked),
        right=right,
        hits=len(delays),
        changes=len(cell.changes) if cell.is_demo else 0,
        delays=tuple(delays),
        checks=sum(b.verdict is not None and b.batch >= first for b in history.batches),
        seconds=one.seconds,
    )


def _oracle_line(cell: Cell, seen: Hindsight, metric: str, shared: set[str], unit: float) -> Line:
    first, costs, lines = min(shared), [], {}
    for i, price in enumerate(PRICES):
        plan = find_plan(seen, price * unit)
        losses = [loss for batch, loss in plan.losses.items() if batch in shared]
        made = sum(batch >= first for batch in plan.trainings)
        costs.append(_costs(losses, unit, made)[i])
        lines[price] = (*_errors(losses, metric), made)
    error, worst, made = lines[MIDDLE]
    return Line(cell, "oracle", error, worst, made, made, 0, tuple(costs), 0, 0, 0, 0, (), 0, 0.0)


def _answers(cell: Cell, model: ModelFolder, asked: list[str]) -> tuple[int, list[int]]:
    """Requests that answer a change, and of each change answered how long that took."""
    if not cell.is_demo:
        return 0, []
    numbers = [model.config.calendar.index(as_of) + 1 for as_of in asked]
    grace = ANSWER + (LATER if cell.delay else 0)
    right = {n for n in numbers for begin, end in cell.changes if begin <= n <= end + grace}
    delays = []
    for begin, end in cell.changes:
        answers = [n for n in numbers if begin <= n <= end + grace]
        delays += [min(answers) - begin] if answers else []
    return len(right), delays


def _count_worse(model: ModelFolder, one: Contender, first: str, known_by: str) -> int:
    """Promotions that were worse than the version they replaced, on the batches that they then served."""
    stores, history, worse = open_stores(one.at, model.id), one.history, 0
    assert model.config.labels != "none"
    target, promotions = model.config.labels.column, history.promotions
    for i in range(1, len(promotions)):
        if promotions[i].as_of < first:
            continue
        served = [b.batch for b in history.batches if b.claim is not None and b.claim.promotion == i + 1 and b.labelled]
        if not served:
            continue
        labelled = match_labels(model.config, stores, served[0], known_by)
        rows = labelled.rows[labelled.rows["batch"].isin(served)].reset_index(drop=True)
        mean = []
        for version in (promotions[i - 1].version, promotions[i].version):
            packed = stores.models.load_version(version)
            features, _ = gather_features(model.config, stores, packed, replace(labelled, rows=rows))
            predicted = call_predict(packed, features, served[0])
            mean.append(float(row_losses(history.metric, rows[target].to_numpy(), predicted).mean()))
        worse += mean[1] > mean[0]
    return worse


def _costs(losses: list[float], unit: float, trainings: int) -> tuple[float, ...]:
    return tuple((sum(losses) / unit + price * trainings) / len(losses) for price in PRICES)


def _errors(losses: list[float], metric: str) -> tuple[float, float]:
    window = min(_WINDOW, len(losses))
    worst = float(np.convolve(losses, np.ones(window) / window, mode="valid").max())
    root = 0.5 if metric == "rmse" else 1
    return float(np.mean(losses)) ** root, worst**root


def _measured(results: IMapIterator, begun: float) -> Iterator[tuple[Cell, list[Line]]]:
    """What is measured in time."""
    while True:
        try:
            lines = results.next(timeout=max(1.0, 60 * _MINUTES - (time.monotonic() - begun)))
        except (StopIteration, TimeoutError):
            return
        print(f"{time.monotonic() - begun:5.0f} s  {lines[0].cell.name}", file=sys.stderr, flush=True)
        yield lines[0].cell, lines


def main() -> int:
    """Choose the options, run all cells, write the section; 1 if ours is dearer than never retraining."""
    begun = time.monotonic()
    cells = list(scored_cells(QUICK))
    # Left, it ends its processes, whatever they are at.
    with get_context("spawn").Pool(2) as pool:
        chosen = {policy: choices[0] for policy, choices in CHOICES.items() if not QUICK or policy in _QUICK}
        if not QUICK:
            prefixes = pool.map(choose_options, tuning_cells(QUICK), chunksize=1)
            for policy, choices in CHOICES.items():
                chosen[policy] = min(choices, key=lambda text: float(np.mean([found[text] for found in prefixes])))
            chosen[OURS] = CHOICES[OURS][0]
        found = dict(_measured(pool.imap_unordered(partial(measure, chosen=chosen), cells), begun))
    done, left = [cell for cell in cells if cell in found], [cell for cell in cells if cell not in found]
    lines = [line for cell in done for line in found[cell]]
    spent = sum(line.seconds for line in lines)
    minutes = (time.monotonic() - begun) / 60
    took = f"{len(done)} streams, {len(lines)} lines, {minutes:.0f} minutes ({spent / 60:.0f} CPU minutes of policies)."
    if left:
        took += f" Left out, for want of time: {'; '.join(cell.name for cell in left)}."
    took += f" Never run: {NEVER_RUN}."
    write_section("policies", f"{summarise(lines, chosen)}\n\n{took}")
    demo = [one for one in lines if one.cell.is_demo]
    ours, never = (np.mean([one.costs[1] for one in demo if one.policy == p]) for p in (OURS, "never"))
    print(f"policies: ours costs {ours:.3f} of never retraining (limit 1)")
    return 0 if ours <= never else 1


if __name__ == "__main__":
    sys.exit(main())
