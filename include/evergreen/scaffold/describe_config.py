"""What config.yaml says of a proposal, with the evidence beside it."""

from typing import Any

import numpy as np

from evergreen.batches import Every
from evergreen.config.fields import NUMBER_MARKS, ColumnType
from evergreen.scaffold.join_labels import describe_delays, propose_max_delay
from evergreen.scaffold.profile_columns import ColumnFacts
from evergreen.scaffold.propose_model import ModelProposal
from evergreen.scaffold.quote_text import behind, flow, prose, quoted
from evergreen.scaffold.read_files import HistoryFiles

_WIDTH = 118
_DATES: dict[Every, str] = {"minute": "%Y-%m-%dT%H%M", "hour": "%Y-%m-%dT%H", "month": "%Y-%m"}


def describe_config(proposal: ModelProposal) -> dict[str, Any]:
    """What the template of config.yaml shows."""
    chosen, assigned, files = proposal.chosen, proposal.assigned, proposal.files
    form = _DATES.get(chosen.every, "%Y-%m-%d")
    named = proposal.labels.named if proposal.labels is not None else None
    held = chosen.event.values.dropna()
    start = assigned.calendar.start
    told = "" if chosen.every in ("hour", "minute") else start.date().isoformat()
    weekday = f"weeks begin on a {start:%A}" if chosen.every == "week" else ""
    before = f"{assigned.before:,} rows lie before it, the oldest {held.min():%Y-%m-%d}" if assigned.before else ""
    zone = " Its text names no zone and is read as UTC." if _lacks_zone(chosen.event) else ""
    evidence = chosen.event.readings[0].evidence if chosen.event.readings else "stated by the file"
    written = [f"# {prose(evidence)}.{zone}"] if evidence else []
    typical = int(np.median(assigned.sizes))
    columns = [line for facts in proposal.declared for line in _declare(facts, written, chosen.event.name)]
    return {
        "files": prose(files.names),
        "rows": f"{files.rows.num_rows:,}",
        "first": f"{held.min():%Y-%m-%d}",
        "last": f"{held.max():%Y-%m-%d}",
        "title": f"{proposal.name}: {chosen.target.name}",
        "every": chosen.every,
        "every_told": behind(f"{assigned.span:,} batches, {typical:,} rows in the middle one"),
        "start": told or flow(start.replace(tzinfo=None).isoformat(sep=" ")),
        "start_told": behind("; ".join(part for part in (weekday, before) if part)),
        "pattern": proposal.pattern or f"{proposal.name}_{{batch:{form}}}*.csv",
        "marker": f"{proposal.name}_{{batch:{form}}}.done",
        "labels": _describe_labels(proposal),
        "label_pattern": named.pattern if named else f"{proposal.name}_labels_{{batch:{form}}}*.csv",
        "written": _how_written(files),
        "key": list(chosen.key),
        "key_told": behind(chosen.remarks.get(chosen.key[0], "")),
        "event": chosen.event.name,
        "columns": columns,
        "leaks": _left_out(proposal, proposal.leaks),
        "left_out": _left_out(proposal, proposal.left_out),
        "target": f"{flow(chosen.target.name)}: {_target_type(proposal)}",
        "target_told": behind(_target_told(proposal)),
        "task": chosen.task,
        "metric": "mae" if chosen.task == "regression" else "logloss",
        "check": _describe_check(proposal),
        "seasonal": list(proposal.seasonal),
    }


def _describe_check(proposal: ModelProposal) -> str:
    """What differs from the defaults of a check, as a flow mapping; empty where nothing does."""
    rows = [f"min_rows: {proposal.check_rows}"] if proposal.check_rows < 200 else []
    seasonal = [f"ignore: {flow(list(proposal.seasonal))}"] if proposal.seasonal else []
    return ", ".join(rows + seasonal)


def _declare(facts: ColumnFacts, evidence: list[str], event: str) -> list[str]:
    before = list(evidence) if facts.name == event else []
    if facts.name != event and facts.readings:
        before = [f"# {prose(facts.readings[0].evidence)}"]
    told = "; ".join(part for part in (facts.remark, f"{facts.missing:,} missing" if facts.missing else "") if part)
    return [*before, f"{flow(facts.name)}: {_typed(facts.type)}{behind(told)}"]


def _left_out(proposal: ModelProposal, reasons: dict[str, str]) -> list[str]:
    """Columns as lines that a reader may uncomment, each with the reason."""
    lines = []
    for name, why in reasons.items():
        line = f"# {prose(flow(name))}: {_typed(proposal.columns[name].type)}"
        told = behind(why)
        lines += [line + told] if len(line + told) < _WIDTH else [f"# {prose(why)}:", line]
    return lines


def _typed(declared: ColumnType | None) -> str:
    if declared is None:
        return "string"
    if declared.yes and declared.no:
        yes, no = (quoted(one[0]) if len(one) == 1 else flow(list(one)) for one in (declared.yes, declared.no))
        return f"{{boolean: {{yes: {yes}, no: {no}}}}}"
    if declared.writes_numbers:
        marks = {name: getattr(declared, name) for name in NUMBER_MARKS}
        told = "".join(f", {name}: {quoted(mark)}" for name, mark in marks.items() if mark)
        return f"{{type: {declared.type}{told}}}"
    return f"{{{declared.type}: {quoted(declared.format)}}}" if declared.format else declared.type


def _describe_labels(proposal: ModelProposal) -> list[str]:
    """The lines of a label feed beside its files, key and target; none where labels stand in the rows."""
    if proposal.labels is None:
        return []
    outcome = proposal.chosen.target.values
    told = describe_delays(proposal.delays, outcome, proposal.chosen.task == "classification", proposal.chosen.every)
    delay = behind("; ".join(told) or "nothing says when labels became known")
    return [f"max_delay: {propose_max_delay(proposal.delays)}{delay}", *_how_written(proposal.labels.files)]


def _how_written(files: HistoryFiles) -> list[str]:
    lines = []
    if files.delimiter != ",":
        lines.append(f"delimiter: {quoted(files.delimiter)}")
    if files.encoding != "utf-8":
        lines.append(f"encoding: {files.encoding}")
    if len(files.nulls) > 1:
        seen = ", ".join(f"{text} {count:,} times" for text, count in files.null_counts.items())
        lines.append(f"nulls: {flow(list(files.nulls))}{behind(seen)}")
    return lines


def _lacks_zone(event: ColumnFacts) -> bool:
    return event.type is not None and event.type.type == "timestamp" and any(not one.zoned for one in event.readings)


def _target_type(proposal: ModelProposal) -> str:
    target = proposal.chosen.target
    if target.type is not None and target.type.type == "boolean":
        return _typed(target.type)
    written = target.type or ColumnType(type="float")
    return _typed(written.model_copy(update={"type": "float" if proposal.chosen.task == "regression" else "integer"}))


def _target_told(proposal: ModelProposal) -> str:
    values = proposal.chosen.target.values.dropna().astype(float)
    missing = f"; {proposal.chosen.target.missing:,} missing" if proposal.chosen.target.missing else ""
    missing += f"; {proposal.chosen.target.remark}" if proposal.chosen.target.remark else ""
    if proposal.chosen.task == "classification":
        one = "yes" if proposal.chosen.target.type is not None and proposal.chosen.target.type.yes else "1"
        return f"{one} in {values.mean():.1%} of {len(values):,} rows{missing}"
    return f"{values.min():.6g} to {values.max():.6g}, half of them up to {values.median():.6g}{missing}"
