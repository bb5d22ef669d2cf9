"""`evergreen …`: the loop without Airflow, and what it has done."""

import getpass
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

# Before any numeric library loads: on small batches their threads cost more than they bring.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import click

from evergreen.config.locations import Locations, demo_models, home, model_roots
from evergreen.config.model_folder import get_model_folder
from evergreen.errors import EvergreenError, NotReady
from evergreen.replay.commands import replay, replay_diff, write_history
from evergreen.scaffold.commands import new_model, split
from evergreen.terminal import console, make_progress, say, set_up_log

if TYPE_CHECKING:
    from evergreen.demo.services import Services
    from evergreen.records import Feed


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--verbose", is_flag=True, help="Show the log of every step.")
@click.version_option(package_name="airflow-provider-evergreen", prog_name="evergreen")
def cli(verbose: bool) -> None:
    """Continuous training: what the loop has done, and the loop itself in one process."""
    set_up_log(verbose)


for command in (new_model, split, replay, replay_diff):
    cli.add_command(command)


@cli.command("run")
@click.option("--once", is_flag=True, help="End with the summary: 0 if the loop closed, 1 if it did not.")
def run_live(once: bool) -> None:
    """Start Airflow and MLflow on this machine and let them take the demo's taxi stream through the loop."""
    from evergreen.demo.feeder import feed
    from evergreen.demo.services import Services, uninterrupted
    from evergreen.demo.stream import DemoStream

    services, model, stream = Services(home(), tell=say), get_model_folder("taxi", [demo_models()]), DemoStream()
    calendar = model.config.calendar
    for sign in (signal.SIGTERM, signal.SIGHUP):
        # `nohup` has said that the terminal's end is none of its own.
        if signal.getsignal(sign) is not signal.SIG_IGN:
            signal.signal(sign, signal.default_int_handler)
    try:
        with console.status("starting PostgreSQL, Airflow and MLflow"):
            services.start()
            services.await_health()
        _say_where(services)
        begun = time.monotonic()
        at = replace(Locations.under(home()), tracking_uri=services.mlflow_url, artifacts=None)
        for line in feed(model, at, stream, watch=services.watch):
            say(f"{time.monotonic() - begun:4.0f} s  {line}")
        report = home().absolute() / "reports" / "taxi.html"
        history = write_history(model, at, calendar.name(0), calendar.name(stream.batches - 1), report)
        _say_where(services)
        if not once:
            console.print("Ctrl-C ends them; `make run` goes on where this run ended.")
            while True:
                services.watch()
                time.sleep(1)
        sys.exit(0 if history.closed else 1)
    except NotReady as error:
        silent = ", ".join(services.unhealthy()) or "none"
        raise NotReady(f"{error}; services that do not answer: {silent}; logs: {services.home / 'logs'}") from error
    finally:
        with uninterrupted(), console.status("ending PostgreSQL, Airflow and MLflow"):
            services.stop()


def _say_where(services: "Services") -> None:
    say(f"Airflow {services.airflow_url}  login admin, password {services.secrets['admin']}")
    say(f"MLflow  {services.mlflow_url}")
    say(f"logs    {services.home / 'logs'}")
    say(f"models  {services.environment['EVERGREEN_MODELS']}")


@cli.command()
@click.option("--policy", help="Other policies than config.yaml's, such as never or decay+every:4; in a place apart.")
def demo(policy: str | None) -> None:
    """Drive the demo's taxi stream through the loop in this process; go on where the last run ended."""
    from evergreen.demo.stream import DemoStream
    from evergreen.replay.runner import Runner, with_policies

    at = Locations.under(home() / (f"policy-{policy.replace(':', '-')}" if policy else "demo"))
    model = with_policies(get_model_folder("taxi", [demo_models()]), policy)
    stream, calendar = DemoStream(), model.config.calendar
    runner = Runner(model, at)
    with make_progress() as progress:
        task = progress.add_task("batches", total=stream.batches)
        for number in range(1, stream.batches + 1):
            batch = calendar.name(number - 1)
            progress.update(task, description=f"batch {batch}")
            stream.land(Path(at.landing) / model.id, number)
            runner.run_batch(batch)
            progress.advance(task)
    name = f"demo-{policy.replace(':', '-')}.html" if policy else "demo.html"
    report = home().absolute() / "reports" / name
    history = write_history(model, at, calendar.name(0), calendar.name(stream.batches - 1), report)
    sys.exit(0 if history.closed else 1)


