"""Files or a query outside any model folder, probed for completeness."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException

from evergreen.batches import Calendar
from evergreen.config.feeds_config import FilesConfig
from evergreen.errors import ExtraMissing, Outage, Refused, needs_extra
from evergreen.sources.landing import ProbeResult, group_files, judge_completeness, probe_files


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

    def probe(self, calendar: Calendar, batch: str, before: ProbeResult | None) -> ProbeResult:
        """Probe once.

        :raises Outage: if the store or the database did not answer.
        :raises Refused: if the database refuses the query, or the connection's provider is not installed.
        """
        if self.sql is not None:
            return self._ask()
        files = FilesConfig.model_validate({"files": self.files, "complete": self.complete})
        assert self.location is not None
        if not self.location.startswith("s3://"):
            return probe_files(Path(self.location), files, calendar, batch, before)
        sizes = self._list()
        names = group_files(sizes, files, calendar).get(batch, [])
        found = {name: sizes[name] for name in names}
        return judge_completeness(found, sizes.__contains__, self.location, files, calendar, batch, before)

    def _ask(self) -> ProbeResult:
        from evergreen.sources.querying import refuses_query

        connection, asked = BaseHook.get_connection(str(self.conn_id)), f"connection {self.conn_id}, {self.sql}"
        try:
            hook = connection.get_hook()
        except (ImportError, AirflowException) as error:
            wanted = f"the provider of {connection.conn_type} connections and 'airflow-provider-evergreen[sql]'"
            raise ExtraMissing(f"{asked}: {error}; pip install {wanted}") from error
        try:
            row = hook.get_first(self.sql)
        except Exception as error:
            if refuses_query(error):
                raise Refused(f"{asked}: the database refuses it: {error}; mend the query") from error
            raise Outage(f"{asked}: {error}", f"connection {self.conn_id}") from error
        value = row[0] if row else None
        return ProbeResult(bool(value), f"{asked}: first value {value!r}", ())

    def _list(self) -> dict[str, int]:
        """Names below an S3 location with their sizes."""
        with needs_extra("amazon", f"{self.location} by connection {self.conn_id}"):
            from airflow.providers.amazon.aws.hooks.s3 import S3Hook

        bucket, _, prefix = str(self.location).removeprefix("s3://").partition("/")
        prefix = f"{prefix.rstrip('/')}/" if prefix else ""
        try:
            hook = S3Hook(aws_conn_id=self.conn_id)
            listed = list(hook.iter_file_metadata(prefix=prefix, bucket_name=bucket))
        except Exception as error:
            raise Outage(
                f"{self.location} by connection {self.conn_id}: {error}", f"connection {self.conn_id}"
            ) from error
        return {one["Key"].removeprefix(prefix): one["Size"] for one in listed}
