"""`evergreen …`: the loop without Airflow, and what it has done."""

import gc
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
from evergreen.config.model_folder import find_model_folders, get_model_folder
from evergreen.errors import EvergreenError, NotReady
from evergreen.levers import LEVERS, standing_lake
from evergreen.replay.commands import replay, replay_diff, write_history
from evergreen.scaffold.commands import new_model, split
from evergreen.serving.commands import serve
from evergreen.terminal import console, make_progress, say, set_up_log

if TYPE_CHECKING:
    from evergreen.demo.services import Services


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--verbose", is_flag=True, help="Show the log of every step.")
@click.version_option(package_name="airflow-provider-evergreen", prog_name="evergreen")
def cli(verbose: bool) -> None:
    """Continuous training: what the loop has done, and the loop itself in one process."""
    set_up_log(verbose)


for command in (new_model, split, replay, replay_diff, serve, *LEVERS):
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
def status(model_id: str) -> None:
    """Say who serves, since when and why, and what is open."""
    from evergreen.replay.status import describe_status
    from evergreen.storage import answer_soon

    answer_soon()
    for line in describe_status(get_model_folder(model_id, model_roots()), standing_lake()):
        say(line)


@cli.command()
def views() -> None:
    """Say of each feature view whose it is, who reads it, and how new it is."""
    from evergreen.replay.view_state import describe_views

    for line in describe_views(standing_lake(), find_model_folders(model_roots())):
        say(line)


@cli.command()
@click.argument("model_id", metavar="MODEL")
@click.argument("version", type=int, required=False)
def why(model_id: str, version: int | None) -> None:
    """Tell the judgement that promoted a VERSION, or without one that of the challenger that waits."""
    from evergreen.replay.status import describe_challenger, describe_version

    model, at = get_model_folder(model_id, model_roots()), standing_lake()
    for line in describe_version(model, at, version) if version is not None else describe_challenger(model, at):
        say(line)


@cli.command()
@click.argument("model_id", metavar="MODEL")
@click.argument("batch")
@click.argument("key", nargs=-1, required=True)
def trace(model_id: str, batch: str, key: tuple[str, ...]) -> None:
    """Trace what was predicted for the row of a KEY in a BATCH: its file, validation, version, judgement, verdict."""
    from evergreen.replay.trace import trace_prediction

    _say_sections(trace_prediction(get_model_folder(model_id, model_roots()), standing_lake(), batch, key))


@cli.command()
@click.argument("model_id", metavar="MODEL")
@click.argument("batch")
@click.argument("key", nargs=-1, required=True)
def explain(model_id: str, batch: str, key: tuple[str, ...]) -> None:
    """Tell what each feature has brought to the prediction for the row of a KEY in a BATCH, by SHAP or by occlusion."""
    from evergreen.replay.explain import explain_prediction

    _say_sections(explain_prediction(get_model_folder(model_id, model_roots()), standing_lake(), batch, key))


@cli.command()
@click.argument("model_id", metavar="MODEL")
@click.option("--onnx", is_flag=True, required=True, help="As ONNX, the one form there is.")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--version", type=int, help="A promoted version; by default the newest.")
def export(model_id: str, onnx: bool, file: Path | None, version: int | None) -> None:
    """Write a version's estimator into a FILE for devices without Python, if it predicts there what it does here."""
    from evergreen.replay.export import TOLERANCE, export_onnx

    file = file or Path(f"{model_id}.onnx")
    told = export_onnx(get_model_folder(model_id, model_roots()), standing_lake(), version, file)
    say(f"{file}  version {told.version}, inputs: {', '.join(told.inputs)}")
    say(
        f"on {told.rows} rows of its holdout predictions differ by at most {told.difference:.2g} of the largest, "
        f"{TOLERANCE:g} is allowed"
    )


def _say_sections(sections: dict[str, list[str]]) -> None:
    for title, lines in sections.items():
        say(title)
        for line in lines:
            say(f"  {line}")


@cli.command("data")
@click.argument("model_id", metavar="MODEL")
@click.argument("version")
@click.option("--files", "as_files", is_flag=True, help="List the files in which the rows lie, with their hashes.")
@click.option(
    "--dvc", type=click.Path(dir_okay=False, path_type=Path), help="Write a .dvc file of them, above the lake."
)
def list_data(model_id: str, version: str, as_files: bool, dvc: Path | None) -> None:
    """Say what a data VERSION is made of: its hash, or the number of a promoted version, which learnt from it."""
    from evergreen.judging.promotions import require_promoted
    from evergreen.storage.data_files import find_data, list_files, write_dvc
    from evergreen.storage.removals import tell_removed
    from evergreen.storage.stores import stores_of

    stores = stores_of(get_model_folder(model_id, model_roots()), standing_lake())
    data = find_data(stores, require_promoted(stores, int(version)).data if version.isdecimal() else version)
    say(f"data {data.id}: {len(data.partitions)} partitions, as of batch {data.as_of}")
    for line in tell_removed(stores.ledger, data.partitions):
        say(f"  {line}")
    files = list(list_files(stores, data)) if as_files or dvc is not None else []
    for one in files if as_files else ():
        say(f"{one.sha256}  {one.size:>10}  {one.uri}")
    for part in data.partitions if not as_files else ():
        say(f"  {part.table} {part.batch}, revision {part.revision}: content {part.content}")
    if dvc is not None:
        write_dvc(dvc, files)
        say(f"{dvc}: {len(files)} files")


def main() -> None:
    """Run the command line; an error that Evergreen raises on purpose is told in its own words."""
    # Libraries make a million objects that stay: to look through them so often would take a tenth of the CPU.
    gc.set_threshold(50_000, 20, 20)
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
    except OSError as error:
        from evergreen.storage.full_disk import is_full

        if error.filename is None and not is_full(error):
            raise
        console.print(f"{error.filename or 'a file'}: cannot be read or written: {error.strerror}", style="red")
        sys.exit(2)


if __name__ == "__main__":
    main()
