"""Locations: what the environment says, and what stands where it says nothing."""

from pathlib import Path

import pytest

from evergreen.config.locations import Locations, deployment_alerts, model_roots
from evergreen.config.tasks_config import AlertsConfig
from evergreen.errors import ConfigInvalid, Refused

NAMES = ("HOME", "ENV", "LAKE", "LANDING", "MODELS")


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(f"EVERGREEN_{name}", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_everything_lies_below_one_folder_by_default(monkeypatch, tmp_path):
    monkeypatch.setenv("EVERGREEN_HOME", str(tmp_path))
    at = Locations.from_environment()
    assert at == Locations.under(tmp_path)
    assert at.env == "dev"
    assert {at.lake, at.landing} == {str(tmp_path / "lake"), str(tmp_path / "landing")}
    assert at.tracking_uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert at.artifacts == f"file://{tmp_path}/mlflow"


def test_a_relative_home_becomes_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert Locations.from_environment().lake == str(tmp_path / ".evergreen" / "lake")


@pytest.mark.parametrize(
    ("variable", "value", "field"),
    [
        ("EVERGREEN_ENV", "prod", "env"),
        ("EVERGREEN_LAKE", "s3://bucket/lake", "lake"),
        ("EVERGREEN_LANDING", "/mnt/landing", "landing"),
        ("MLFLOW_TRACKING_URI", "http://mlflow:5000", "tracking_uri"),
    ],
)
def test_each_variable_moves_its_own_place(variable, value, field, monkeypatch, tmp_path):
    monkeypatch.setenv("EVERGREEN_HOME", str(tmp_path))
    monkeypatch.setenv(variable, value)
    assert getattr(Locations.from_environment(), field) == value


@pytest.mark.parametrize("env", ["", " ", "../prod", "a/b", "eu west", "prod\n", ".prod"])
def test_an_environment_whose_name_is_none_is_refused_before_a_path_is_made_of_it(env, monkeypatch, tmp_path):
    monkeypatch.setenv("EVERGREEN_HOME", str(tmp_path))
    at = Locations.from_environment()
    monkeypatch.setenv("EVERGREEN_ENV", env)
    for name in (Locations.from_environment, lambda: at.of_environment(env)):
        with pytest.raises(Refused, match=r"EVERGREEN_ENV: found .*; valid: letters"):
            name()


def test_a_server_keeps_its_own_artefacts(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert Locations.from_environment().artifacts is None


def test_model_roots_are_separated_as_paths_are(monkeypatch):
    assert [root.name for root in model_roots()] == ["models"]
    assert (model_roots()[0] / "taxi" / "config.yaml").exists()
    monkeypatch.setenv("EVERGREEN_MODELS", "/a:/b/c:")
    assert model_roots() == [Path("/a"), Path("/b/c")]


def test_the_deployments_alerts_are_told_by_the_environment(monkeypatch):
    assert deployment_alerts() == AlertsConfig()
    monkeypatch.setenv("EVERGREEN_ALERTS_SLACK", "ops")
    monkeypatch.setenv("EVERGREEN_ALERTS_CHANNEL", "")
    assert deployment_alerts() == AlertsConfig(slack="ops")
    monkeypatch.setenv("EVERGREEN_ALERTS_HTTP", "ops.example/x")
    with pytest.raises(ConfigInvalid, match=r"EVERGREEN_ALERTS_\*: http: .*valid: a URL that begins with http"):
        deployment_alerts()
