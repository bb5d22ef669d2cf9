"""`evergreen new-model` and `evergreen split`: from history files to a model folder and its batch files."""

from pathlib import Path
from typing import Any, get_args

import click

from evergreen.batches import Every
from evergreen.config.locations import Locations, model_roots
from evergreen.config.model_folder import get_model_folder
from evergreen.terminal import say

_HISTORY = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("model_id", metavar="MODEL")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--labels", multiple=True, type=_HISTORY, help="Label files, for a model whose labels come in files.")
@click.option("--label-time", metavar="COLUMN[=FORMAT]", help="When a label became known; by default with its row.")
@click.option("--landing", type=click.Path(path_type=Path), help="Where to, if not into the landing folder.")
def split(
    model_id: str, files: tuple[Path, ...], labels: tuple[Path, ...], label_time: str | None, landing: Path | None
) -> None:
    """Cut history files into the batch files that a model's config expects, by event time."""
    from evergreen.config.fields import ColumnType
    from evergreen.scaffold.split_history import split_history

    model = get_model_folder(model_id, model_roots())
    folder = Path(landing or Locations.from_environment().landing) / model_id
    name, _, form = (label_time or "").partition("=")
    known = (name, ColumnType(type="timestamp", format=form or None)) if name else None
    done = split_history(model, list(files), folder, labels, known)
    for what, counts in (("rows", done.rows), ("labels", done.labels)):
        if counts:
            span = f"{len(counts)} batches, {min(counts)} to {max(counts)}"
            say(f"{sum(counts.values()):,} {what} in {span}: {folder}")
    if done.before:
        say(f"{done.before:,} rows lie before the start, {model.config.calendar.name(0)}, and are left out")
    if done.unassigned:
        say(f"{done.unassigned:,} labels were known before the start or never, or belong to no row: left out")


@click.command("new-model")
@click.argument("name")
@click.argument("more", nargs=-1, metavar="--from FILE…", type=_HISTORY)
@click.option("--from", "files", multiple=True, required=True, type=_HISTORY, help="CSV or Parquet of the past.")
@click.option("--key", multiple=True, help="Columns that together name a row; several as a,b or by several --key.")
@click.option("--event-time", help="The column that says when a row happened.")
@click.option("--date-format", help="How its dates are written, where they do not tell, such as %d/%m/%Y.")
@click.option(
    "--decimal", multiple=True, metavar="[COLUMN=]MARK", help="What stands before a fraction, where it is unclear."
)
@click.option("--target", help="The column to be predicted.")
@click.option("--every", type=click.Choice(get_args(Every)), help="How long a batch is.")
@click.option(
    "--task", type=click.Choice(["regression", "classification"]), help="By default what the target asks for."
)
@click.option("--labels", multiple=True, type=_HISTORY, help="Files of labels, where they do not stand in the rows.")
@click.option("--label-time", help="The column of the label files that says when a label became known.")
@click.option(
    "--keep", multiple=True, metavar="COLUMN", help="A column to be used, whatever speaks against it; again for each."
)
@click.option("--drop", multiple=True, metavar="COLUMN", help="A column to be left out; again for each.")
@click.option("--root", type=click.Path(file_okay=False, path_type=Path), help="Where to; by default EVERGREEN_MODELS.")
@click.option("--yes", is_flag=True, help="Take what the data propose instead of asking.")
def new_model(
    name: str,
    more: tuple[Path, ...],
    files: tuple[Path, ...],
    labels: tuple[Path, ...],
    root: Path | None,
    yes: bool,
    **given: Any,
) -> None:
    """Look at history files and write a model folder that replays at once.

    What the files cannot say is asked for; where nobody is there to ask, it has to be said by a flag.
    """
    from evergreen.scaffold.answers import Answers
    from evergreen.scaffold.ask_person import ask_person, take_proposal
    from evergreen.scaffold.propose_model import propose_model
    from evergreen.scaffold.read_files import read_files
    from evergreen.scaffold.tell_proposal import tell_proposal
    from evergreen.scaffold.write_folder import require_free, write_folder

    roots = model_roots()
    parent = root or roots[0]
    require_free(name, parent, roots)
    history = read_files([*files, *more])
    outcomes = read_files(list(labels)) if labels else None
    proposal = propose_model(name, history, Answers(**given), take_proposal if yes else ask_person, outcomes)
    folder = write_folder(proposal, parent)
    for line in tell_proposal(proposal, folder, served=parent.absolute() in [root.absolute() for root in roots]):
        say(line)
