"""What a person is told of a proposal, in the terminal."""

import shlex
from pathlib import Path

from evergreen.scaffold.join_labels import describe_delays
from evergreen.scaffold.propose_model import ModelProposal
from evergreen.scaffold.read_files import HistoryFiles

_MOST = 3


def tell_proposal(proposal: ModelProposal, folder: Path, served: bool) -> list[str]:
    """The lines: what was seen, what was left out and why, what was written, what comes next.

    :param folder: the folder that was written.
    :param served: whether models are looked for beside it.
    """
    chosen, assigned, files = proposal.chosen, proposal.assigned, proposal.files
    held = chosen.event.values.dropna()
    span = f"{held.min():%Y-%m-%d} to {held.max():%Y-%m-%d}"
    told = [
        ("read", f"{files.names}: {files.rows.num_rows:,} rows, {files.rows.num_columns} columns, {span}"),
        ("target", f"{chosen.target.name}: {chosen.task}"),
        ("batches", f"{assigned.span:,}, one a {chosen.every}, from {assigned.calendar.name(0)} on"),
    ]
    if chosen.event.readings:
        reading = chosen.event.readings[0]
        told.append(("dates", f"{chosen.event.name} as {reading.form or 'ISO 8601'}: {reading.evidence}"))
    if proposal.pattern:
        told.append(("files", f"named by batch, as {proposal.pattern}: in the landing folder they can lie as they are"))
    told += [("mind", f"{name}: {remark}") for name, remark in chosen.remarks.items()]
    told += [("mind", line) for line in _tell_labels(proposal)]
    remarked = [facts for facts in (chosen.target, *proposal.declared) if facts.remark]
    told += [("mind", f"{facts.name}: {facts.remark}") for facts in remarked]
    if assigned.before:
        told.append(
            ("mind", f"{assigned.before:,} rows lie before {assigned.calendar.name(0)}, the start: `split` drops them")
        )
    if assigned.after:
        told.append(("mind", f"{assigned.after:,} rows lie far after {assigned.last}: the replay below stops there"))
    told += [("leak?", f"{name} is left out: {why}") for name, why in proposal.leaks.items()]
    declared = {facts.name for facts in proposal.declared}
    telling = [f"{name} ({score})" for name, score in proposal.telling.items() if name in declared]
    if telling:
        most = ", ".join(telling[:_MOST])
        told.append(("look at", f"{most}: tells {chosen.target.name} best; --drop what is not known as a row happens"))
    told += [("left out", f"{name or repr(name)}: {why}") for name, why in proposal.left_out.items()]
    told.append(("wrote", f"{folder}: config.yaml, expectations.yaml, features.py, estimator.py"))
    next_ = [] if served else [f"export EVERGREEN_MODELS={shlex.quote(str(folder.parent))}"]
    next_.append(f"evergreen split {proposal.name} {_join(files)}{_tell_split(proposal)}")
    next_.append(f"evergreen replay {proposal.name}" + (f" --to {assigned.last}" if assigned.last else ""))
    told += [("next" if i == 0 else "", line) for i, line in enumerate(next_)]
    return [f"{what:<9} {text}" for what, text in told]


def _tell_labels(proposal: ModelProposal) -> list[str]:
    """What of the target is missing, how late it comes, and what to do."""
    target, labels = proposal.chosen.target, proposal.labels
    told = list(labels.remarks) if labels is not None else []
    lost = target.missing + target.failed
    if lost:
        told.append(f"{target.name} is missing in {lost:,} of {target.rows:,} rows ({lost / target.rows:.1%}): ")
        learnt = "they are scored, and not learnt from before it is known"
        told[-1] += learnt if labels else f"{learnt}; if it comes later, name the files that bring it by --labels"
    if labels is not None and labels.times is None:
        told.append(
            f"{labels.files.names} does not say when a label became known: `split` hands each over with its row, which "
            "is sooner than it was; name the column that says so by --label-time"
        )
    if labels is not None:
        outcome, classification = target.values, proposal.chosen.task == "classification"
        told += describe_delays(proposal.delays, outcome, classification, proposal.chosen.every)
    return told


def _tell_split(proposal: ModelProposal) -> str:
    labels = proposal.labels
    if labels is None:
        return ""
    told = "".join(f" --labels {shlex.quote(str(path))}" for path in labels.files.paths)
    if labels.named is None and labels.known is not None and labels.known.type is not None:
        form = f"={labels.known.type.format}" if labels.known.type.format else ""
        told += f" --label-time {shlex.quote(labels.known.name + form)}"
    return told


def _join(files: HistoryFiles) -> str:
    return " ".join(shlex.quote(str(path)) for path in files.paths)
