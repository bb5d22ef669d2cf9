"""The commands by which a person acts on a model; each is a DAG and a form on the model's page, too."""

import getpass
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evergreen.config.locations import Locations, model_roots
from evergreen.config.model_folder import get_model_folder
from evergreen.errors import Refused
from evergreen.terminal import say

if TYPE_CHECKING:
    from evergreen.records import Feed


@click.command()
@click.argument("model_id", metavar="MODEL")
@click.argument("batch")
@click.option("--feed", type=click.Choice(["rows", "labels"]), default="rows", help="What to take in again.")
def reingest(model_id: str, batch: str, feed: "Feed") -> None:
    """Take a sealed batch in again, from the files that are there now, and say what that changes."""
    from evergreen.sources.intake import probe_beforehand
    from evergreen.steps.reingest_batch import describe_result, reingest_batch

    model, at = get_model_folder(model_id, model_roots()), standing_lake()
    result = reingest_batch(model, at, batch, feed, probe_beforehand(model, at, feed, batch))
    for line in describe_result(result):
        say(line)
    sys.exit(0 if result.after.state == "published" else 1)


@click.command()
@click.argument("model_id", metavar="MODEL")
@click.argument("first", metavar="FROM")
@click.argument("last", metavar="TO")
@click.option("--version", type=int, help="The version to score with; by default the champion of each batch's time.")
@click.option("--why", "reason", required=True, help="Why; it goes on record.")
def rescore(model_id: str, first: str, last: str, version: int | None, reason: str) -> None:
    """Score the batches FROM to TO again, as a further revision of their predictions; what was predicted then stays."""
    from evergreen.steps.rescore_batches import describe_rescored, rescore_batches

    model, at = get_model_folder(model_id, model_roots()), standing_lake(registry=True)
    why = f"{getpass.getuser()}: {reason}"
    for line in describe_rescored(rescore_batches(model, at, first, last, version, why)):
        say(line)


@click.command()
@click.argument("model_id", metavar="MODEL")
@click.argument("version", type=int, required=False)
@click.option("--why", "reason", required=True, help="Why; it goes on record.")
@click.option("--yes", is_flag=True, help="Do not ask again after the gate was heard.")
def rollback(model_id: str, version: int | None, reason: str, yes: bool) -> None:
    """Put an older version in force again: VERSION, or the one before the champion. The gate is heard first."""
    from evergreen.replay.status import describe_judgement
    from evergreen.steps.rollback_model import plan_rollback, rollback_model

    model, at = get_model_folder(model_id, model_roots()), standing_lake(registry=True)
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


@click.command()
@click.argument("model_id", metavar="MODEL")
@click.option("--challenger", type=int, help="Let this version, which was promoted once, answer beside the champion.")
@click.option("--end", is_flag=True, help="Let the champion answer alone again.")
@click.option("--why", "reason", help="Why; it goes on record. Needed with either.")
def arms(model_id: str, challenger: int | None, end: bool, reason: str | None) -> None:
    """Tell who answers online beside the champion, and what is known of it; or begin or end that."""
    from evergreen.replay.status import describe_arms
    from evergreen.steps.judge_arms import begin_arms, end_arms

    if (challenger is not None) + end != (reason is not None):
        raise click.UsageError("say --challenger VERSION --why …, or --end --why …, or neither to look")
    model, at = get_model_folder(model_id, model_roots()), standing_lake()
    why = f"{getpass.getuser()}: {reason}"
    if challenger is not None:
        begin_arms(model, at, challenger, why)
    elif end:
        end_arms(model, at, why)
    for line in describe_arms(model, at):
        say(line)


@click.command()
@click.argument("model_id", metavar="MODEL")
@click.argument("version", type=int)
@click.option("--why", "reason", required=True, help="Why; it goes on record.")
def reproduce(model_id: str, version: int, reason: str) -> None:
    """Fit a VERSION once more from its record, aside, and say "equal" (exit code 0), or what differs (1)."""
    from evergreen.steps.reproduce_model import describe_reproduced, reproduce_model

    model, at = get_model_folder(model_id, model_roots()), standing_lake(registry=True)
    record = reproduce_model(model, at, version, f"{getpass.getuser()}: {reason}")
    for line in describe_reproduced(model.id, record):
        say(line)
    sys.exit(0 if record.equal else 1)


