"""Links: to the page that a task returned, and to none where it returned none."""

import sys
from types import SimpleNamespace

import pytest
from airflow.sdk.execution_time.xcom import XCom

from airflow_evergreen.links import EvidentlyLink, MlflowLink, ModelLink, OutcomeLink
from airflow_evergreen.operators.approve_model import ApproveModelOperator
from airflow_evergreen.operators.check_drift import CheckDriftOperator
from airflow_evergreen.operators.judge_model import JudgeModelOperator
from airflow_evergreen.operators.register_model import RegisterModelOperator
from airflow_evergreen.operators.train_model import TrainModelOperator


@pytest.mark.parametrize(
    ("made", "link"),
    [
        ({"version": 3, "page": "http://mlflow:5000/#/models/dev.taxi"}, "http://mlflow:5000/#/models/dev.taxi"),
        ({"version": 3, "page": ""}, ""),
        ({"version": 3}, ""),
        (None, ""),
        ("http://elsewhere", ""),
    ],
)
def test_the_link_is_the_page_that_the_task_returned(made, link, monkeypatch):
    asked = []
    monkeypatch.setattr(XCom, "get_value", lambda *, ti_key, key: asked.append((ti_key, key)) or made)
    key = SimpleNamespace(task_id="register_model")
    assert MlflowLink().get_link(None, ti_key=key) == link
    assert asked == [(key, "return_value")]


@pytest.mark.parametrize(
    ("operator", "links"),
    [
        (TrainModelOperator, ["MLflow"]),
        (RegisterModelOperator, ["MLflow"]),
        (JudgeModelOperator, ["MLflow", "Outcome", "Model"]),
        (ApproveModelOperator, ["MLflow", "Outcome", "Model"]),
        (CheckDriftOperator, ["Outcome", "Evidently", "Model"]),
    ],
)
def test_a_task_leads_to_what_tells_of_it(operator, links):
    assert [link.name for link in operator.operator_extra_links] == links


def test_while_a_person_is_asked_the_link_is_that_of_what_was_judged(monkeypatch):
    monkeypatch.setattr(XCom, "get_value", lambda *, ti_key, key: None)
    asking = SimpleNamespace(judged={"outcome": "needs approval", "page": "http://mlflow:5000/#/x"})
    assert MlflowLink().get_link(asking, ti_key=None) == "http://mlflow:5000/#/x"


@pytest.mark.parametrize("base", ["", "http://airflow:8080/at/"])
def test_links_to_our_pages_stand_below_airflows_address(base, monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base)
    at, key = base.rstrip("/"), SimpleNamespace(dag_id="taxi__drift", run_id="scheduled__2024-01-03T00:00:00+00:00")
    assert ModelLink().get_link(None, ti_key=key) == f"{at}/dags/taxi__drift/plugin/evergreen-model"
    run = "scheduled__2024-01-03T00%3A00%3A00%2B00%3A00"
    assert OutcomeLink().get_link(None, ti_key=key) == f"{at}/dags/taxi__drift/runs/{run}/plugin/evergreen-run"
    for made, link in (({"drawn": "2024-01-02"}, f"{at}/evergreen/models/taxi/drift/2024-01-02"), ({}, ""), (None, "")):
        monkeypatch.setattr(XCom, "get_value", lambda *, ti_key, key, made=made: made)
        assert EvidentlyLink().get_link(SimpleNamespace(model_id="taxi"), ti_key=key) == link


def test_the_plugin_lists_the_link_so_that_the_api_server_knows_it():
    from evergreen_plugin import EvergreenPlugin

    assert [type(link) for link in EvergreenPlugin.operator_extra_links] == [
        MlflowLink,
        ModelLink,
        OutcomeLink,
        EvidentlyLink,
    ]


def test_airflow_loads_the_plugin_and_none_of_the_files_beside_it():
    from airflow import plugins_manager

    found = [
        plugin
        for plugin in plugins_manager.get_plugin_info(["name"])
        if plugin["name"] == "evergreen" or "step" in plugin["name"]
    ]
    assert [plugin["name"] for plugin in found] == ["evergreen"]
    assert plugins_manager.get_import_errors() == {}
    assert not {"step", "slack_sink", "wait_for_batch"} & set(sys.modules)
