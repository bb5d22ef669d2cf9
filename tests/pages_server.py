"""Airflow's own API server in this process, with the pages, for tests and benches."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from airflow.api_fastapi.app import create_app, purge_cached_app
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.utils import db
from airflow.utils.session import create_session
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.serving_server import serving

Get = Callable[..., httpx.Response]
Runs = Iterable[tuple[str, str, dict[str, str]]]


class GuestsSeeOneModel(SimpleAuthManager):
    """Airflow's simple auth manager, but that a guest may read the DAGs of the model ``small`` alone, and no logs."""

    def is_authorized_dag(self, *, user: Any, access_entity: Any = None, details: Any = None, **kwargs: Any) -> bool:
        """Whether a user may act on a DAG."""
        theirs = details is not None and (details.id or "").startswith("small__") and access_entity is None
        if user.username == "guest" and not theirs:
            return False
        return super().is_authorized_dag(user=user, access_entity=access_entity, details=details, **kwargs)


@contextmanager
def serve_pages(home: Path, models: Path, dag_ids: Iterable[str], runs: Runs = ()) -> Iterator[Get]:
    """The server over a home; yields what asks it for a page as a user, ``admin`` or ``guest``, or None, and with a
    conf for a run at an address of Airflow's API.

    :param home: EVERGREEN_HOME.
    :param models: the folder of model folders.
    :param dag_ids: the DAGs that Airflow knows of.
    :param runs: DAG, run id and conf of runs that it knows of.
    """
    with _make_app(home, models, dag_ids, runs) as app, TestClient(app) as client:
        yield _asking(client)


@contextmanager
def listen_with_pages(home: Path, models: Path, dag_ids: Iterable[str], runs: Runs = ()) -> Iterator[tuple[str, str]]:
    """The same on a port of its own, for a browser; yields its address and the token of ``admin``."""
    with _make_app(home, models, dag_ids, runs) as app, serving(app) as client:
        answer = client.post("/auth/token", json={"username": "admin", "password": "word"})
        yield str(client.base_url).rstrip("/"), answer.json()["access_token"]


@contextmanager
def _make_app(home: Path, models: Path, dag_ids: Iterable[str], runs: Runs) -> Iterator[FastAPI]:
    passwords = home / "passwords.json"
    passwords.write_text(json.dumps({"admin": "word", "guest": "word"}))
    settings = {
        "AIRFLOW__CORE__AUTH_MANAGER": f"{__name__}.GuestsSeeOneModel",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,guest:viewer",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__API_AUTH__JWT_SECRET": "of tests, long enough for its algorithm: " + "x" * 64,
        "EVERGREEN_HOME": str(home),
        "EVERGREEN_MODELS": str(models),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        db.initdb()
        _know(dag_ids, runs)
        purge_cached_app()
        yield create_app(apps="core")
        purge_cached_app()


def _know(dag_ids: Iterable[str], runs: Runs) -> None:
    with create_session() as session:
        session.merge(DagBundleModel(name="dags"))
        session.flush()
        for dag_id in dag_ids:
            session.merge(DagModel(dag_id=dag_id, bundle_name="dags"))
        session.flush()
        for dag_id, run_id, conf in runs:
            now = datetime.now(UTC)
            session.add(DagRun(dag_id=dag_id, run_id=run_id, conf=conf, run_type="manual", run_after=now))


def _asking(client: TestClient) -> Get:
    tokens: dict[str, str] = {}

    def ask(path: str, user: str | None = "admin", conf: dict[str, str] | None = None) -> httpx.Response:
        client.cookies.clear()
        if user is None:
            return client.get(f"/evergreen{path}")
        if user not in tokens:
            answer = client.post("/auth/token", json={"username": user, "password": "word"})
            tokens[user] = answer.json()["access_token"]
        headers = {"Authorization": f"Bearer {tokens[user]}"}
        if conf is not None:
            return client.post(path, json={"logical_date": None, "conf": conf}, headers=headers)
        return client.get(f"/evergreen{path}", headers=headers)

    return ask
