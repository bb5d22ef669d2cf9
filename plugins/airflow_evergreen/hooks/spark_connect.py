"""A Spark cluster, by an Airflow connection."""

from dataclasses import replace
from typing import Any
from urllib.parse import quote

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from evergreen.config.locations import Locations
from evergreen.errors import ConfigInvalid


class SparkConnectHook(BaseHook):
    """Take the address of a Spark Connect server from an Airflow connection.

    Host and port, login as ``user_id`` and password as ``token``, all in its extra, such as ``use_ssl``, as further
    parameters. Airflow's provider for Spark reads a connection of this name alike. Without one ``EVERGREEN_SPARK``
    holds.

    :param spark_conn_id: the connection's id.
    """

    conn_name_attr = "spark_conn_id"
    default_conn_name = "spark_connect_default"
    hook_name = "Spark Connect"

    def __init__(self, spark_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.spark_conn_id = spark_conn_id

    def locate(self, at: Locations) -> Locations:
        """The same deployment with the connection's server.

        :raises ConfigInvalid: if the connection has no host.
        """
        try:
            connection = self.get_connection(self.spark_conn_id)
        except AirflowNotFoundException:
            return at
        if not connection.host:
            raise ConfigInvalid(f"connection {self.spark_conn_id}", ["host: missing; valid: that of Spark Connect"])
        return replace(at, spark=_address(connection))


def _address(connection: Any) -> str:
    host = connection.host.removeprefix("sc://").rstrip("/")
    place = f"sc://{host}:{connection.port}" if connection.port else f"sc://{host}"
    said = {"user_id": connection.login, "token": connection.password, **connection.extra_dejson}
    parameters = [f"{name}={quote(_text(value), safe='')}" for name, value in said.items() if value not in (None, "")]
    return ";".join([f"{place}/", *parameters])


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
