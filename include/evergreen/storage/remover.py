"""Removing: bytes that are to be gone from the lake, and not only from a table's newest version."""

import io
from collections.abc import Callable, Iterator

import obstore
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError
from obstore.exceptions import NotFoundError

from evergreen.config.locations import Locations
from evergreen.records import VIEWS
from evergreen.storage.damage import readable
from evergreen.storage.objects import delta_options, open_store, reached

_KEYED = ["batch", "revision"]


class Remover:
    """What lies in the lake of one model, to be looked through and removed.

    :param at: where the deployment keeps its state.
    :param model_id: the model.
    """

    def __init__(self, at: Locations, model_id: str) -> None:
        self._lake, self._own = at.lake.rstrip("/"), f"{at.env}/{model_id}"

    def tables(self) -> list[str]:
        """The model's tables that have a partition for each revision of each batch."""
        uri = f"{self._lake}/tables"
        with reached(uri):
            folders = obstore.list_with_delimiter(open_store(uri), prefix=self._own)["common_prefixes"]
        names = [str(folder).rpartition("/")[2] for folder in folders]
        return sorted(name for name in names if self._is_keyed(name))

    def partitions(self, table: str) -> list[tuple[str, int]]:
        """Batch and revision of each partition of a table."""
        with readable(self._uri(table)):
            return sorted((one["batch"], int(one["revision"])) for one in self._open(table).partitions())

    def drop_before(self, table: str, batch: str) -> None:
        """Remove all partitions of batches before one from a table, and their files."""
        with readable(self._uri(table)):
            if any(one < batch for one, _ in self.partitions(table)):
                self._open(table).delete(f"batch < '{batch}'")
            self._drop(table, (path for path in self._dead(table) if _batch_of(path) < batch))

    def purge(self, table: str, holds: Callable[[pa.Table], bool]) -> None:
        """Remove the files of a table's earlier versions, and of writes that were killed, that hold certain rows.

        :param holds: whether rows, with or without batch and revision, are such ones.
        """
        with readable(self._uri(table)):
            store = open_store(self._uri(table))
            self._drop(table, (path for path in self._dead(table) if holds(_read(store, path))))

    def raw_files(self, batches: set[str]) -> Iterator[str]:
        """Paths of the raw files of some batches, below the model's own."""
        for feed in ("rows", "labels"):
            for batch in sorted(batches):
                yield from self._list("raw", f"{feed}/{batch}")

    def raw_batches(self) -> set[str]:
        """The batches that have raw files."""
        return {path.split("/")[1] for path in self._list("raw")}

    def drop_statistics(self, is_old: Callable[[str, str], bool]) -> None:
        """Remove statistics that were kept beside large batches; whoever needs them counts again.

        :param is_old: whether those of a table and a batch go.
        """
        for path in list(self._list("statistics")):
            table, _, name = path.rpartition("/")
            if is_old(table, name.partition(".")[0]):
                self.drop("statistics", path)

    def reports(self) -> list[str]:
        """Names of the model's reports."""
        return list(self._list("reports"))

    def drop(self, kind: str, path: str) -> None:
        """Remove one file, if it is there.

        :param kind: raw, reports or statistics.
        """
        with reached(f"{kind} {path}"):
            try:
                obstore.delete(open_store(f"{self._lake}/{kind}"), f"{self._own}/{path}")
            except (FileNotFoundError, NotFoundError):
                return

    def _list(self, kind: str, below: str = "") -> Iterator[str]:
        prefix = f"{self._own}/{below}".rstrip("/")
        with reached(f"{self._lake}/{kind}"):
            for chunk in obstore.list(open_store(f"{self._lake}/{kind}"), prefix=prefix):
                yield from (str(one["path"]).removeprefix(f"{self._own}/") for one in chunk)

    def _uri(self, table: str) -> str:
        owner = self._own.rpartition("/")[0] if table.startswith(VIEWS) else self._own
        return f"{self._lake}/tables/{owner}/{table}"

    def _open(self, table: str) -> DeltaTable:
        return DeltaTable(self._uri(table), storage_options=delta_options(self._uri(table)))

    def _is_keyed(self, table: str) -> bool:
        try:
            with readable(self._uri(table)):
                return list(self._open(table).metadata().partition_columns) == _KEYED
        except TableNotFoundError:
            return False

    def _dead(self, table: str) -> list[str]:
        """Files of rows that no longer are the table's newest version, or never were in one."""
        live = set(pa.table(self._open(table).get_add_actions(flatten=True)).column("path").to_pylist())
        listed = (str(one["path"]) for chunk in obstore.list(open_store(self._uri(table))) for one in chunk)
        return [path for path in listed if path.startswith("batch=") and path not in live]

    def _drop(self, table: str, paths: Iterator[str]) -> None:
        for path in list(paths):
            obstore.delete(open_store(self._uri(table)), path)


def _batch_of(path: str) -> str:
    return path.split("/")[0].removeprefix("batch=")


def _read(store: obstore.store.ObjectStore, path: str) -> pa.Table:
    return pq.ParquetFile(io.BytesIO(bytes(obstore.get(store, path).bytes()))).read()
