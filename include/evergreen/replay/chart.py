"""The chart of a history: errors, decisions and incidents on one time line, as Plotly draws it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

from evergreen.incidents import Incident
from evergreen.records import AttemptRecord, VerdictRecord
from evergreen.replay.chart_traces import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    RED,
    Trace,
    hover,
    moment_of,
    trace,
    trace_drift,
    trace_rows,
    x_of,
)
from evergreen.replay.history import BatchHistory, History
from evergreen.replay.status import describe_judgement

_VERSIONS = (BLUE, "#b0592c", "#7a5597", "#4a7c59", "#8a7326", "#35788a")
# A batch with a smaller share of its labels is drawn hollow: its error will still move.
_SETTLED = 0.9
# More versions than this, and the legend runs into a second row.
_NAMED = 4
_EVENTS = ("fault", "input drift", "asks to retrain", "attempt", "promoted")
_OUTCOMES = {"passed": ("circle", GREEN), "refused": ("x", RED), "needs approval": ("diamond-open", AMBER)}


class _Mark(NamedTuple):
    """Something that happened at a batch."""

    batch: str
    lane: str
    symbol: str
    colour: str
    text: str


def build_chart(history: History) -> dict[str, Any]:
    """What the chart shows: the traces, and what the template needs to lay out their panels."""
    moments = [moment_of(one.batch) for one in history.batches]
    step = min((late - early for early, late in pairwise(moments)), default=timedelta(days=1))
    moments += [moment_of(promotion.effective_from) for promotion in history.promotions]
    first, last = min(moments) - step, max(moments) + step
    causes: list[str] = sorted({one.opened.cause for one in history.incidents})
    silent = [moment_of(one.batch) for one in history.batches if one.rows.state != "published"]
    return {
        "metric": history.metric,
        "traces": [
            _trace_checks(history),
            *_trace_errors(history),
            trace_drift(history, step),
            *trace_rows(history, step),
            _trace_events(history),
            *_trace_incidents(history, causes, last),
        ],
        "span": [str(first), str(last)],
        "lanes": [_EVENTS, causes or ["none"]],
        "bands": [[str(moment - step / 2), str(moment + step / 2)] for moment in silent],
        "promotions": [
            [x_of(one.effective_from), f"v{one.version}"] for one in history.promotions if one.refreshes is None
        ],
    }


def _trace_errors(history: History) -> Iterator[Trace]:
    """One line a judged version and its refreshes over their batches; it breaks where a batch has no error."""
    judged = history.judged_versions
    drawn = [judged.get(v, v) if (v := _version(one)) is not None else None for one in history.batches]
    versions = list(dict.fromkeys(version for version in drawn if version is not None))
    few = len(versions) <= _NAMED
    for i, version in enumerate(versions):
        own = [n for n, one in enumerate(drawn) if one == version]
        span = history.batches[own[0] : own[-1] + 1]
        yield trace(
            (one.batch for one in span),
            [one.error if n in own else None for n, one in enumerate(span, own[0])],
            (_tell_error(history, one) for one in span),
            name=f"{history.metric}, version {version}"
            if few
            else f"{history.metric}, a colour for each judged version",
            mode="lines+markers",
            showlegend=few or i == 0,
            legendgroup=str(version) if few else "live",
            line={"color": _VERSIONS[i % len(_VERSIONS)], "width": 2},
            marker={
                "size": 6 if len(history.batches) <= 100 else 3,
                "symbol": ["circle" if one.labelled >= _SETTLED * one.rows.clean else "circle-open" for one in span],
            },
        )


def _trace_checks(history: History) -> Trace:
    """What the loop itself saw at each check: the error on the labels that had just come."""
    checks = [one.verdict for one in history.batches if one.verdict is not None]
    return trace(
        (verdict.as_of for verdict in checks),
        [verdict.outcomes.numbers.get("error") for verdict in checks],
        (hover(f"check at {verdict.as_of}", *_tell_sections(verdict)) for verdict in checks),
        name=f"{history.metric} by arrival of labels, as checked",
        legendrank=2000,
        mode="lines+markers",
        line={"color": GREY, "width": 1},
        marker={"size": 3},
    )


def _trace_events(history: History) -> Trace:
    marks = list(_find_marks(history))
    size = 11 if len(history.batches) <= 100 else 8
    return trace(
        (mark.batch for mark in marks),
        [_EVENTS.index(mark.lane) for mark in marks],
        (mark.text for mark in marks),
        mode="markers",
        yaxis="y2",
        marker={"size": size, "symbol": [mark.symbol for mark in marks], "color": [mark.colour for mark in marks]},
    )


def _trace_incidents(history: History, causes: list[str], end: datetime) -> Iterator[Trace]:
    """Bars from opened to resolved, or to the end where still open; a dot for what was over as it was told."""
    opened = [moment_of(one.opened.as_of) for one in history.incidents]
    closed = [moment_of(one.resolved.as_of) if one.resolved else end for one in history.incidents]
    lasted = [(until - since) / timedelta(milliseconds=1) for since, until in zip(opened, closed, strict=True)]
    lanes = [causes.index(one.opened.cause) for one in history.incidents]
    batches = [one.opened.as_of for one in history.incidents]
    text = [_tell_incident(one) for one in history.incidents]
    marker = {"color": [GREY if one.resolved else RED for one in history.incidents]}
    bars = {"type": "bar", "orientation": "h", "width": 0.46, "base": [str(since) for since in opened], "x": lasted}
    yield trace(batches, lanes, text, yaxis="y3", marker=marker) | bars
    dots = [None if length else lane for lane, length in zip(lanes, lasted, strict=True)]
    yield trace(batches, dots, text, yaxis="y3", mode="markers", marker=marker | {"size": 9})


def _find_marks(history: History) -> Iterator[_Mark]:
    verdicts = {one.verdict.id: one.verdict for one in history.batches if one.verdict is not None}
    closings = {closing.verdict: closing for one in history.batches for closing in one.closings}
    attempts = {attempt.id: attempt for attempt in history.attempts}
    for one in history.batches:
        if faults := find_faults(one):
            yield _Mark(one.batch, "fault", "square", RED, hover(f"batch {one.batch}", *faults))
    for verdict in verdicts.values():
        at = verdict.as_of
        if verdict.inputs.state in ("warn", "bad"):
            text = hover(f"input drift at {at}", verdict.inputs.why)
            yield _Mark(at, "input drift", "triangle-up", AMBER, text)
        if verdict.action == "retrain":
            closing = closings.get(verdict.id)
            end = f"{closing.outcome} at {closing.as_of}: {closing.why}" if closing else "not closed in this span"
            asked = f"{at} asks to retrain: {', '.join(verdict.reasons)}"
            yield _Mark(at, "asks to retrain", "diamond", BLUE, hover(asked, *_tell_sections(verdict), end))
    for attempt in attempts.values():
        text = hover(f"attempt {attempt.id} at {attempt.as_of}: {attempt.outcome}", *_tell_attempt(attempt))
        yield _Mark(attempt.as_of, "attempt", *_OUTCOMES[attempt.outcome], text)
    for promotion in history.promotions:
        lines = [f"decided at {promotion.as_of} by attempt {promotion.attempt}"]
        if won := attempts.get(promotion.attempt):
            asking = verdicts.get(won.verdict)
            lines += [f"asked for: {', '.join(asking.reasons)}"] if asking else []
            lines += _tell_attempt(won)
        lines.append(f"serves as trained on {tell_span(promotion.trained_on)}")
        text = hover(f"version {promotion.version} in force from {promotion.effective_from}", *lines)
        yield _Mark(promotion.effective_from, "promoted", "star", GREEN, text)


def find_faults(one: BatchHistory) -> list[str]:
    """Why rows or labels of a batch did not come through, feed by feed."""
    texts = []
    for record in (one.rows, one.labels):
        if record is not None and record.state != "published":
            found = [": ".join(filter(None, (r.file, r.column, r.expectation, r.found))) for r in record.reasons]
            texts.append("; ".join([f"{record.feed} {record.state}", *found]))
    return texts


def _tell_error(history: History, one: BatchHistory) -> str:
    scored = f"{history.metric} {one.error:.4g}, version {_version(one)}" if one.error is not None else "no error known"
    lines = [scored, f"{one.labelled:,} of {one.rows.clean:,} clean rows have a label"]
    return hover(f"batch {one.batch}", *lines)


def _tell_sections(verdict: VerdictRecord) -> list[str]:
    return [f"{name} {section.state}: {section.why}" for name, section in verdict.sections.items()]


def _tell_attempt(attempt: AttemptRecord) -> list[str]:
    lines = [attempt.why]
    if not attempt.refresh:
        lines.append(f"judged as trained on {tell_span(attempt.trained_on)}, {attempt.training_rows:,} rows")
    if attempt.judgement is not None:
        lines += [f"judged on labels of {tell_span(attempt.holdout)}", next(describe_judgement(attempt.judgement))]
    return lines


def _tell_incident(one: Incident) -> str:
    until = f"resolved at {one.resolved.as_of}" if one.resolved else "still open"
    return hover(f"{one.opened.cause}: opened at {one.opened.as_of}, {until}", *one.story)


def _version(one: BatchHistory) -> int | None:
    return one.claim.version if one.claim is not None else None


def tell_span(batches: tuple[str, ...] | None) -> str:
    """Batches from the first to the last, told once where they are one."""
    return " to ".join(dict.fromkeys((batches[0], batches[-1]))) if batches else "none"
