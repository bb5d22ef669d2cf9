"""Policies against each other through the loop's own runner: the table of docs/judgement.md.

`make bench-policies`; `QUICK=1` takes one stream and the policies as they are. No policy is told of a change. Options
are chosen on prefixes that the table does not score, the same for all streams; ours stays as it is shipped. Every
policy goes through the same training and the same gate.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from scipy import stats

from include.config.model_folder import ModelFolder
from include.features.history import call_predict
from include.features.labelled import gather_features, match_labels
from include.judging.losses import row_losses
from include.replay.contenders import Contender, compare_policies
from include.replay.oracle import Hindsight, find_plan, look_back
from include.replay.runner import for_replay
from include.replay.standings import batch_losses
from include.storage.stores import open_stores
from tests.bench.cells import Cell, scored_cells, tuning_cells
from tests.bench.page import QUICK, table, write_section

# The options that each policy may take; the first is its default, and stands where nothing is tuned.
CHOICES: dict[str, tuple[str, ...]] = {
    "never": ("never",),
    "every n": ("every:7", "every:4", "every:14"),
    "uniform": ("uniform:budget=6:over=42", "uniform:budget=3:over=42", "uniform:budget=10:over=42"),
    "max age": ("due:age=7", "due:age=14", "due:age=28"),
    "new labels": ("due:new_labels=1500", "due:new_labels=3000", "due:new_labels=6000"),
    "input drift": ("input_drift",),
    "decay": ("decay", "decay:5%", "decay:20%"),
    "CUSUM": ("cusum", "cusum:k=0.5:h=3", "cusum:k=1:h=8"),
    "ADWIN": ("adwin", "adwin:0.05", "adwin:0.0001"),
    "CARA-T": ("cara", "cara:0.3", "cara:3"),
    "decay, and refilled": ("decay+refilled", "decay:5%+refilled", "decay:20%+refilled"),
    "CUSUM, and refilled": ("cusum+refilled", "cusum:k=0.5:h=3+refilled", "cusum:k=1:h=8+refilled"),
}
OURS = "decay, and refilled"
# What a training costs, in batches of the error that never retraining has; ranks are by the middle one.
PRICES = (0.1, 0.5, 2.0)
_MIDDLE = PRICES[1]
# A request within so many batches of a change (and of the labels' delay) is an answer to it.
_ANSWER = 14
_WINDOW = 4
_ORACLE_EVERY = 2


@dataclass(frozen=True)
class Line:
    """How one policy came out on one stream, on the batches after the prefix.

    :param costs: by price; see ``include.replay.standings``.
    :param worse: promotions that were worse than what they replaced, on the batches that they then served.
    :param right: requests that answer a change, of ``asked``; ``hits`` changes answered, of ``changes``.
    :param delays: of each change answered, the batches until the request.
    """

    cell: Cell
    policy: str
    error: float
    worst: float
    trainings: int
    promotions: int
    worse: int
    costs: tuple[float, ...]
    asked: int
    right: int
    hits: int
    changes: int
    delays: tuple[int, ...]
    checks: int
    seconds: float


def choose_options(cell: Cell) -> dict[str, float]:
    """By policy with its options, the cost at the middle price on a prefix."""
    texts = [text for choices in CHOICES.values() for text in choices]
    with tempfile.TemporaryDirectory() as place:
        contenders, _, _ = _run(cell, Path(place), {text: text for text in texts})
        unit, found = float(np.mean(list(batch_losses(contenders[0].history).values()))), {}
        for one in contenders:
            losses = batch_losses(one.history)
            trainings = len([a for a in one.history.attempts if a.data]) - 1
            found[one.policy] = (sum(losses.values()) / unit + _MIDDLE * trainings) / max(len(losses), 1)
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
    error, worst, made = lines[_MIDDLE]
    return Line(cell, "oracle", error, worst, made, made, 0, tuple(costs), 0, 0, 0, 0, (), 0, 0.0)


def _answers(cell: Cell, model: ModelFolder, asked: list[str]) -> tuple[int, list[int]]:
    """Requests that answer a change, and of each change answered how long that took."""
    if not cell.is_demo:
        return 0, []
    numbers = [model.config.calendar.index(as_of) + 1 for as_of in asked]
    grace = _ANSWER + (40 if cell.delay else 0)
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


def summarise(lines: list[Line], chosen: dict[str, str]) -> str:
    """The page's section."""
    parts = [_main_table(lines, chosen), _group_table(lines), _real_table(lines), _say(lines)]
    return "\n\n".join(part for part in parts if part)


