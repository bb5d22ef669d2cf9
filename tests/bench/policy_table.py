"""What the policies came to, as the page shows it."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from tests.bench.cells import Cell
from tests.bench.page import table

# The options that each policy may take; the first is its default, and stands where nothing is tuned.
CHOICES: dict[str, tuple[str, ...]] = {
    "never": ("never",),
    "every n": ("every:7", "every:4", "every:14"),
    "uniform": ("uniform:budget=6:over=42", "uniform:budget=3:over=42", "uniform:budget=10:over=42"),
    "max age": ("due:age=7", "due:age=14", "due:age=28"),
    "new labels": ("due:new_labels=1500", "due:new_labels=3000", "due:new_labels=6000"),
    "input drift": ("input_drift",),
    "decay": ("decay", "decay:5%", "decay:20%"),
    "CUSUM": ("cusum", "cusum:k=0.5:h=3", "cusum:k=0.5:h=5"),
    "ADWIN": ("adwin", "adwin:0.05", "adwin:0.0001"),
    "CARA, cumulative": ("cara", "cara:0.3", "cara:3"),
    "decay, and refilled": ("decay+refilled", "decay:5%+refilled", "decay:20%+refilled"),
    "CUSUM, and refilled": ("cusum+refilled", "cusum:k=0.5:h=3+refilled", "cusum:k=0.5:h=5+refilled"),
}
OURS = "CUSUM, and refilled"
# What a training costs, in batches of the error that never retraining has; ranks are by the middle one.
PRICES = (0.1, 0.5, 2.0)
MIDDLE = PRICES[1]
# A request within so many batches of a change (and of the labels' delay) is an answer to it.
ANSWER = 14
LATER = 40


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


def summarise(lines: list[Line], chosen: dict[str, str]) -> str:
    """The page's section."""
    parts = [_main_table(lines, chosen), _group_table(lines), _real_table(lines), _say(lines)]
    return "\n\n".join(part for part in parts if part)


def _policies(lines: list[Line]) -> list[str]:
    """Those that ran, in the order of the choices, the oracle last."""
    ran = {one.policy for one in lines}
    return [policy for policy in [*CHOICES, "oracle"] if policy in ran]


def _frame(lines: Iterable[Line]) -> pd.DataFrame:
    rows = [
        {"cell": one.cell.name, "policy": one.policy, "cost": one.costs[PRICES.index(MIDDLE)], "line": one}
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
        f"that never retraining has; ranks and p (Wilcoxon, paired by stream) go by the cost at {MIDDLE:g}. A request "
        f"within {ANSWER} batches of a change, or {ANSWER + LATER} where labels are late, is an answer to it; the last "
        "change of the recurring streams comes with their last batch, too late to be answered."
    )
    return f"{said}\n\n{table(columns, rows)}"


def _group_table(lines: list[Line]) -> str:
    """The cost at the middle price by what happens in the stream."""
    demo = [one for one in lines if one.cell.is_demo]
    groups = list(dict.fromkeys((c.variant, c.model, c.delay, c.broken) for c in (one.cell for one in demo)))
    rows = []
    for policy in _policies(lines):
        cells: list[object] = []
        for group in groups:
            own = [
                one.costs[PRICES.index(MIDDLE)]
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
    return f"The cost at {MIDDLE:g} by stream, each the mean over its seeds:\n\n{table(['policy', *names], rows)}"


def _real_table(lines: list[Line]) -> str:
    real = list(dict.fromkeys(one.cell.variant for one in lines if not one.cell.is_demo))
    if not real:
        return "The two real sets were absent and are left out."
    rows = []
    for policy in _policies(lines):
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
    cadence = min({"every n", "uniform", "max age", "new labels"} & {*ranks}, key=lambda one: ranks[one])

    def cost(policy: str, kept: list[Line]) -> float:
        return float(np.mean([one.costs[PRICES.index(MIDDLE)] for one in kept if one.policy == policy]))

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
            beaten = [p for p in ranks if p != OURS and cost(p, kept) < cost(OURS, kept)]
            better = ", ".join(f"{p} ({cost(p, kept):.3f})" for p in beaten) or "none"
            told.append(f"- With the {size} model ours costs {cost(OURS, kept):.3f}; cheaper: {better}.")
    return "\n".join(told)
