"""What the traces of a history's chart have in common, and those of drift and rows."""

import functools
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from textwrap import wrap
from typing import Any

from evergreen.foreign_text import for_chart
from evergreen.records import Numbers
from evergreen.replay.history import History

Trace = dict[str, Any]

RED, AMBER, GREEN, BLUE, GREY = "#b3423a", "#bf8420", "#3b7f5c", "#2f66a3", "#7c8794"


def trace_drift(history: History, step: timedelta) -> Trace:
    """At each check the input that lies furthest out, as a multiple of its limit."""
    batches, heights, text, colours = [], [], [], []
    for one in history.batches:
        numbers = one.verdict.inputs.numbers if one.verdict is not None else {}
        told = _find_multiples(numbers)
        if told:
            name = max(told, key=lambda name: told[name])
            batches.append(one.batch)
            heights.append(told[name])
            text.append(hover(f"inputs of {one.batch}", f"{name}: {told[name]:.3g} times its limit"))
            colours.append(AMBER if numbers.get("drifted") else GREY)
    return trace(batches, heights, text, yaxis="y4", **_bars(step), marker={"color": colours})


def _find_multiples(numbers: Numbers) -> dict[str, float]:
    """By column its distance over its limit; of one that drifted with the batches before that of them all."""
    newest, recent = numbers.get("columns", {}), (numbers.get("recent") or {}).get("columns", {})
    found = {}
    for name, one in newest.items():
        judged = recent[name] if name in numbers.get("drifted", ()) and not one["drifted"] else one
        if judged.get("threshold") and not {"follows", "cannot_tell"} & judged.keys():
            found[name] = judged["distance"] / judged["threshold"]
    return found


def trace_rows(history: History, step: timedelta) -> Iterator[Trace]:
    """The rows of each batch: those that are clean, and upon them those in quarantine."""
    batches = [one.batch for one in history.batches]
    records = [one.rows for one in history.batches]
    text = [
        hover(f"batch {one.batch}", f"{one.clean:,} rows clean, {one.quarantined:,} in quarantine") for one in records
    ]
    clean, apart = [one.clean for one in records], [one.quarantined for one in records]
    yield trace(batches, clean, text, yaxis="y5", **_bars(step), marker={"color": GREY})
    yield trace(batches, apart, text, yaxis="y5", **_bars(step), base=clean, marker={"color": RED})


def _bars(step: timedelta) -> Trace:
    return {"type": "bar", "width": 0.7 * step / timedelta(milliseconds=1), "opacity": 0.7}


def trace(batches: Iterable[str], y: list[Any], text: Iterable[str], **style: Any) -> Trace:
    """One trace of the chart over batches, with what is told where one points at it."""
    base = {"type": "scatter", "hoverinfo": "text", "showlegend": "name" in style}
    return base | {"x": [x_of(batch) for batch in batches], "y": y, "hovertext": list(text)} | style


@functools.lru_cache(maxsize=4096)
def hover(heading: str, *lines: str) -> str:
    """Plotly reads its texts as HTML, so each line is made safe, once it is cut to a length that fits."""
    cut = [part for line in dict.fromkeys(lines) for part in wrap(line, 80, max_lines=5, placeholder=" …")]
    return "<br>".join([f"<b>{for_chart(heading)}</b>", *map(for_chart, cut)])


def moment_of(batch: str) -> datetime:
    """When a batch begins, from its name."""
    return datetime.fromisoformat(batch)


def x_of(batch: str) -> str:
    """The same as Plotly takes it."""
    return str(moment_of(batch))
