"""MLflow's place: a connection says where, without one the environment does, and one that was named must be there."""

import json
import os
from dataclasses import replace

import pytest
from airflow.exceptions import AirflowNotFoundException

from airflow_evergreen.hooks.tracking import MlflowHook
from evergreen.errors import ConfigInvalid, Outage


@pytest.fixture
def connect(monkeypatch):
    """Give MLflow a connection of the default name."""
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)

    def connect(name="MLFLOW_DEFAULT", extra=None, uri=None, **fields):
        said = {"conn_type": "mlflow", **fields} | ({"extra": json.dumps(extra)} if extra else {})
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", uri or json.dumps(said))

    return connect


@pytest.mark.parametrize(
    ("fields", "uri"),
    [
        ({"host": "mlflow", "port": 5000}, "http://mlflow:5000"),
        ({"host": "mlflow"}, "http://mlflow"),
        ({"host": "mlflow.example.com", "schema": "https"}, "https://mlflow.example.com"),
        ({"host": "https://mlflow.example.com"}, "https://mlflow.example.com"),
        ({"host": "https://mlflow.example.com", "port": 8443}, "https://mlflow.example.com:8443"),
        ({"host": "mlflow", "extra": {"tracking_uri": "sqlite:////srv/mlflow.db"}}, "sqlite:////srv/mlflow.db"),
        ({"uri": "http://mlflow:5000"}, "http://mlflow:5000"),
        ({"uri": "mlflow://https%3A%2F%2Fmlflow.example.com"}, "https://mlflow.example.com"),
        ({"uri": "https://mlflow.example.com"}, "https://mlflow.example.com"),
    ],
)
def test_a_connection_says_where(fields, uri, connect, deployment):
    connect(**fields)
    found = MlflowHook().locate(deployment)
    assert found.tracking_uri == uri
    assert found.artifacts is None
    assert found.lake == deployment.lake


def test_credentials_go_where_the_client_looks(connect, deployment):
    connect(host="mlflow", login="ada", password="secret")
    MlflowHook().locate(deployment)
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == "ada"
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "secret"


def test_without_credentials_the_environment_keeps_its_own(connect, deployment, monkeypatch):
    connect(host="mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "carol")
    MlflowHook().locate(deployment)
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == "carol"


def test_without_a_connection_the_environment_says_where(deployment):
    assert MlflowHook().locate(deployment) is deployment


@pytest.mark.parametrize("uri", [None, ""])
def test_beside_a_shared_lake_no_server_at_all_is_an_outage(uri, deployment, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    if uri is not None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(Outage, match=r"mlflow_default.*MLFLOW_TRACKING_URI.*s3://lake"):
        MlflowHook().locate(replace(deployment, lake="s3://lake"))
    assert MlflowHook().locate(deployment) is deployment


def test_a_connection_that_was_named_must_be_there(deployment):
    with pytest.raises(AirflowNotFoundException, match="mlflow_prod"):
        MlflowHook("mlflow_prod").locate(deployment)


def test_another_connection_goes_over_the_default_one(connect, deployment):
    connect(host="mlflow")
    connect("MLFLOW_PROD", host="prod")
    assert MlflowHook("mlflow_prod").locate(deployment).tracking_uri == "http://prod"


def test_a_connection_that_says_no_place_is_refused(connect, deployment):
    connect(login="ada")
    with pytest.raises(ConfigInvalid, match=r"mlflow_default: host: missing.*tracking_uri"):
        MlflowHook().locate(deployment)


@pytest.mark.parametrize(
    ("extra", "tracking", "page"),
    [
        (None, "http://mlflow:5000", "http://mlflow:5000/#/models/dev.taxi"),
        (None, "http://mlflow:5000/", "http://mlflow:5000/#/models/dev.taxi"),
        (None, "sqlite:////srv/mlflow.db", ""),
        ({"ui": "https://models.example.com/"}, "http://mlflow:5000", "https://models.example.com/#/models/dev.taxi"),
    ],
)
def test_a_page_stands_on_the_server_that_people_use(extra, tracking, page, connect, deployment):
    connect(host="mlflow", extra={"tracking_uri": tracking, **(extra or {})})
    hook = MlflowHook()
    assert hook.page(hook.locate(deployment), "#/models/dev.taxi") == page


def test_a_page_without_a_connection_is_on_the_environments_server(deployment):
    assert MlflowHook().page(deployment, "#/x") == "http://127.0.0.1:1/#/x"


def test_the_client_asks_the_connections_server(connect):
    connect(host="127.0.0.1", port=1)
    assert MlflowHook().get_conn().tracking_uri == "http://127.0.0.1:1"
