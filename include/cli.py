"""`evergreen …`: the loop without Airflow, and what it has done."""

import logging
import os
import signal
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

# Before any numeric library loads: on small batches their threads cost more than they bring.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from include.batches import Every
from include.config.locations import Locations, home, model_roots
from include.config.model_folder import ModelFolder, get_model_folder
from include.errors import EvergreenError

if TYPE_CHECKING:
    from include.demo.services import Services
    from include.records import Feed
    from include.replay.comparison import Comparison
    from include.replay.contenders import Contender
    from include.replay.history import History

_HISTORY = click.Path(exists=True, dir_okay=False, path_type=Path)
console = Console(highlight=False, soft_wrap=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--verbose", is_flag=True, help="Show the log of every step.")
def cli(verbose: bool) -> None:
    """Continuous training: what the loop has done, and the loop itself in one process."""
    _set_up_log(verbose)


def _set_up_log(verbose: bool) -> None:
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, format="%(name)s: %(message)s")
    for noisy in ("alembic", "mlflow", "great_expectations"):
        logging.getLogger(noisy).setLevel(logging.INFO if verbose else logging.ERROR)


@cli.command("run")
@click.option("--once", is_flag=True, help="End with the summary: 0 if the loop closed, 1 if it did not.")
def run_live(once: bool) -> None:
    """Start Airflow and MLflow on this machine and let them take the demo's taxi stream through the loop."""
    from include.demo.feeder import feed
    from include.demo.services import Services, uninterrupted
    from include.demo.stream import DemoStream

    services, model, stream = Services(home()), get_model_folder("taxi", model_roots()), DemoStream()
    at = replace(Locations.under(home()), tracking_uri=services.mlflow_url, artifacts=None)
    calendar = model.config.calendar
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with console.status("starting Airflow and MLflow"):
            services.start()
            services.await_health()
        _say_where(services)
        begun = time.monotonic()
        for line in feed(model, at, stream):
            console.print(f"{time.monotonic() - begun:4.0f} s  {line}", markup=False)
        report = home().absolute() / "reports" / "taxi.html"
        history = _write_report(model, at, calendar.name(0), calendar.name(stream.batches - 1), report)
        _say_where(services)
        if not once:
            console.print("Ctrl-C ends them; `make run` goes on where this run ended.")
            signal.pause()
        sys.exit(0 if history.closed else 1)
    finally:
        with uninterrupted(), console.status("ending Airflow and MLflow"):
            services.stop()


def _say_where(services: "Services") -> None:
    console.print(f"Airflow {services.airflow_url}  login admin, password {services.secrets['admin']}", markup=False)
    console.print(f"MLflow  {services.mlflow_url}", markup=False)
    console.print(f"logs    {services.home / 'logs'}", markup=False)


@cli.command()
@click.option("--policy", help="Other policies than config.yaml's, such as never or decay+every:4; in a place apart.")
def demo(policy: str | None) -> None:
    """Drive the demo's taxi stream through the loop in this process; go on where the last run ended."""
    from include.demo.stream import DemoStream
    from include.replay.runner import Runner, with_policies

    at = Locations.under(home() / (f"policy-{policy.replace(':', '-')}" if policy else "demo"))
    model = with_policies(get_model_folder("taxi", model_roots()), policy)
    stream, calendar = DemoStream(), model.config.calendar
    runner = Runner(model, at)
    with _progress() as progress:
        task = progress.add_task("batches", total=stream.batches)
        for number in range(1, stream.batches + 1):
            batch = calendar.name(number - 1)
            progress.update(task, description=f"batch {batch}")
            stream.land(Path(at.landing) / model.id, number)
            runner.run_batch(batch)
            progress.advance(task)
    name = f"demo-{policy.replace(':', '-')}.html" if policy else "demo.html"
    report = home().absolute() / "reports" / name
    history = _write_report(model, at, calendar.name(0), calendar.name(stream.batches - 1), report)
    sys.exit(0 if history.closed else 1)


