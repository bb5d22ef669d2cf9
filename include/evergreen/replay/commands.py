"""`evergreen replay` and `evergreen replay-diff`, and the summary that other commands end with too."""

import sys
import tempfile
from dataclasses import replace as change
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evergreen.config.locations import Locations, model_roots
from evergreen.config.model_folder import ModelFolder, get_model_folder
from evergreen.terminal import Terminal, make_progress, say, set_up_log

if TYPE_CHECKING:
    from evergreen.replay.diff.comparison import Comparison
    from evergreen.replay.history import History


@click.command()
@click.argument("model_id", metavar="MODEL")
@click.option("--from", "first", help="First batch, such as 2011-01-01; by default the schedule's start.")
@click.option("--to", "last", help="Last batch; by default the last one that has files.")
@click.option("--policy", help="Other policies than config.yaml's, such as never or decay+every:4.")
@click.option("--landing", type=click.Path(path_type=Path), help="Where the files are, if not in the landing folder.")
@click.option("--into", type=click.Path(path_type=Path), help="An empty folder for state and report.")
@click.option("--html/--no-html", default=False, help="Write an Evidently report for every check that is not ok.")
def replay(
    model_id: str,
    first: str | None,
    last: str | None,
    policy: str | None,
    landing: Path | None,
    into: Path | None,
    html: bool,
) -> None:
    """Run a model over its history on a virtual clock, in a scratch place; the live one is not touched."""
    from evergreen.replay.runner import for_replay
    from evergreen.replay.runner import replay as run
    from evergreen.sources.intake import last_arrived

    model = for_replay(get_model_folder(model_id, model_roots()), first, policy, html)
    scratch, live = _scratch(into, model_id), Locations.from_environment()
    at = Locations.under(scratch, landing=str(landing.absolute()) if landing else live.landing)
    calendar = model.config.calendar
    first, last = first or calendar.name(0), last or last_arrived(model, at, datetime.now(UTC))
    with make_progress() as progress:
        task = progress.add_task(f"replaying {model_id}", total=len(calendar.between(first, last)))
        run(model, at, first, last, lambda batch: progress.update(task, advance=1, description=batch))
    write_history(model, at, first, last, scratch / "report.html")


@click.command("replay-diff")
@click.argument("model_id", metavar="MODEL")
@click.option("--base", "ref", required=True, help="The git ref to compare with, such as origin/main.")
@click.option("--from", "first", help="First batch; by default early enough for eight champions.")
@click.option("--to", "last", help="Last batch; by default the last one that has files.")
@click.option("--policy", help="Other policies than config.yaml's, for both, such as never or decay+every:4.")
@click.option("--landing", type=click.Path(path_type=Path), help="Where the files are, if not in the landing folder.")
@click.option("--into", type=click.Path(path_type=Path), help="An empty folder for state and reports.")
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="A file for what is printed.")
def replay_diff(
    model_id: str,
    ref: str,
    first: str | None,
    last: str | None,
    policy: str | None,
    landing: Path | None,
    into: Path | None,
    markdown: Path | None,
) -> None:
    """Replay a model folder as it is and as it was at a git ref, and say which predicts better, in Markdown.

    Ends with 0 for better or equal, 1 for worse, 2 if the two cannot be compared.
    """
    from evergreen.replay.diff.base import fetch_base

    model, scratch = get_model_folder(model_id, model_roots()), _scratch(into, model_id)
    base = fetch_base(model.path, ref, scratch / "folders")
    from evergreen.replay.diff.comment import describe_comparison, describe_newcomer
    from evergreen.replay.diff.side_by_side import choose_span, require_comparable

    if base.model is None:
        text, worse = describe_newcomer(model_id, base.path, base.name), False
    else:
        require_comparable(base.model, model)
        at = Locations.from_environment()
        at = change(at, landing=str(landing.absolute())) if landing else at
        span = choose_span(model, at, first, last, datetime.now(UTC))
        comparison = _replay_both({base.name: base.model, "this change": model}, scratch, at.landing, span, policy)
        text, worse = describe_comparison(comparison), comparison.outcome == "worse"
    if markdown is not None:
        markdown.write_text(text, encoding="utf-8")
    click.echo(text, nl=False)
    sys.exit(1 if worse else 0)


def _replay_both(
    folders: dict[str, ModelFolder], scratch: Path, landing: str, span: tuple[str, str], policy: str | None
) -> "Comparison":
    """Replay the base and the change, which are given in this order by their names."""
    from evergreen.replay.diff.comparison import Side
    from evergreen.replay.diff.side_by_side import replay_side_by_side
    from evergreen.replay.runner import for_replay

    base, change = (
        Side(name, for_replay(folder, span[0], policy, html=False), Locations.under(under, landing=landing), under)
        for (name, folder), under in zip(folders.items(), (scratch / "base", scratch / "change"), strict=True)
    )
    verbose = click.get_current_context().find_root().params["verbose"]
    with make_progress(Terminal(stderr=True)) as progress:
        batches = len(change.model.config.calendar.between(*span))
        task = progress.add_task(f"replaying {change.model.id} as it is and as it was", total=batches)
        set_up = partial(set_up_log, verbose)
        return replay_side_by_side(base, change, span, set_up, lambda _: progress.advance(task))


def write_history(model: ModelFolder, at: Locations, first: str, last: str, path: Path) -> "History":
    """Write the report and its CSV, print the summary."""
    from evergreen.replay.measured_history import as_table, collect_history
    from evergreen.replay.report import write_report
    from evergreen.replay.summary import print_summary

    history = collect_history(model, at, first, last)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_report(history, path)
    as_table(history).to_csv(path.with_suffix(".csv"), index=False)
    print_summary(history)
    say(f"report {path}")
    say(f"table  {path.with_suffix('.csv')}")
    return history


def _scratch(into: Path | None, model_id: str) -> Path:
    """An empty folder for a replay."""
    scratch = into or Path(tempfile.mkdtemp(prefix=f"replay-{model_id}-"))
    if scratch.exists() and any(scratch.iterdir()):
        raise click.UsageError(f"--into {scratch}: is not empty; a replay begins with nothing")
    return scratch
