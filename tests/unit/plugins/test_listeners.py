"""By Airflow's own call a DAG file that cannot be imported any more is told, and a run that has ended gets its note."""

from datetime import UTC, datetime

import pytest
from airflow.listeners.listener import get_listener_manager
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.xcom import XComModel
from airflow.utils import db
from airflow.utils.session import create_session
from airflow.utils.sqlalchemy import prohibit_commit
from sqlalchemy import text
from sqlalchemy.orm import object_session

from airflow_evergreen.listeners import FAILURE
from airflow_evergreen.plugin import EvergreenPlugin
from tests.fake_slack import fake_slack

TRACE = "Traceback (most recent call last):\n  File x, line 1\nImportError: cannot import name 'buid_dags'\n"


@pytest.fixture
def slack(monkeypatch):
    """The deployment's Slack."""
    with fake_slack() as slack:
        monkeypatch.setenv("AIRFLOW_CONN_OPS", slack.api)
        monkeypatch.setenv("EVERGREEN_ALERTS_SLACK", "ops")
        monkeypatch.setenv("EVERGREEN_ALERTS_CHANNEL", "#ops")
        yield slack


@pytest.mark.parametrize(
    ("content", "told"), [("from airflow_evergreen import buid_dags", 1), ("import nothing_of_ours", 0), (None, 1)]
)
def test_a_dag_file_of_ours_that_cannot_be_imported_is_told(content, told, slack, tmp_path):
    file = tmp_path / "evergreen_dags.py"
    if content is not None:
        file.write_text(content)
    manager = get_listener_manager()
    for listener in EvergreenPlugin.listeners:
        manager.add_listener(listener)
    manager.hook.on_new_dag_import_error(filename=str(file), stacktrace=TRACE)
    assert len(slack.messages) == told
    for said in slack.messages:
        assert said.body["channel"] == "#ops"
        assert str(file) in said.body["blocks"][2]["text"]["text"]
        assert "ImportError: cannot import name 'buid_dags'" in said.body["blocks"][2]["text"]["text"]


@pytest.fixture
def ended():
    """A run of a DAG that has ended, in a session of Airflow's database, and what its last task has returned."""
    db.initdb()
    for listener in EvergreenPlugin.listeners:
        get_listener_manager().add_listener(listener)
    with create_session() as session:

        def end(dag_id, returned, note=None, task_id="send_alerts", key="return_value"):
            session.merge(DagBundleModel(name="dags"))
            session.flush()
            session.merge(DagModel(dag_id=dag_id, bundle_name="dags"))
            session.flush()
            run = DagRun(dag_id=dag_id, run_id="one", run_type="manual", run_after=datetime.now(UTC), state="failed")
            run.note = note
            session.add(run)
            session.flush()
            task = {"dag_id": dag_id, "task_id": task_id, "run_id": "one", "map_index": -1, "dag_run_id": run.id}
            # What the note is made of, without the task instance that a scheduler would have made.
            session.execute(text("PRAGMA defer_foreign_keys=ON"))
            session.add(XComModel(key=key, value=returned, **task))
            session.flush()
            return run

        yield end
        session.rollback()


SAID = {"told": 0, "failed": 0, "outcome": "2024-01-08: rejected, PULocationID: no such column"}


@pytest.mark.parametrize(
    ("dag_id", "returned", "note", "left"),
    [
        ("taxi__batch", SAID, None, SAID["outcome"]),
        ("taxi__retrain", SAID | {"outcome": "x" * 2000}, None, "x" * 1000),
        ("taxi__batch", SAID, ("of an earlier try", "evergreen"), SAID["outcome"]),
        ("taxi__batch", SAID, ("looked at it, all is well", "7"), "looked at it, all is well"),
        ("taxi__batch", {"told": 0, "failed": 0}, None, None),
        ("taxi__batch", "elsewhere://value", None, None),
        ("theirs", SAID, None, None),
    ],
)
def test_a_run_that_ends_has_its_outcome_for_a_note(dag_id, returned, note, left, ended):
    run = ended(dag_id, returned, note)
    # As the scheduler does, which breaks its locks if anything commits.
    with prohibit_commit(object_session(run)):
        run.notify_dagrun_state_changed(msg="task_failure")
        assert run.note == left


def test_a_lever_that_has_acted_says_so_in_the_note(ended):
    outcome = "2024-01-08 to 2024-01-14: 7 of 7 batches read as scored again; a late tariff"
    run = ended("taxi__rescore", {"rows": 1200, "outcome": outcome}, task_id="rescore_batches")
    with prohibit_commit(object_session(run)):
        run.notify_dagrun_state_changed(msg="success")
        assert run.note == outcome


def test_a_lever_that_was_refused_says_why_in_the_note(ended):
    why = "refused: model taxi: version 7 is unknown; promoted were 1, 2"
    run = ended("taxi__rollback", why, task_id="rollback_model", key=FAILURE)
    with prohibit_commit(object_session(run)):
        run.notify_dagrun_state_changed(msg="task_failure")
        assert run.note == why