@cli.command()
@click.argument("model_id", metavar="MODEL")
@click.option("--from", "first", help="First batch, such as 2011-01-01; by default the schedule's start.")
@click.option("--to", "last", help="Last batch; by default the last one that has files.")
@click.option(
    "--policies",
    "--policy",
    "policies",
    help="Other policies than config.yaml's, such as never or decay+every:4; several, separated by commas, are put "
    "side by side. config stands for config.yaml's own, oracle for the best that hindsight finds.",
)
@click.option("--landing", type=click.Path(path_type=Path), help="Where the files are, if not in the landing folder.")
@click.option("--into", type=click.Path(path_type=Path), help="An empty folder for state and report.")
@click.option("--html/--no-html", default=False, help="Write an Evidently report for every check that is not ok.")
def replay(
    model_id: str,
    first: str | None,
    last: str | None,
    policies: str | None,
    landing: Path | None,
    into: Path | None,
    html: bool,
) -> None:
    """Run a model over its history on a virtual clock, in a scratch place; the live one is not touched."""
    from include.replay.contenders import compare_policies
    from include.replay.runner import for_replay
    from include.replay.runner import replay as run
    from include.sources.intake import last_arrived

    folder, named = get_model_folder(model_id, model_roots()), policies.split(",") if policies else ["config"]
    models = {
        name: for_replay(folder, first, None if name == "config" else name, html) for name in named if name != "oracle"
    }
    if len(models) < len(named) - ("oracle" in named) or not models:
        raise click.UsageError(f"--policies {policies}: valid: different policies, and oracle beside one of them")
    place = _scratch(into, model_id)
    model, live = next(iter(models.values())), Locations.from_environment()
    at = Locations.under(place, landing=str(landing.absolute()) if landing else live.landing)
    calendar = model.config.calendar
    first, last = first or calendar.name(0), last or last_arrived(model, at, datetime.now(UTC))
    span = calendar.between(first, last)
    several = len(named) > 1
    with _progress() as progress:
        task = progress.add_task(f"replaying {model_id}", total=len(span) * (len(models) + 1 if several else 1))

        def tell(done: str) -> None:
            progress.update(task, advance=1, description=done)

        if several:
            contenders = compare_policies(models, place, at.landing, span, after_each=tell)
        else:
            run(model, at, first, last, after_each=tell)
    if several:
        _write_comparison(model, contenders, place / "report.html", last, "oracle" in named)
    else:
        _write_report(model, at, first, last, place / "report.html")


@cli.command("replay-diff")
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
    from include.replay.base import fetch_base

    model, place = get_model_folder(model_id, model_roots()), _scratch(into, model_id)
    base = fetch_base(model.path, ref, place / "folders")
    from include.replay.comment import describe_comparison, describe_newcomer
    from include.replay.side_by_side import choose_span, require_comparable

    if base.model is None:
        text, worse = describe_newcomer(model_id, base.place, base.name), False
    else:
        require_comparable(base.model, model)
        at = Locations.from_environment()
        at = replace(at, landing=str(landing.absolute())) if landing else at
        span = choose_span(model, at, first, last, datetime.now(UTC))
        comparison = _replay_both({base.name: base.model, "this change": model}, place, at.landing, span, policy)
        text, worse = describe_comparison(comparison), comparison.outcome == "worse"
    if markdown is not None:
        markdown.write_text(text, encoding="utf-8")
    click.echo(text, nl=False)
    sys.exit(1 if worse else 0)


def _replay_both(
    folders: dict[str, ModelFolder], place: Path, landing: str, span: tuple[str, str], policy: str | None
) -> "Comparison":
    """Replay the base and the change, which are given in this order by their names."""
    from include.replay.comparison import Side
    from include.replay.runner import for_replay
    from include.replay.side_by_side import replay_side_by_side

    base, change = (
        Side(name, for_replay(folder, span[0], policy, html=False), Locations.under(under, landing=landing), under)
        for (name, folder), under in zip(folders.items(), (place / "base", place / "change"), strict=True)
    )
    verbose = click.get_current_context().find_root().params["verbose"]
    with _progress(Console(stderr=True)) as progress:
        batches = len(change.model.config.calendar.between(*span))
        task = progress.add_task(f"replaying {change.model.id} as it is and as it was", total=batches)
        set_up = partial(_set_up_log, verbose)
        return replay_side_by_side(base, change, span, set_up, lambda _: progress.advance(task))


@cli.command()
@click.argument("model_id", metavar="MODEL")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--landing", type=click.Path(path_type=Path), help="Where to, if not into the landing folder.")
def split(model_id: str, files: tuple[Path, ...], landing: Path | None) -> None:
    """Cut history files into the batch files that a model's config expects, by event time."""
    from include.sources.splitting import split_history

    model = get_model_folder(model_id, model_roots())
    folder = Path(landing or Locations.from_environment().landing) / model_id
    counts = split_history(model, list(files), folder)
    console.print(f"{sum(counts.values()):,} rows in {len(counts)} batches, {min(counts)} to {max(counts)}: {folder}")


