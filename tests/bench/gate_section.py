"""What the bench of the gate puts on the page: what is measured, and in which words."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.bench.gate_draws import (
    ATTEMPTS,
    BLOCKS,
    EFFECT,
    FIRST,
    KINDS,
    NOISES,
    Rate,
    detectable,
    theory,
)
from tests.bench.gate_loop import TRIPS, Outcome, Run
from tests.bench.gate_models import HOLDOUT, WINDOW, Tally, passes, refused
from tests.bench.page import QUICK, table

GATES, VERDICTS, MODELS = (120, 300, 12) if QUICK else (1000, 4000, 60)
COUNTS = (2, 4) if QUICK else BLOCKS
DRAWN = ("even", "all") if QUICK else KINDS
HOLDOUTS = (4,) if QUICK else (2, 3, 4, 6, 8)
SEEDS = () if QUICK else (1, 2, 3)
STEADY = [Run(2, 4, 13)] if QUICK else [Run(2, 10 + i, 34) for i in range(4)]
# What the twins differ by, the metric, trips a batch. The first is measured in the quick form, and has the limits.
POOLS: tuple[tuple[str, Any, int], ...] = (
    ("bootstrap", "mae", 1000),
    ("bootstrap", "mae", 300),
    ("seed", "mae", 300),
    ("bootstrap", "brier", 300),
)
# Of the holdouts that are at most this many batches slower than the fastest the one that sees the least is the default.
_SLOWER = 1


@dataclass(frozen=True)
class Measured:
    """All that was measured, in the order of the constants above."""

    equals: dict[tuple[str, int], Rate]
    verdicts: dict[tuple[int, bool], float]
    known: dict[tuple[int, float, bool], float]
    tallies: list[Tally]
    steady: list[Outcome]
    changed: list[Outcome]


def tell_equals(measured: Measured) -> str:
    """Equal models, drawn."""
    rows: list[list[object]] = [
        [
            count,
            *(f"{measured.equals[kind, count].promoted / GATES:.1%}" for kind in DRAWN),
            f"{measured.equals[DRAWN[-1], count].by_rows / GATES:.1%}",
        ]
        for count in COUNTS
    ]
    told = {"even": "normal, even batches", "uneven": "one batch has most rows", "heavy": "heavy tails",
            "together": "rows of a batch go together", "all": "all three"}  # fmt: skip
    spent = [[count, *(f"{measured.verdicts[count, shared]:.1%}" for shared in (False, True))] for count in HOLDOUTS]
    return f"""### Equal models

Two models that are equally good, their errors drawn at random; the share of {GATES:,} gates that promote at 95 %, of a
single attempt and without a minimum effect. At most 5 % is promised; {GATES:,} draws of 5 % scatter by
{(0.05 * 0.95 / GATES) ** 0.5:.1%}. Heavy tails are Student's t with 2.5 degrees of freedom.

{table(["batches", *(told[kind] for kind in DRAWN), "the last, had rows counted one by one"], rows)}

Can the interval use more power at few batches? Given their means alone, no: of normal means, no unbiased test is more
powerful than Student's t. Rows counted one by one would give more, and the last column is what that costs as soon as
the rows of a batch go together.

A verdict may try {ATTEMPTS} times by default, each time on a fresh holdout. `gate.confidence` is for the verdict: the
first attempt has half of the error that it allows, the others share the rest. The share of {VERDICTS:,} verdicts about
equal models that promote, without a minimum effect:

{table(["holdout", "each attempt at 95 %", "as it is"], spent)}
"""


def tell_known(measured: Measured) -> str:
    """Improvements that are known, drawn."""
    rows: list[list[object]] = []
    for count in HOLDOUTS:
        row: list[object] = [count]
        for noise in NOISES:
            said = theory(count, noise * EFFECT, EFFECT, FIRST)
            row.append(f"{measured.known[count, noise, True]:.1%} ({said:.1%})")
        worse = [round(GATES * measured.known[count, noise, False]) for noise in NOISES]
        rows.append([*row, " / ".join(map(str, worse))])
    heads = [f"noise {noise:g}" for noise in NOISES]
    return f"""### Better and worse by the minimum effect

The share of {GATES:,} first attempts (at {FIRST:.1%}) that promote a challenger which is truly better by the minimum
effect of {EFFECT:.0%}, beside what theory says of `lower bound > 0 and mean >= effect`; and how many of {GATES:,}
promote one that is worse by it. Noise is the standard deviation of one batch's improvement, in minimum effects.

{table(["holdout", *heads, "worse ones promoted, by noise"], rows)}

