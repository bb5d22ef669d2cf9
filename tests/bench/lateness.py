"""The section on late labels: the table, and what it says in figures."""

import textwrap
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tests.bench.judges import AHEAD, WORSE_BY, Said
from tests.bench.late import SLOWDOWN
from tests.bench.maturity import RIPE
from tests.bench.page import table

Runs = dict[str, list[dict[str, Said]]]


@dataclass(frozen=True)
class Lived:
    """What came of it: the loop's own judge, gate and promotions from the change to the end.

    :param live: error of the predictions that were made.
    :param never: error of the first version on the same rows.
    :param promotions: after the change.
    :param serves: batches from the change to the first batch that a version promoted after it scores.
    """

    live: float
    never: float
    promotions: int
    serves: int | None


def after(found: list[int | None]) -> str:
    """The mean of those that came, and how many did not."""
    came = [one for one in found if one is not None]
    lacking = len(found) - len(came)
    mean = f"{np.mean(came):.0f}" if came else "never"
    return f"{mean} ({lacking} of {len(found)} never)" if came and lacking else mean


def percent(values: list[float], sign: bool = False) -> str:
    """A mean as percent."""
    return f"{100 * np.mean(values):{'+' if sign else ''}.1f} %" if values else "nothing said"


def tell_row(name: str, runs: list[dict[str, Said]], known: bool) -> list[object]:
    """One line of the table: arrival / mature batches."""

    def both(tell: Callable[[list[Said]], str]) -> str:
        return " / ".join(tell([run[way] for run in runs]) for way in ("arrival", "batch"))

    def off(said: list[Said]) -> str:
        values = join(said, "off")
        return f"{percent(values, True)} ± {100 * np.mean(np.abs(values)):.1f}" if values else "nothing said"

    alarms = both(lambda said: f"{100 * np.mean(join(said, 'alarms')):.0f}" if join(said, "alarms") else "none said")
    return [
        name,
        both(lambda said: after([one.decided for one in said])) if known else "no known change",
        alarms,
        both(off),
        both(lambda said: f"{100 * np.mean(join(said, 'spoke')):.0f} %"),
        both(lambda said: after([one.passed for one in said])) if known else "no known change",
        both(lambda said: percent(join(said, "holdout_off"), True)),
        both(lambda said: percent(join(said, "regret"))),
    ]


def join(said: list[Said], name: str) -> list[float]:
    """What several runs hold under a name, one after the other."""
    return [float(value) for one in said for value in getattr(one, name)]


COLUMNS = [
    "labels come", "says bad after", "false alarms", "estimate off by", "can speak", "better one passes after",
    "holdout off by", "regret",
]  # fmt: skip


def describe(cells: Runs, hotel: dict[str, Said] | None, lived: dict[str, Lived]) -> str:
    """The whole section.

    :param cells: by name what was said on each seed's stream.
    :param hotel: what was said of the bookings, None where they are absent.
    :param lived: by cell what came of it in the whole loop.
    """
    rows = [tell_row(name, runs, True) for name, runs in cells.items()]
    rows += [tell_row("hotel, its own", [hotel], False)] if hotel else []
    seeds = len(next(iter(cells.values())))
    told = "one seed" if seeds == 1 else f"{seeds} seeds"
    head = HEAD.format(seeds=told, slower=SLOWDOWN - 1, worse=WORSE_BY, ripe=RIPE, ahead=AHEAD)
    left = LEFT_OUT if hotel else f"{LEFT_OUT} The hotel's bookings were absent."
    prose = [*conclude(cells), *(conclude_hotel(hotel) if hotel else [])]
    parts = [*map(flow, head.split("\n\n")), table(COLUMNS, rows), "\n".join(map(flow, prose)), flow(tell_lived(lived))]
    return "\n\n".join([*parts, flow(left)])


def flow(text: str) -> str:
    """Prose in lines as the pages have them."""
    return textwrap.fill(" ".join(text.split()), 120, subsequent_indent="  " if text.startswith("- ") else "")


HEAD = """
Two judges of one champion, which was promoted as soon as there were labels enough and then stays. **By arrival** is
the loop's: the error on the labels that came last. **By batch** takes the newest batches of which {ripe:.0%} of the
labels that will come are there; how many will is learnt from past feeds, at each check anew. Both take four batches,
hold them against the same holdout error at promotion, and say bad from {worse:.0%} above it. Demo stream, 300 trips a
day, {seeds}, trips {slower:.0%} longer from a known day on. Each cell reads *by arrival / by batch*.

*Says bad after*: batches from the change. *False alarms*: per 100 checks before it. *Estimate off by*: mean, and mean
size, of the judged error against the true one of the batches scored then (all labels, in hindsight), before the
change. *Can speak*: checks with enough rows. *Better one passes after*: batches from the change until the gate, on
such a split, lets through a challenger that has learnt from it and is truly better by {worse:.0%} on the next {ahead}
batches; *never* is not before the stream ended. *Holdout off by*: a challenger's holdout error against its true one.
*Regret*: error of the model that the gate chose over the better one's.
"""
LEFT_OUT = """
Left out: delays that change on the very day of the concept change, gradual changes, feeds that lose labels, a known
change in the bookings (none is known).
"""


