"""What a person is told of a proposal, in the terminal."""

import shlex
from pathlib import Path

from include.scaffold.propose_model import ModelProposal


def tell_proposal(proposal: ModelProposal, folder: Path, served: bool) -> list[str]:
    """The lines: what was seen, what was left out and why, what was written, what comes next.

    :param folder: the folder that was written.
    :param served: whether models are looked for beside it.
    """
    chosen, placed, sizes, files = proposal.chosen, proposal.placed, proposal.sizes, proposal.files
    held = chosen.event.values.dropna()
    span = f"{held.min():%Y-%m-%d} to {held.max():%Y-%m-%d}"
    told = [
        ("read", f"{files.names}: {files.rows.num_rows:,} rows, {files.rows.num_columns} columns, {span}"),
        ("target", f"{chosen.target.name}: {chosen.task}"),
        ("batches", f"{placed.span:,}, one a {chosen.every}, from {placed.calendar.name(0)} on"),
    ]
    if chosen.event.readings:
        reading = chosen.event.readings[0]
        told.append(("dates", f"{chosen.event.name} as {reading.form or 'ISO 8601'}: {reading.evidence}"))
    told += [("mind", f"{name}: {remark}") for name, remark in chosen.remarks.items()]
    if placed.before:
        told.append(
            ("mind", f"{placed.before:,} rows lie before {placed.calendar.name(0)}, the start: `split` drops them")
        )
    if placed.after:
        told.append(("mind", f"{placed.after:,} rows lie far after {placed.last}: the replay below stops there"))
    told += [("leak?", f"{name} is left out: {why}") for name, why in proposal.leaks.items()]
    told += [("left out", f"{name or repr(name)}: {why}") for name, why in proposal.left_out.items()]
    if sizes.begins_at is None:
        told.append(("mind", "too few labelled batches for a first version; a shorter --every gives more of them"))
    told.append(("wrote", f"{folder}: config.yaml, expectations.yaml, features.py, estimator.py"))
    next_ = [] if served else [f"export EVERGREEN_MODELS={shlex.quote(str(folder.parent))}"]
    paths = " ".join(shlex.quote(str(path)) for path in files.paths)
    next_.append(f"evergreen split {proposal.name} {paths}")
    next_.append(f"evergreen replay {proposal.name}" + (f" --to {placed.last}" if placed.last else ""))
    told += [("next" if i == 0 else "", line) for i, line in enumerate(next_)]
    return [f"{what:<9} {text}" for what, text in told]