Half is the most that the rule can give: the mean of a challenger that is better by exactly the effect lies below it
half of the time. Where one batch's improvement scatters by twice the effect and more, a worse one slips through now and
then, as theory says; a longer holdout or larger batches are the cure, or a higher `gate.confidence`.
"""


def tell_models(measured: Measured) -> str:
    """Fitted models."""
    rows: list[list[object]] = []
    spared: list[list[object]] = []
    for (kind, metric, trips), tally in zip(POOLS, measured.tallies, strict=False):
        name = f"another {kind}, {metric}, {trips} trips a batch"
        twins = [apart for judged, apart in tally.twins if passes(judged)]
        better, worse = (sum(map(passes, tally.made[one])) for one in ("better", "worse"))
        rows.append(
            [
                name, f"{np.mean(tally.noises) / EFFECT:.1f}",
                f"{len(twins) / GATES:.1%}, {sum(apart <= 0 for apart in twins) / GATES:.1%}",
                f"{sum(passes(judged, 0, 0.95) for judged in tally.made['equal']) / GATES:.1%}",
                f"{sum(map(passes, tally.made['equal'])) / GATES:.1%}",
                f"{better / GATES:.1%} ({tally.expected['better'] / GATES:.1%})",
                f"{worse} ({tally.expected['worse']:.1f})",
            ]
        )  # fmt: skip
        sound = [judged for one in ("better", "tenth") for judged in tally.made[one] if passes(judged)]
        spoilt = [judged for judged in tally.spoilt if passes(judged)]
        spared.append([name, *(f"{sum(map(refused, found))} of {len(found)}" for found in (sound, spoilt))])
    columns = [
        "pairs", "noise", "twins promoted, of them no better", "equal, at 95 % without a minimum effect",
        "equal, as it is", "better by 2 % (theory)", "worse by 2 % (theory)",
    ]  # fmt: skip
    return f"""### Fitted models

Pairs out of {MODELS} gradient boostings of one recipe, fitted on the same {WINDOW} batches of demo trips, each
batch with a weather of its own; {GATES:,} first attempts, each on {HOLDOUT} batches that no model has seen. Such
twins are not quite equal, and a promotion may be deserved: which one is better is told by 120,000 further trips. For
the other columns the challenger's errors are stretched until it is truly equal, or better or worse by 2 %.

{table(columns, rows)}

With {POOLS[0][2]:,} trips a batch, {sum(map(passes, measured.tallies[0].made["worse"]))} of {GATES:,} challengers that
are worse by the effect pass. Smaller batches, or a score as noisy as Brier's, let one through about as often as theory
says: for them 2 % is less than {HOLDOUT} batches can tell.

Calibration is judged too: of challengers that win by their loss, truly better by 2 % or 10 %, how many it refuses; and
how many of those better by 10 % whose predictions were then all shifted by a quarter of the champion's error, or made
too sure (log odds doubled); those that the loss has refused already are not counted. By this it is on by default, with
limits of 15 % of the champion's error and 2 points of probability.

{table(["pairs", "sound ones refused", "spoilt ones refused"], spared)}
"""


def tell_loop(measured: Measured) -> str:
    """The loop itself."""
    steady = [passed for one in measured.steady for _, passed, _ in one.gates]
    text = f"""### In the loop

Through the replay's runner, with real stores, {TRIPS} trips a batch: a stream in which nothing ever changes, and a
retraining is asked for whenever none is open. Of {len(steady)} gates against a champion ({len(measured.steady)} seeds,
holdout {STEADY[0].holdout}), {sum(steady)} promoted.
"""
    if not measured.changed:
        return text
    noise = float(np.mean(measured.tallies[1].noises))
    rows: list[list[object]] = []
    delays: dict[int, float] = {}
    for holdout in HOLDOUTS:
        own = [one for one in measured.changed if one.run.holdout == holdout]
        late = [one.delay if one.delay is not None else one.run.batches - one.run.changed + 1 for one in own]
        before = [passed for one in own for batch, passed, _ in one.gates if batch < one.run.changed]
        delays[holdout] = float(np.mean(late))
        rows.append(
            [
                holdout, ", ".join("never" if one.delay is None else str(one.delay) for one in own), delays[holdout],
                float(np.mean([one.mean_error(one.run.changed) for one in own])), f"{sum(before)} of {len(before)}",
                f"{detectable(holdout, noise):.1%}",
            ]
        )  # fmt: skip
    chosen = choose(delays)
    fastest = min(delays, key=lambda holdout: delays[holdout])
    columns = [
        "holdout",
        "batches until the better model serves",
        "mean",
        "mae from the change on",
        "promoted before",
        "seen at 80 %",
    ]
    return f"""{text}
An abrupt change (trips take {measured.changed[0].run.slowdown:g} times as long) at batch 20, 22 and 24 of 36, with a
seed each; labels known at once; policies `decay` and `every: 6`, {ATTEMPTS} attempts. How many batches of the change
the old model still scored; gates before the change and how many of them promoted (the demo has a season, so a younger
model may truly be better); and the improvement that a first attempt sees four times out of five, at the noise of the
bootstrap twins of {TRIPS} trips above.

{table(columns, rows)}

The default is chosen by a rule: of the holdouts whose mean delay is at most {_SLOWER} batch more than the shortest
(here {fastest}, {delays[fastest]:.3g} batches), the longest, because it sees the smallest improvements: **{chosen}**.
"""


def choose(delays: dict[int, float]) -> int:
    """The longest holdout that is hardly slower than the fastest."""
    return max(holdout for holdout, delay in delays.items() if delay <= min(delays.values()) + _SLOWER)
