"""A Spark cluster's place: a connection says where, and without one the environment does."""

import json
from dataclasses import replace

import pytest

from airflow_evergreen.hooks.spark_connect import SparkConnectHook
from airflow_evergreen.operators import step
from airflow_evergreen.operators.score_batch import ScoreBatchOperator
from evergreen.errors import ConfigInvalid


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ({"host": "spark", "port": 15002}, "sc://spark:15002/"),
        ({"host": "sc://spark", "port": 15002}, "sc://spark:15002/"),
        (
            {"host": "spark.example.com", "port": 443, "login": "ada", "password": "a;b", "extra": {"use_ssl": True}},
            "sc://spark.example.com:443/;user_id=ada;token=a%3Bb;use_ssl=true",
        ),
    ],
)
def test_a_connection_says_where(fields, address, monkeypatch, deployment):
    said = {"conn_type": "spark_connect", **fields} | ({"extra": json.dumps(fields.get("extra", {}))})
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_CONNECT_DEFAULT", json.dumps(said))
    assert SparkConnectHook().locate(deployment) == replace(deployment, spark=address)


def test_what_it_says_is_understood_by_the_client(monkeypatch, deployment):
    client = pytest.importorskip("pyspark.sql.connect.client")
    said = {"conn_type": "generic", "host": "h", "port": 1, "password": "a;b=c", "extra": '{"use_ssl": true}'}
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_CONNECT_DEFAULT", json.dumps(said))
    builder = client.DefaultChannelBuilder(SparkConnectHook().locate(deployment).spark)
    assert (builder.endpoint, builder.token, builder.secure) == ("h:1", "a;b=c", True)


def test_without_a_connection_the_environment_says_it(monkeypatch, deployment):
    there = replace(deployment, spark="sc://elsewhere:15002")
    assert SparkConnectHook().locate(there) is there


def test_one_without_a_host_is_told(monkeypatch, deployment):
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_CONNECT_DEFAULT", '{"conn_type": "spark_connect"}')
    with pytest.raises(ConfigInvalid, match="connection spark_connect_default: host: missing"):
        SparkConnectHook().locate(deployment)


@pytest.mark.parametrize(("engine", "address"), [("spark", "sc://spark:15002/"), ("local", "")])
def test_a_task_asks_for_it_where_config_does(engine, address, monkeypatch, model, context_of):
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_CONNECT_DEFAULT", '{"conn_type": "generic", "host": "spark", "port": 15002}')
    folder = model.replace(model.config.model_copy(update={"engine": engine}))
    monkeypatch.setattr(step, "load_model", lambda name: folder)
    seen = []
    monkeypatch.setattr(ScoreBatchOperator, "run_step", lambda self, model, at, context: seen.append(at.spark) or {})
    ScoreBatchOperator(task_id="score_batch", model_id=model.id).execute(context_of(batch="2024-01-01"))
    assert seen == [address]
