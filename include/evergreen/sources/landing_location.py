"""Landing locations, where files arrive: a folder, or a prefix in an object store such as S3."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import obstore
from obstore.exceptions import NotFoundError

from evergreen.errors import NotReady, Outage
from evergreen.storage.objects import open_store, reached


class LandingLocation(Protocol):
    """What is asked of a landing location; names are relative to it."""

    def names(self) -> Iterator[str]:
        """Names of all files below it."""

    def size(self, name: str) -> int:
        """Bytes of a file."""

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""

    def read(self, name: str) -> bytes:
        """A file whole; NotReady if it changed meanwhile."""


class Folder(LandingLocation):
    """A folder, on this machine or mounted."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> Iterator[str]:
        # It may hold years of files: no stat, no Path for each.
        for folder, _, names in os.walk(self._path):
            below = Path(folder).relative_to(self._path).as_posix()
            yield from names if below == "." else (f"{below}/{name}" for name in names)

    def size(self, name: str) -> int:
        return self._stat(name).st_size

    def exists(self, name: str) -> bool:
        return (self._path / name).exists()

    def read(self, name: str) -> bytes:
        path, before = self._path / name, self._stat(name)
        content = path.read_bytes()
        after = self._stat(name)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(content) != after.st_size:
            raise NotReady(f"{path} changed while it was read ({before.st_size} to {after.st_size} bytes); wait for it")
        return content

    def _stat(self, name: str) -> os.stat_result:
        try:
            return (self._path / name).stat()
        except FileNotFoundError as error:
            raise NotReady(f"{self._path / name} is gone since it was listed; deliver it again") from error


class Bucket(LandingLocation):
    """A prefix in an object store; an object is replaced whole, so none is ever half written.

    One listing answers for names and sizes; a location is opened anew for each probe.
    """

    def __init__(self, uri: str) -> None:
        self._uri, self._store = uri, open_store(uri)
        self._sizes: dict[str, int] | None = None

    def names(self) -> Iterator[str]:
        yield from self._listed()

    def size(self, name: str) -> int:
        return self._listed()[name]

    def exists(self, name: str) -> bool:
        return name in self._listed()

    def read(self, name: str) -> bytes:
        try:
            with reached(f"{self._uri}/{name}"):
                return bytes(obstore.get(self._store, name).bytes())
        except (FileNotFoundError, NotFoundError) as error:
            raise NotReady(f"{self._uri}/{name} is gone since it was listed; deliver it again") from error

    def _listed(self) -> dict[str, int]:
        if self._sizes is None:
            try:
                with reached(self._uri):
                    chunks = list(obstore.list(self._store))
            except NotFoundError as error:
                raise Outage(f"{self._uri}: no such bucket, or not yet; create it") from error
            self._sizes = {one["path"]: one["size"] for chunk in chunks for one in chunk}
        return self._sizes


def open_landing_location(location: str | Path) -> LandingLocation:
    """The landing location at a URI or folder."""
    text = str(location)
    if "://" in text and not text.startswith("file://"):
        return Bucket(text.rstrip("/"))
    return Folder(Path(text.removeprefix("file://")))
