"""What lies in the lake beside its tables: raw files, statistics of large batches, reports."""

import glob
import io

import obstore
from obstore.exceptions import NotFoundError

from evergreen.errors import SourceChanged
from evergreen.records import Partition
from evergreen.storage.objects import find_object, flush_files, open_store, reached
from evergreen.storage.pieces import StoredFile


class LakeFiles:
    """The files of one model.

    :param uri: the lake's URI or folder.
    :param env: the deployment's name.
    :param model_id: the model.
    """

    def __init__(self, uri: str, env: str, model_id: str) -> None:
        self._raw = f"{env}/{model_id}"
        self._raw_uri = f"{uri.rstrip('/')}/raw"
        self._store = open_store(self._raw_uri)
        self._reports = open_store(f"{uri.rstrip('/')}/reports")
        self._statistics = open_store(f"{uri.rstrip('/')}/statistics")

    def put_raw(self, path: str, content: bytes) -> str:
        """Keep a file as it came; returns its path in the lake."""
        with reached(f"raw file {path}"):
            obstore.put(self._store, f"{self._raw}/{path}", io.BytesIO(content))
            flush_files(self._raw_uri, glob.escape(f"{self._raw}/{path}"))
        return path

    def get_raw(self, path: str) -> bytes:
        """A file as it came.

        :raises SourceChanged: if it is gone.
        """
        content = find_object(self._store, f"{self._raw}/{path}", f"raw file {path}")
        if content is None:
            raise SourceChanged(f"raw file {path} is gone from the lake; restore it")
        return content

    def open_raw(self, path: str) -> StoredFile:
        """A file as it came, to be read range by range.

        :raises SourceChanged: if it is gone.
        """
        try:
            with reached(f"raw file {path}"):
                return StoredFile(self._store, f"{self._raw}/{path}")
        except (FileNotFoundError, NotFoundError) as error:
            raise SourceChanged(f"raw file {path} is gone from the lake; restore it") from error

    def put_statistics(self, partition: Partition, content: bytes) -> None:
        """Keep the statistics of a partition."""
        with reached(f"statistics of {_statistics_path(partition)}"):
            obstore.put(self._statistics, f"{self._raw}/{_statistics_path(partition)}", content)

    def get_statistics(self, partition: Partition) -> bytes | None:
        """The statistics of a partition; None where none are kept."""
        path = _statistics_path(partition)
        return find_object(self._statistics, f"{self._raw}/{path}", f"statistics of {path}")

    def put_report(self, name: str, content: str) -> str:
        """Keep an HTML report; returns its path below the lake."""
        with reached(f"report {name}"):
            obstore.put(self._reports, f"{self._raw}/{name}", content.encode())
        return f"reports/{self._raw}/{name}"

    def get_report(self, name: str) -> str | None:
        """An HTML report, None where there is none of the name."""
        content = find_object(self._reports, f"{self._raw}/{name}", f"report {name}")
        return content.decode() if content is not None else None


def _statistics_path(partition: Partition) -> str:
    """Below the model: by what names the rows, so that other rows never have them."""
    content = partition.content.replace(":", "-")
    return f"{partition.table}/{partition.batch}.{partition.revision}.{content}.arrows"