@cli.command()
@click.argument("model_id", metavar="MODEL")
@click.argument("batch")
@click.option("--feed", type=click.Choice(["rows", "labels"]), default="rows", help="What to take in again.")
def reingest(model_id: str, batch: str, feed: "Feed") -> None:
    """Take a sealed batch in again, from the files that are there now, and say what that changes."""
    from evergreen.sources.intake import probe_beforehand
    from evergreen.steps.reingest_batch import describe_result, reingest_batch

    model, at = get_model_folder(model_id, model_roots()), _standing_lake()
    result = reingest_batch(model, at, batch, feed, probe_beforehand(model, at, feed, batch))
    for line in describe_result(result):
        say(line)
    sys.exit(0 if result.after.state == "published" else 1)


@cli.command()
@click.argument("model_id", metavar="MODEL")
def status(model_id: str) -> None:
    """Say who serves, since when and why, and what is open."""
    from evergreen.replay.status import describe_status

    for line in describe_status(get_model_folder(model_id, model_roots()), _standing_lake()):
        say(line)


@cli.command()
@click.argument("model_id", metavar="MODEL")
@click.argument("version", type=int, required=False)
@click.option("--why", "reason", required=True, help="Why; it goes on record.")
@click.option("--yes", is_flag=True, help="Do not ask again after the gate was heard.")
def rollback(model_id: str, version: int | None, reason: str, yes: bool) -> None:
    """Put an older version in force again: VERSION, or the one before the champion. The gate is heard first."""
    from evergreen.replay.status import describe_judgement
    from evergreen.steps.rollback_model import plan_rollback, rollback_model

    model, at = get_model_folder(model_id, model_roots()), _standing_lake(registry=True)
    plan = plan_rollback(model, at, version, f"{getpass.getuser()}: {reason}")
    say(f"{model.id}: back from version {plan.instead} to version {plan.version}")
    for line in describe_judgement(plan.attempt.judgement) if plan.attempt.judgement else ():
        say(line)
    say(f"  the gate would {'refuse it: ' + plan.doubt if plan.doubt else 'promote it'}")
    if not yes:
        click.confirm("Put it in force?", abort=True)
    standing = rollback_model(model, at, plan)
    if standing.attempt != plan.attempt.id:
        say(f"promotion {standing.number}, version {standing.version}, came before; look again")
        sys.exit(1)
    until = "until a challenger is expected to serve better; `retrain: {any: [never]}` in config.yaml holds it"
    say(f"version {standing.version} serves from batch {standing.effective_from}, {until}")


@cli.command()
@click.argument("model_id", metavar="MODEL")
@click.argument("incident")
@click.option("--why", "reason", required=True, help="Why; it goes on record.")
def acknowledge(model_id: str, incident: str, reason: str) -> None:
    """Say that an open INCIDENT, such as fault-rows.0, is over, whatever it has cost."""
    from evergreen.incidents import acknowledge as close
    from evergreen.storage.stores import open_stores

    model, at = get_model_folder(model_id, model_roots()), _standing_lake()
    over = close(open_stores(at, model.id).ledger, incident, getpass.getuser(), reason)
    say(f"{over.incident} is over: {over.text}; who was told of it is told so by the next run")


@cli.command()
@click.argument("model_id", metavar="MODEL")
@click.argument("version", type=int, required=False)
def why(model_id: str, version: int | None) -> None:
    """Tell the judgement that promoted a VERSION, or without one that of the challenger that waits."""
    from evergreen.replay.status import describe_challenger, describe_version

    model, at = get_model_folder(model_id, model_roots()), _standing_lake()
    for line in describe_version(model, at, version) if version is not None else describe_challenger(model, at):
        say(line)


def _standing_lake(registry: bool = False) -> Locations:
    """Where state is kept, for commands that look at what was done before.

    :param registry: whether they also load what was registered.
    """
    from evergreen.storage.stores import require_lake

    at = Locations.from_environment()
    require_lake(at, registry)
    return at


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
        console.print(str(error), style="red")
        sys.exit(2)


if __name__ == "__main__":
    main()