def conclude(cells: Runs) -> list[str]:
    """What the table says of the demo stream, in figures."""
    plain = [runs for name, runs in cells.items() if "last" not in name and "28" not in name]
    *bent, swung = [runs for name, runs in cells.items() if "last" in name]
    bulk = [runs for name, runs in cells.items() if "28" in name]
    promised = float(np.mean([run["arrival"].promised for runs in bent for run in runs]))
    plainly = [run["arrival"].promised for runs in plain for run in runs]
    return [
        f"""- **Sooner**: in the mean of the first five lines, by arrival says bad
        {waits(plain, "arrival", "decided")} batches after the change, by batch
        {waits(plain, "batch", "decided")}; a better challenger passes after
        {waits(plain, "arrival", "passed")} and {waits(plain, "batch", "passed")}. Nobody can tell before the
        first labels of the new kind come; by batch also waits for the last.""",
        f"""- **More right**: there the estimates are off by {size(plain, "arrival"):.1%} and
        {size(plain, "batch"):.1%}. Both are held against the same holdout error at promotion, itself an estimate (from
        {min(plainly):+.0%} to {max(plainly):+.0%} off): false alarms come from there.""",
        f"""- **Where by arrival bends**: if the long trips' labels come last, its first estimate after the first
        promotion is off by {begun(bent, "arrival"):+.0%}, the first one by batch, {silent(bent)} checks later, by
        {begun(bent, "batch"):+.0%}; all of them by {size(bent, "arrival"):.0%} and {size(bent, "batch"):.0%}. Early
        labels are of short trips: the first champion has learnt little else, and its holdout error is off by
        {promised:+.0%}. So it is called bad although nothing has changed, and rightly: it is not what it promised,
        and retraining on what came since mends it.""",
        f"""- **It swings when the delays do**: as long trips' labels come later still, its estimates are off by
        {size([swung], "arrival"):.0%} (by batch {size([swung], "batch"):.0%}), with {alarms(swung, "arrival"):.0f}
        false alarms per 100 checks (by batch {alarms(swung, "batch"):.0f}): for weeks the labels are of one kind, then
        of the other. Where lateness has nothing to do with the outcome, a change of the delays raises none beyond the
        usual.""",
        f"""- **A lower threshold is no way out**: at {RIPE / 2:.0%} of the labels, by batch says bad after
        {waits(plain, "half", "decided")} batches, and is off by {size(bent, "half"):.0%} where long trips come last:
        it looks at the quick ones alone, for ever.""",
        f"""- **In bulk** by arrival says bad after {waits(bulk, "arrival", "decided")} batches, by batch after
        {waits(bulk, "batch", "decided")}, and a better challenger passes after {waits(bulk, "arrival", "passed")}
        and {waits(bulk, "batch", "passed")}: by arrival a bulk is either learnt from or judged on, by batch its days
        are shared out. There by batch wins.""",
    ]


def conclude_hotel(hotel: dict[str, Said]) -> list[str]:
    """What it says of the bookings."""
    arrival, batch = (np.mean(hotel[way].alarms) for way in ("arrival", "batch"))
    return [
        f"""- **Hotel**: the estimates are off by {size([[hotel]], "arrival"):.1%} and {size([[hotel]], "batch"):.1%};
        by batch the first one comes {silent([[hotel]])} weeks later. They say bad
        at {arrival:.0%} and {batch:.0%} of the checks: the first version's holdout error was off by
        {hotel["arrival"].promised:+.0%}."""
    ]


def waits(groups: list[list[dict[str, Said]]], way: str, name: str) -> str:
    """After how many batches, over all runs."""
    return after([getattr(run[way], name) for runs in groups for run in runs])


def size(groups: list[list[dict[str, Said]]], way: str) -> float:
    """Mean size of what the estimates are off by."""
    return float(np.mean(np.abs([value for runs in groups for run in runs for value in run[way].off])))


def begun(groups: list[list[dict[str, Said]]], way: str) -> float:
    """Mean of what the first estimates are off by."""
    return float(np.mean([run[way].off[0] for runs in groups for run in runs if run[way].off]))


def alarms(runs: list[dict[str, Said]], way: str) -> float:
    """False alarms per 100 checks."""
    return 100 * float(np.mean(join([run[way] for run in runs], "alarms")))


def silent(groups: list[list[dict[str, Said]]]) -> str:
    """How many checks by batch has nothing to say at first."""
    return f"{np.mean([run['batch'].spoke.index(True) for runs in groups for run in runs]):.0f}"


def tell_lived(lived: dict[str, Lived]) -> str:
    """What the loop's own judging led to."""
    told = [
        f"{name}: {one.live:.2f} against {one.never:.2f}, new versions {one.promotions}, the first to score after "
        f"{'no' if one.serves is None else one.serves} batches"
        for name, one in lived.items()
    ]
    return f"""Through the whole loop under its default policy, which judges by arrival (seed 1; mean absolute error in
    minutes from the change to the end of the stream, of the live model against the first version had it stayed):
    {"; ".join(told)}."""
