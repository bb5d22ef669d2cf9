"""MLflow's server, by an Airflow connection."""

import os
from dataclasses import replace
from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from evergreen.config.locations import Locations
from evergreen.errors import ConfigInvalid, Outage


class MlflowHook(BaseHook):
    """Take MLflow's tracking URI and credentials from an Airflow connection.

    The connection's host (with schema and port) is the tracking URI, or ``tracking_uri`` in its extra; login and
    password are the credentials; ``ui`` in its extra is the address that people use, where it is another one.
    Without a connection of the default name, ``MLFLOW_TRACKING_URI`` and its companions hold.

    :param mlflow_conn_id: the connection's id.
    """

    conn_name_attr = "mlflow_conn_id"
    default_conn_name = "mlflow_default"
    conn_type = "mlflow"
    hook_name = "MLflow"

    def __init__(self, mlflow_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.mlflow_conn_id = mlflow_conn_id

    def get_conn(self) -> Any:
        """An ``MlflowClient`` for the server."""
        from mlflow import MlflowClient

        from evergreen.storage.backend_store import prepare_backend_store

        at = self.locate(Locations.from_environment())
        prepare_backend_store(at.tracking_uri, at.artifacts)
        return MlflowClient(at.tracking_uri)

    def locate(self, at: Locations) -> Locations:
        """The same deployment with the connection's tracking URI; its credentials go where MLflow's client looks.

        :raises AirflowNotFoundException: if a connection was named that is not there.
        :raises Outage: if neither connection nor environment names a server, beside a lake that is shared.
        :raises ConfigInvalid: if the connection has no host.
        """
        connection = self._connection()
        if connection is None:
            if "://" in at.lake and not os.environ.get("MLFLOW_TRACKING_URI"):
                raise Outage(
                    f"no connection {self.mlflow_conn_id} was found, and MLFLOW_TRACKING_URI is not set; with a lake "
                    f"at {at.lake}, a registry on this machine alone cannot be meant"
                )
            return at
        if connection.login:
            os.environ["MLFLOW_TRACKING_USERNAME"] = connection.login
            os.environ["MLFLOW_TRACKING_PASSWORD"] = connection.password or ""
        uri = connection.extra_dejson.get("tracking_uri") or _address(connection)
        return replace(at, tracking_uri=uri, artifacts=None)

    def page(self, at: Locations, path: str) -> str:
        """The address of one of MLflow's pages; empty where MLflow is no server.

        :param path: such as ``#/models/dev.taxi``.
        """
        connection = self._connection()
        ui = connection.extra_dejson.get("ui") if connection is not None else None
        base = ui or at.tracking_uri
        return f"{base.rstrip('/')}/{path}" if base.startswith("http") else ""

    def _connection(self) -> Any:
        try:
            return self.get_connection(self.mlflow_conn_id)
        except AirflowNotFoundException:
            if self.mlflow_conn_id != self.default_conn_name:
                raise
            return None


def _address(connection: Any) -> str:
    host = connection.host
    if not host:
        raise ConfigInvalid(
            f"connection {connection.conn_id}", ["host: missing; valid: MLflow's host, or tracking_uri"]
        )
    if "://" not in host:
        # An address given as a URI has its scheme for a type.
        scheme = connection.conn_type if connection.conn_type in ("http", "https") else "http"
        host = f"{connection.schema or scheme}://{host}"
    return f"{host}:{connection.port}" if connection.port else host
