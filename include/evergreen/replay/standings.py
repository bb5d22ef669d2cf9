"""How policies come out beside each other: numbers, a table in the terminal, a CSV, one HTML file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plotly.offline import get_plotlyjs
from rich.console import Console

from evergreen.losses import METRICS, Metric
from evergreen.replay.contenders import Contender
from evergreen.replay.history import History

# Batches in a row over which the worst error is looked for.
_WORST = 4


@dataclass(frozen=True)
class Standing:
    """How one policy came out over the batches that all of them scored.

    :param error: the metric over batches, each counting once.
    :param worst: the metric of the worst four batches in a row.
    :param trainings: challengers fitted after version 1.
    :param promotions: those that went into force.
    :param asked: verdicts that asked for a retraining after version 1.
    :param seconds: CPU seconds for this policy alone.
    :param losses: by batch, the mean loss.
    """

    policy: str
    error: float
    worst: float
    trainings: int
    promotions: int
    asked: int
    seconds: float
    losses: Mapping[str, float]


def rank_contenders(contenders: Sequence[Contender]) -> list[Standing]:
    """Compare policies over the batches that all of them scored."""
    metric = METRICS[contenders[0].history.metric]
    losses = {one.policy: batch_losses(one.history) for one in contenders}
    shared = sorted(set.intersection(*(set(own) for own in losses.values())))
    standings = []
    for one in contenders:
        own = {batch: losses[one.policy][batch] for batch in shared}
        history, begun = one.history, one.history.promotions[0].as_of if one.history.promotions else ""
        later = [attempt for attempt in history.attempts if attempt.data and attempt.as_of > begun]
        verdicts = [b.verdict for b in history.batches if b.verdict is not None and b.verdict.as_of > begun]
        asked = sum(verdict.action == "retrain" for verdict in verdicts)
        error, worst = _errors(list(own.values()), metric)
        promotions = max(len(history.promotions) - 1, 0)
        standings.append(Standing(one.policy, error, worst, len(later), promotions, asked, one.seconds, own))
    return standings


def batch_losses(history: History) -> dict[str, float]:
    """By scored batch with a known label, the mean loss: the metric, of rmse its square."""
    metric = METRICS[history.metric]
    return {one.batch: metric.mean_loss(one.error) for one in history.batches if one.error is not None}


def print_standings(standings: Sequence[Standing], metric: str, console: Console) -> None:
    """The table in the terminal. Numbers that are cut say nothing: a narrow one wraps the lines."""
    lines = [_columns(metric), *(_cells(one) for one in standings)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for name, *numbers in lines:
        right = (cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True))
        console.print("  ".join([name.ljust(widths[0]), *right]), markup=False, soft_wrap=True)
    if not standings[0].losses:
        console.print("No batch with known labels was scored by all of them: replay more batches.", markup=False)


def write_standings(contenders: Sequence[Contender], standings: Sequence[Standing], path: Path) -> None:
    """Write one HTML file that shows all policies on one time line, needs no network, and links to each report."""
    history = contenders[0].history
    loader = FileSystemLoader(Path(__file__).parent)
    templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    metric = METRICS[history.metric]
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": one.policy,
            "x": list(one.losses),
            "y": [metric.of_mean(loss) for loss in one.losses.values()],
        }
        for one in standings
    ]
    reports = {one.policy: f"{Path(one.at.lake).parent.name}/report.html" for one in contenders}
    html = templates.get_template("standings.html.j2").render(
        history=history,
        columns=_columns(history.metric),
        rows=[(_cells(one), reports.get(one.policy)) for one in standings],
        batches=list(standings[0].losses),
        traces=traces,
        plotly_js=get_plotlyjs(),
    )
    path.write_text(html, encoding="utf-8")
    rows = [dict(zip(_columns(history.metric), _cells(one), strict=True)) for one in standings]
    pd.DataFrame(rows).to_csv(path.with_suffix(".csv"), index=False)


def _errors(losses: list[float], metric: Metric) -> tuple[float, float]:
    """Mean and worst-window error."""
    if not losses:
        return float("nan"), float("nan")
    window = min(_WORST, len(losses))
    moving = np.convolve(losses, np.ones(window) / window, mode="valid")
    mean, worst = float(np.mean(losses)), float(moving.max())
    return metric.of_mean(mean), metric.of_mean(worst)


def _columns(metric: str) -> list[str]:
    return ["policy", metric, f"worst {_WORST} batches", "trainings", "promotions", "asked", "CPU s"]


def _cells(one: Standing) -> list[str]:
    """In the order of the columns; a hyphen where no batch was scored by all."""
    errors = [f"{one.error:.4g}", f"{one.worst:.4g}"] if one.losses else ["-", "-"]
    counts = [str(one.trainings), str(one.promotions), str(one.asked)]
    return [one.policy, *errors, *counts, f"{one.seconds:.0f}"]
