"""What Airflow tells us: a DAG file that it cannot read any more, a run that has ended."""

from pathlib import Path
from typing import Any

from airflow.listeners import hookimpl

# The task that says, in a sentence, what a run of each kind of DAG has come to.
TELLS = dict.fromkeys(("batch", "drift", "retrain"), "send_alerts") | {
    "rollback": "rollback_model",
    "reingest": "reingest_batch",
    "rescore": "rescore_batches",
    "reproduce": "reproduce_model",
    "arms": "try_challenger",
    "forget": "forget_rows",
    "acknowledge": "acknowledge_incident",
}
# Under which a task that has failed keeps why.
FAILURE = "failure"
# A note of ours is signed, so that it can be told from a person's.
_AUTHOR = "evergreen"
# Characters that a note's column takes.
_LONGEST = 1000


@hookimpl
def on_new_dag_import_error(filename: str, stacktrace: str) -> None:
    """Tell the deployment's sinks, once, of a DAG file with Evergreen's DAGs or operators that cannot be imported.

    :param filename: path of the DAG file.
    :param stacktrace: the error with its trace; its last line names it.
    """
    # Both take their time, which every process that reads the plugin would wait for.
    from airflow_evergreen.alerts import deployment_sinks, tell_at_once
    from evergreen.sinks import Message

    try:
        if "evergreen" not in Path(filename).read_text(encoding="utf-8", errors="replace"):
            return
    except OSError:
        # A file that cannot be read may have been one of ours.
        pass
    error = stacktrace.strip().rpartition("\n")[2][:600]
    message = Message(
        "evergreen",
        f"import-error.{Path(filename).name}",
        "opened",
        "",
        f"The DAG file {filename} cannot be imported: {error}.",
        1,
        "Evergreen",
        done="Its DAGs are missing until it can.",
        todo="Mend the file. Airflow's page of import errors has the trace, and is empty then.",
        heading="a DAG file cannot be imported",
    )
    tell_at_once(message, deployment_sinks())


@hookimpl
def on_dag_run_success(dag_run: Any) -> None:
    """Write what a run of ours has come to into its note.

    :param dag_run: as the scheduler has it, in its session.
    """
    _write_note(dag_run)


@hookimpl
def on_dag_run_failed(dag_run: Any) -> None:
    """The same of a run that failed, such as that of a batch that was rejected."""
    _write_note(dag_run)


def _write_note(dag_run: Any) -> None:
    """Copy the sentence that a task of the run has returned, or why it failed; a note that a person wrote stays.

    Airflow has no other way: a task may not write a note, and the scheduler, which may, should ask neither ledger nor
    network. So it reads one row of its own database, within the transaction that it has. A savepoint of the connection
    undoes what goes wrong; one of the session would count as a commit, which breaks the scheduler's locks.
    """
    from airflow.models.dagrun import DagRunNote
    from airflow.models.xcom import XComModel
    from sqlalchemy import insert, select, update
    from sqlalchemy.orm import object_session

    session, tells = object_session(dag_run), TELLS.get(dag_run.dag_id.rpartition("__")[2])
    if session is None or tells is None:
        return
    session.flush()
    key = {"dag_run_id": dag_run.id, "task_id": tells, "map_index": -1}
    with (connection := session.connection()).begin_nested():
        found = connection.execute(select(XComModel.key, XComModel.value).filter_by(**key)).all()
        kept: dict[str, Any] = dict(map(tuple, found))
        made = kept.get("return_value")
        outcome = made.get("outcome") if isinstance(made, dict) else kept.get(FAILURE)
        signed = connection.execute(select(DagRunNote.user_id).filter_by(dag_run_id=dag_run.id)).first()
        if outcome and (signed is None or signed[0] == _AUTHOR):
            note = {"content": str(outcome)[:_LONGEST]}
            connection.execute(
                insert(DagRunNote).values(dag_run_id=dag_run.id, user_id=_AUTHOR, **note)
                if signed is None
                else update(DagRunNote).filter_by(dag_run_id=dag_run.id).values(**note)
            )
    session.expire(dag_run, ["dag_run_note"])