@click.command()
@click.argument("model_id", metavar="MODEL")
@click.option("--key", "values", multiple=True, required=True, help="What names the rows; once for each column.")
@click.option("--column", "columns", multiple=True, help="The column that it is a value of; by default the key's.")
@click.option("--why", "reason", required=True, help="Why; it goes on record. It must not hold the key.")
def forget(model_id: str, values: tuple[str, ...], columns: tuple[str, ...], reason: str) -> None:
    """Remove a person's rows, labels and predictions from all that is kept, for good; say who had learnt from them."""
    from evergreen.steps.forget_rows import describe_forgotten, forget_rows

    model, at = get_model_folder(model_id, model_roots()), standing_lake()
    why, today = f"{getpass.getuser()}: {reason}", datetime.now(UTC).date()
    for line in describe_forgotten(model.id, forget_rows(model, at, values, columns, today, why)):
        say(line)


@click.command()
@click.argument("model_id", metavar="MODEL")
@click.argument("incident")
@click.option("--why", "reason", required=True, help="Why; it goes on record.")
@click.option("--until", metavar="DAY", help="Leave it open, and tell nothing of it before that day, in UTC.")
def acknowledge(model_id: str, incident: str, reason: str, until: str | None) -> None:
    """Say that an open INCIDENT, such as fault-rows.0, is over, whatever it has cost; or snooze it.

    Its model's folder may be gone.
    """
    from evergreen.incidents import acknowledge as close
    from evergreen.incidents import snooze
    from evergreen.steps.report_outages import report_outages
    from evergreen.storage.stores import models_on_record, open_stores

    at, now = standing_lake(), datetime.now(UTC)
    if model_id not in models_on_record(at):
        get_model_folder(model_id, model_roots())
    ledger, by = open_stores(at, model_id).ledger, getpass.getuser()
    if until is not None:
        quiet = snooze(ledger, incident, by, reason, until, now.date())
        report_outages(model_id, at, now)
        say(f"{quiet.incident}: nothing is told of it until {quiet.until}; then it is, if it is still open")
        return
    over = close(ledger, incident, by, reason)
    report_outages(model_id, at, now)
    say(f"{over.incident} is over: {over.text}; who was told of it is told so by the next run")


@click.command("promote-to")
@click.argument("env")
@click.argument("model_id", metavar="MODEL")
@click.argument("version", type=int)
@click.option("--why", "reason", required=True, help="Why; it goes on record.")
@click.option("--export", type=click.Path(dir_okay=False, path_type=Path), help="Write the file to carry; stop there.")
@click.option("--import", "source", type=click.Path(path_type=Path), help="Take in a file that was carried here.")
@click.option("--sha256", default="", help="Of a file that was carried: what its export has said.")
def promote_to(
    env: str, model_id: str, version: int, reason: str, export: Path | None, source: Path | None, sha256: str
) -> None:
    """Take VERSION over into the environment ENV: it serves there once ENV's own labels say that it should.

    Exit code 0: it serves; 1: ENV's gate refuses it; 2: labels are lacking yet, say, and a later call goes on.
    """
    from evergreen.steps.export_version import export_version
    from evergreen.steps.import_version import describe_imported, import_version
    from evergreen.storage.exported import read_export

    if (source is not None) != bool(sha256) or (source is not None and export is not None):
        raise click.UsageError("say --import FILE --sha256 …, which its export has said, or --export FILE, or neither")
    model, here = get_model_folder(model_id, model_roots()), Locations.from_environment()
    if source is not None:
        exported = read_export(source, sha256)
    else:
        exported = export_version(model, standing_lake(registry=True), version)
    if exported.manifest.version != version:
        raise Refused(f"{source}: holds version {exported.manifest.version}; expected {version}")
    if export is not None:
        exported.write(export)
        say(f"{export}: version {version} of {exported.manifest.env}, sha256 {exported.sha256}")
        return
    target = here if here.env == env else here.of_environment(env)
    result = import_version(model, target, exported, f"{getpass.getuser()}: {reason}")
    for line in describe_imported(model.id, env, result):
        say(line)
    sys.exit(0 if result.promotion is not None else 1)


def standing_lake(registry: bool = False) -> Locations:
    """Where state is kept, for commands that look at what was done before.

    :param registry: whether they also load what was registered.
    """
    from evergreen.storage.stores import require_lake

    at = Locations.from_environment()
    require_lake(at, registry)
    return at


LEVERS = (reingest, rescore, rollback, arms, reproduce, forget, promote_to, acknowledge)
