"""Files or a query outside any model folder, looked at for completeness."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow.sdk import BaseHook

from include.batches import Calendar
from include.config.feeds import FilesConfig
from include.errors import Outage
from include.sources.landing import Look, group_files, judge_look, look


@dataclass(frozen=True)
class Source:
    """Where a batch arrives.

    :param location: a folder, or ``s3://bucket/prefix``; None for a query.
    :param files: name pattern below the location, such as ``rows_{batch:%Y-%m-%d}*.csv``.
    :param complete: ``{"marker": …}``, ``{"count": …}`` or ``{"stable": "30s"}``, as in config.yaml.
    :param conn_id: AWS connection of an S3 location, or the SQL connection of a query.
    :param sql: a query whose first value is true once the batch is complete.
    """

    location: str | None = None
    files: str | None = None
    complete: dict[str, Any] = field(default_factory=dict)
    conn_id: str | None = None
    sql: str | None = None

    def look(self, calendar: Calendar, batch: str, before: Look | None) -> Look:
        """Look once.

        :raises Outage: if the store or the database did not answer.
        """
        if self.sql is not None:
            return self._ask()
        files = FilesConfig.model_validate({"files": self.files, "complete": self.complete})
        assert self.location is not None
        if not self.location.startswith("s3://"):
            return look(Path(self.location), files, calendar, batch, before)
        sizes = self._list()
        names = group_files(sizes, files, calendar).get(batch, [])
        found = {name: sizes[name] for name in names}
        return judge_look(found, sizes.__contains__, self.location, files, calendar, batch, before)

    def _ask(self) -> Look:
        connection = BaseHook.get_connection(str(self.conn_id))
        try:
            row = connection.get_hook().get_first(self.sql)
        except Exception as error:
            raise Outage(f"connection {self.conn_id}, {self.sql}: {error}") from error
        value = row[0] if row else None
        return Look(bool(value), f"connection {self.conn_id}, {self.sql}: first value {value!r}", ())

    def _list(self) -> dict[str, int]:
        """Names below an S3 location with their sizes."""
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook

        bucket, _, prefix = str(self.location).removeprefix("s3://").partition("/")
        prefix = f"{prefix.rstrip('/')}/" if prefix else ""
        try:
            hook = S3Hook(aws_conn_id=self.conn_id)
            listed = list(hook.iter_file_metadata(prefix=prefix, bucket_name=bucket))
        except Exception as error:
            raise Outage(f"{self.location} by connection {self.conn_id}: {error}") from error
        return {one["Key"].removeprefix(prefix): one["Size"] for one in listed}
