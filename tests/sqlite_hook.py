"""A hook for connections of type sqlite, as its provider has one; the provider is not among our packages."""

import sqlite3
from typing import Any

from airflow.providers.common.sql.hooks.sql import DbApiHook


class SqliteHook(DbApiHook):
    """Open the file that a connection's host names."""

    conn_name_attr = "sqlite_conn_id"
    default_conn_name = "sqlite_default"
    conn_type = "sqlite"

    def get_conn(self) -> Any:
        return sqlite3.connect(self.get_connection(self.get_conn_id()).host)