def _frame(lines: Iterable[Line]) -> pd.DataFrame:
    rows = [
        {"cell": one.cell.name, "policy": one.policy, "cost": one.costs[PRICES.index(_MIDDLE)], "line": one}
        for one in lines
    ]
    return pd.DataFrame(rows)


def _ranks(lines: list[Line]) -> dict[str, float]:
    """Average rank by cost at the middle price over the generated streams; the oracle takes no part."""
    frame = _frame(one for one in lines if one.cell.is_demo and one.policy != "oracle")
    ranks = frame.assign(rank=frame.groupby("cell")["cost"].rank()).groupby("policy")["rank"].mean()
    return {str(policy): float(rank) for policy, rank in ranks.items()}


def _wilcoxon(lines: list[Line], policy: str) -> float:
    """How likely such differences from ours are if neither is better; two-sided."""
    costs = _frame(one for one in lines if one.cell.is_demo).pivot(index="cell", columns="policy", values="cost")
    different = costs[policy] - costs[OURS]
    if (different.abs() < 1e-12).all() or len(different) < 2:
        return 1.0
    return float(stats.wilcoxon(different, zero_method="zsplit").pvalue)


def _main_table(lines: list[Line], chosen: dict[str, str]) -> str:
    ranks, demo = _ranks(lines), [one for one in lines if one.cell.is_demo]
    rows: list[list[object]] = []
    never = {one.cell.name: one for one in demo if one.policy == "never"}
    for policy in [*sorted(ranks, key=lambda one: ranks[one]), "oracle"]:
        own = [one for one in demo if one.policy == policy]
        asked, right = sum(one.asked for one in own), sum(one.right for one in own)
        delays = [delay for one in own for delay in one.delays]
        changes, hits = sum(one.changes for one in own), sum(one.hits for one in own)
        checks = sum(one.checks for one in own)
        judged = policy != "oracle"
        rows.append(
            [
                f"**{policy}**" if policy == OURS else policy,
                f"`{chosen[policy]}`" if judged else "knows the future",
                float(np.mean([one.error / never[one.cell.name].error for one in own])),
                float(np.mean([one.worst / never[one.cell.name].worst for one in own])),
                float(np.mean([one.trainings for one in own])),
                float(np.mean([one.promotions for one in own])),
                sum(one.worse for one in own) if judged else "",
                *[float(np.mean([one.costs[i] for one in own])) for i in range(len(PRICES))],
                f"{right / asked:.0%}" if asked else "",
                f"{hits / changes:.0%}" if judged and changes else "",
                float(np.mean(delays)) if delays else "",
                100 * (asked - right) / checks if judged else "",
                float(np.mean([one.seconds for one in own])),
                f"{ranks[policy]:.1f}" if judged else "",
                f"{_wilcoxon(lines, policy):.2g}" if judged and policy != OURS else "",
            ]
        )
    columns = [
        "policy", "options chosen", "error", "worst 4 batches", "trainings", "promotions", "worse promotions",
        *(f"cost at {price:g}" for price in PRICES), "requests that answer a change", "changes answered",
        "batches until then", "false requests per 100 checks", "CPU s", "average rank", "p against ours",
    ]  # fmt: skip
    cells = len({one.cell.name for one in demo})
    said = (
        f"{cells} generated streams. Error and worst window are relative to never retraining on the same stream; "
        "counts are means a stream, worse promotions the sum over all. A training costs so many batches of the error "
        f"that never retraining has; ranks and p (Wilcoxon, paired by stream) go by the cost at {_MIDDLE:g}. A request "
        f"within {_ANSWER} batches of a change, and 40 more where labels are late, is an answer to it."
    )
    return f"{said}\n\n{table(columns, rows)}"


def _group_table(lines: list[Line]) -> str:
    """The cost at the middle price by what happens in the stream."""
    demo = [one for one in lines if one.cell.is_demo]
    groups = list(dict.fromkeys((c.variant, c.model, c.delay, c.broken) for c in (one.cell for one in demo)))
    rows = []
    for policy in [*CHOICES, "oracle"]:
        cells: list[object] = []
        for group in groups:
            own = [
                one.costs[PRICES.index(_MIDDLE)]
                for one in demo
                if one.policy == policy and (one.cell.variant, one.cell.model, one.cell.delay, one.cell.broken) == group
            ]
            cells.append(float(np.mean(own)))
        rows.append([policy, *cells])
    names = [
        f"{variant}{', large' if model == 'large' else ''}{f', delay {delay}' if delay else ''}"
        f"{f', {broken:.0%} broken' if broken else ''}"
        for variant, model, delay, broken in groups
    ]
    return f"The cost at {_MIDDLE:g} by stream, each the mean over its seeds:\n\n{table(['policy', *names], rows)}"


