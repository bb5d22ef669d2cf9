"""Links: to the page that a task returned, and to none where it returned none."""

import sys
from types import SimpleNamespace

import pytest
from airflow.sdk.execution_time.xcom import XCom

from airflow_evergreen.links import MlflowLink
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


@pytest.mark.parametrize("operator", [TrainModelOperator, RegisterModelOperator])
def test_what_makes_something_in_mlflow_leads_there(operator):
    assert [link.name for link in operator.operator_extra_links] == ["MLflow"]


def test_the_plugin_lists_the_link_so_that_the_api_server_knows_it():
    from evergreen_plugin import EvergreenPlugin

    assert [type(link) for link in EvergreenPlugin.operator_extra_links] == [MlflowLink]


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