@cli.command("new-model")
@click.argument("name")
@click.argument("more", nargs=-1, metavar="--from FILE…", type=_HISTORY)
@click.option("--from", "files", multiple=True, required=True, type=_HISTORY, help="CSV or Parquet of the past.")
@click.option("--key", multiple=True, help="Columns that together name a row; several as a,b or by several --key.")
@click.option("--event-time", help="The column that says when a row happened.")
@click.option("--date-format", help="How its dates are written, where they do not tell, such as %d/%m/%Y.")
@click.option("--target", help="The column to be foretold.")
@click.option("--every", type=click.Choice(get_args(Every)), help="How long a batch is.")
@click.option(
    "--task", type=click.Choice(["regression", "classification"]), help="By default what the target asks for."
)
@click.option("--root", type=click.Path(file_okay=False, path_type=Path), help="Where to; by default EVERGREEN_MODELS.")
@click.option("--yes", is_flag=True, help="Take what the data propose instead of asking.")
def new_model(
    name: str, more: tuple[Path, ...], files: tuple[Path, ...], root: Path | None, yes: bool, **given: Any
) -> None:
    """Look at history files and write a model folder that replays at once.

    What the files cannot say is asked for; where nobody is there to ask, it has to be said by a flag.
    """
    from include.scaffold.answers import Answers
    from include.scaffold.ask_person import ask_person, take_proposal
    from include.scaffold.propose_model import propose_model
    from include.scaffold.read_files import read_files
    from include.scaffold.tell_proposal import tell_proposal
    from include.scaffold.write_folder import require_free, write_folder

    roots = model_roots()
    place = root or roots[0]
    require_free(name, place, roots)
    history = read_files([*files, *more])
    proposal = propose_model(name, history, Answers(**given), take_proposal if yes else ask_person)
    folder = write_folder(proposal, place)
    for line in tell_proposal(proposal, folder, served=place.absolute() in [root.absolute() for root in roots]):
        console.print(line, markup=False)


@cli.command()
@click.argument("model_id", metavar="MODEL")
@click.argument("batch")
@click.option("--feed", type=click.Choice(["rows", "labels"]), default="rows", help="What to take in again.")
def reingest(model_id: str, batch: str, feed: "Feed") -> None:
    """Take a sealed batch in again, from the files that are there now, and say what that changes."""
    from include.sources.intake import look_beforehand
    from include.steps.reingest_batch import describe_result, reingest_batch

    model, at = get_model_folder(model_id, model_roots()), Locations.from_environment()
    result = reingest_batch(model, at, batch, feed, look_beforehand(model, at, feed, batch))
    for line in describe_result(result):
        console.print(line, markup=False)
    sys.exit(0 if result.after.state == "published" else 1)


@cli.command()
@click.argument("model_id", metavar="MODEL")
def status(model_id: str) -> None:
    """Say who serves, since when and why, and what is open."""
    from include.replay.status import describe_status

    for line in describe_status(get_model_folder(model_id, model_roots()), Locations.from_environment()):
        console.print(line, markup=False)


@cli.command()
@click.argument("model_id", metavar="MODEL")
@click.argument("version", type=int)
def why(model_id: str, version: int) -> None:
    """Tell the judgement that promoted a version."""
    from include.replay.status import describe_version

    for line in describe_version(get_model_folder(model_id, model_roots()), Locations.from_environment(), version):
        console.print(line, markup=False)


def _write_report(model: ModelFolder, at: Locations, first: str, last: str, path: Path) -> "History":
    """Write the report and its CSV, print the summary."""
    from include.replay.history import as_table, collect_history
    from include.replay.report import write_report
    from include.replay.summary import print_summary

    history = collect_history(model, at, first, last)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_report(history, path)
    as_table(history).to_csv(path.with_suffix(".csv"), index=False)
    print_summary(history, console)
    console.print(f"report {path}", markup=False)
    console.print(f"table  {path.with_suffix('.csv')}", markup=False)
    return history


def _write_comparison(
    model: ModelFolder, contenders: "list[Contender]", path: Path, last: str, with_oracle: bool
) -> None:
    """Write the report of each policy, and the one that puts them side by side; print its table."""
    from include.replay.oracle import look_back
    from include.replay.report import write_report
    from include.replay.standings import print_standings, rank_contenders, write_standings

    seen = None
    if with_oracle:
        with console.status("looking back: a version as of each batch"):
            seen = look_back(model, contenders[0].at, last, last)
    for one in contenders:
        write_report(one.history, Path(one.at.lake).parent / "report.html")
    standings = rank_contenders(contenders, seen)
    write_standings(contenders, standings, path)
    print_standings(standings, contenders[0].history.metric, console)
    console.print(f"report {path}", markup=False)
    console.print(f"table  {path.with_suffix('.csv')}", markup=False)


def _scratch(into: Path | None, model_id: str) -> Path:
    """An empty folder for a replay."""
    place = into or Path(tempfile.mkdtemp(prefix=f"replay-{model_id}-"))
    if place.exists() and any(place.iterdir()):
        raise click.UsageError(f"--into {place}: is not empty; a replay begins with nothing")
    return place


def _progress(to: Console = console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=to)


def main() -> None:
    """Run the command line; an error that Evergreen raises on purpose is told in its own words."""
    try:
        cli(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except (EvergreenError, ValueError) as error:
        console.print(str(error), style="red", markup=False)
        sys.exit(2)


if __name__ == "__main__":
    main()
