"""A DAG file that cannot be imported any more is told to the deployment's Slack, by Airflow's own call."""

import pytest
from airflow.listeners.listener import get_listener_manager

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