def _real_table(lines: list[Line]) -> str:
    real = list(dict.fromkeys(one.cell.variant for one in lines if not one.cell.is_demo))
    if not real:
        return "The two real sets were absent and are left out."
    rows = []
    for policy in [*CHOICES, "oracle"]:
        cells: list[object] = []
        for name in real:
            (one,) = (line for line in lines if line.cell.variant == name and line.policy == policy)
            cells += [one.error, one.worst, one.trainings, one.promotions, one.worse, *one.costs]
        rows.append([policy, *cells])
    columns = ["policy"]
    for name in real:
        columns += [f"{name}: error", "worst 4", "trainings", "promotions", "worse"]
        columns += [f"cost at {price:g}" for price in PRICES]
    return f"Real data, with the options chosen on the demo's prefixes:\n\n{table(columns, rows)}"


def _say(lines: list[Line]) -> str:
    """What the table says, in numbers."""
    demo, ranks = [one for one in lines if one.cell.is_demo], _ranks(lines)
    best = min(ranks, key=lambda one: ranks[one])
    cadence = min(("every n", "uniform", "max age", "new labels"), key=lambda one: ranks[one])

    def cost(policy: str, kept: list[Line]) -> float:
        return float(np.mean([one.costs[PRICES.index(_MIDDLE)] for one in kept if one.policy == policy]))

    told = [
        f"- Lowest average rank: {best} ({ranks[best]:.1f}); ours, `{CHOICES[OURS][0]}`, {ranks[OURS]:.1f}.",
        f"- The best cadence, {cadence}: cost {cost(cadence, demo):.3f} where ours has {cost(OURS, demo):.3f} (p "
        f"{_wilcoxon(lines, cadence):.2g}).",
        f"- What it costs not to know the future: {cost(OURS, demo) - cost('oracle', demo):.3f} of never's error a "
        f"batch (oracle {cost('oracle', demo):.3f}).",
    ]
    for size in ("small", "large"):
        kept = [one for one in demo if one.cell.model == size]
        if kept:
            beaten = [p for p in CHOICES if p != OURS and cost(p, kept) < cost(OURS, kept)]
            better = ", ".join(f"{p} ({cost(p, kept):.3f})" for p in beaten) or "none"
            told.append(f"- With the {size} model ours costs {cost(OURS, kept):.3f}; cheaper: {better}.")
    return "\n".join(told)


def main() -> int:
    """Choose the options, run all cells, write the section; 1 if ours is dearer than never retraining."""
    begun = time.monotonic()
    cells = list(scored_cells(QUICK))
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        chosen = {policy: choices[0] for policy, choices in CHOICES.items()}
        if not QUICK:
            prefixes = list(pool.map(choose_options, tuning_cells(QUICK)))
            for policy, choices in CHOICES.items():
                chosen[policy] = min(choices, key=lambda text: float(np.mean([found[text] for found in prefixes])))
            chosen[OURS] = CHOICES[OURS][0]
        jobs = {pool.submit(measure, cell, chosen): cell for cell in cells}
        found = {}
        for job in as_completed(jobs):
            found[jobs[job]] = job.result()
            print(f"{time.monotonic() - begun:5.0f} s  {jobs[job].name}", file=sys.stderr, flush=True)
    lines = [line for cell in cells for line in found[cell]]
    spent = sum(line.seconds for line in lines)
    minutes = (time.monotonic() - begun) / 60
    took = f"{len(cells)} streams, {len(lines)} runs, {minutes:.0f} minutes ({spent / 60:.0f} CPU minutes of policies)."
    write_section("policies", f"{summarise(lines, chosen)}\n\n{took}")
    demo = [one for one in lines if one.cell.is_demo]
    ours, never = (np.mean([one.costs[1] for one in demo if one.policy == p]) for p in (OURS, "never"))
    print(f"policies: ours costs {ours:.3f} of never retraining (limit 1)")
    return 0 if ours <= never else 1


if __name__ == "__main__":
    sys.exit(main())
