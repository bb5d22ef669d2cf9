"""Landing locations, where files arrive: a folder, or a prefix in an object store such as S3."""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

import obstore
from obstore.exceptions import InvalidPathError, NotFoundError

from evergreen.config.limits_config import LimitsConfig, megabytes
from evergreen.config.patterns import FilePattern
from evergreen.config.regular_files import Irregular, open_regular
from evergreen.errors import FileRefused, LandingAbsent, NotReady, Outage
from evergreen.storage.objects import open_store, reached

_EXPECTED = "expected a regular file in the landing folder"
# What no record and no line of a log can hold as it is: control characters, bytes that are no UTF-8, and what would be
# taken for the escape of one.
_ODD = re.compile(r"[\x00-\x1f\x7f\udc80-\udcff]|\\(?=x[0-9a-f]{2})")
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")


class LandingLocation(Protocol):
    r"""What is asked of a landing location; names are relative to it, odd bytes in them escapes such as ``\x0a``."""

    def names(self, pattern: FilePattern) -> Iterator[str]:
        """Names of the files below it, all that fit a pattern among them; Outage if it cannot be read or is gone."""

    def is_bare(self) -> bool:
        """Whether nothing at all is there, as in the folder that a lost mount leaves behind."""

    def size(self, name: str) -> int:
        """Bytes of a file."""

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""

    def read(self, name: str, limits: LimitsConfig) -> bytes:
        """A file whole; NotReady if it changed meanwhile, FileRefused if it is no regular file in it, or too large."""


class Folder(LandingLocation):
    """A folder, on this machine or mounted; it may be a link itself. Only regular files in it are read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self, pattern: FilePattern) -> Iterator[str]:
        # It may hold years of files: no stat, no Path for each; and folders that are none of ours, such as lost+found.
        for folder, folders, names in os.walk(self._path, onerror=self._refuse, followlinks=True):
            above = "" if folder == str(self._path) else f"{Path(folder).relative_to(self._path).as_posix()}/"
            folders[:] = [name for name in folders if pattern.leads_below(above + name)]
            yield from (_tell(above + name) for name in names)

    def is_bare(self) -> bool:
        with reached(str(self._path), place_of(self._path)), os.scandir(self._path) as entries:
            return next(entries, None) is None

    def size(self, name: str) -> int:
        path = self._path / _untell(name)
        with self._reached(name):
            # Of a link that leads nowhere its own: it is refused when it is read.
            return (path.stat() if path.exists() else path.lstat()).st_size

    def exists(self, name: str) -> bool:
        with self._reached(name):
            return (self._path / _untell(name)).exists()

    def read(self, name: str, limits: LimitsConfig) -> bytes:
        with self._reached(name), self._open(name) as file:
            before = os.fstat(file.fileno())
            _require_small(name, before.st_size, limits)
            # No more, should it grow without end.
            content = file.read(before.st_size + 1)
            after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(content) != after.st_size:
            sizes = f"{before.st_size} to {after.st_size} bytes"
            raise NotReady(f"{self._path / name} changed while it was read ({sizes}); wait for it")
        return content

    def _refuse(self, error: OSError) -> None:
        """What cannot be listed may hold anything; a folder in it that is gone since it was listed holds nothing."""
        gone, place = isinstance(error, FileNotFoundError), place_of(self._path)
        if gone and error.filename == str(self._path):
            raise LandingAbsent(f"landing folder {self._path} is not there; mount it, or make it", place) from error
        if not gone:
            raise Outage(f"landing folder {error.filename} cannot be read: {error.strerror}; mend it", place) from error

    def _open(self, name: str) -> BinaryIO:
        """Open a regular file that lies below this folder; each step is taken by itself, so that no link leads out."""
        root = Path(os.path.realpath(self._path))
        real = Path(os.path.realpath(root / _untell(name)))
        if root not in real.parents:
            raise FileRefused(name, None, f"is a link that leads out of {self._path}; {_EXPECTED}")
        with ExitStack() as opened:
            below = None
            for part in (str(root), *real.relative_to(root).parts[:-1]):
                below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=below)
                opened.callback(os.close, below)
            try:
                return open_regular(real.name, below)
            except Irregular as error:
                raise FileRefused(name, None, f"{error.strerror}; {_EXPECTED}") from error

    @contextmanager
    def _reached(self, name: str) -> Iterator[None]:
        path = self._path / name
        try:
            with reached(str(path), place_of(self._path)):
                yield
        except FileNotFoundError as error:
            if (self._path / _untell(name)).is_symlink():
                raise FileRefused(name, None, f"is a link that leads nowhere; {_EXPECTED}") from error
            raise NotReady(f"{path} is gone since it was listed; deliver it again") from error


class Bucket(LandingLocation):
    """A prefix in an object store; an object is replaced whole, so none is ever half written.

    One listing answers for names and sizes; a location is opened anew for each probe.
    """

    def __init__(self, uri: str) -> None:
        self._uri, self._store = uri, open_store(uri)
        self._sizes: dict[str, int] | None = None

    def names(self, pattern: FilePattern) -> Iterator[str]:
        yield from self._listed()

    def is_bare(self) -> bool:
        # A bucket is not mounted.
        return False

    def size(self, name: str) -> int:
        return self._listed()[name]

    def exists(self, name: str) -> bool:
        return name in self._listed()

    def read(self, name: str, limits: LimitsConfig) -> bytes:
        try:
            with reached(f"{self._uri}/{name}", place_of(self._uri)):
                found = obstore.get(self._store, name)
                _require_small(name, found.meta["size"], limits)
                return bytes(found.bytes())
        except (FileNotFoundError, NotFoundError) as error:
            raise NotReady(f"{self._uri}/{name} is gone since it was listed; deliver it again") from error

    @contextmanager
    def _named(self) -> Iterator[None]:
        """An object whose name the store's library cannot read hides all others: no outage, it would last for ever."""
        try:
            yield
        except InvalidPathError as error:
            found = " ".join(str(error).partition("Debug source")[0].split())
            problem = f"{found}; rename that object: no control characters, .. and // can be read"
            raise FileRefused(self._uri, None, problem) from error

    def _listed(self) -> dict[str, int]:
        if self._sizes is None:
            try:
                with reached(self._uri, place_of(self._uri)), self._named():
                    chunks = list(obstore.list(self._store))
            except NotFoundError as error:
                absent = f"{self._uri}: no such bucket, or not yet; create it"
                raise LandingAbsent(absent, place_of(self._uri)) from error
            self._sizes = {one["path"]: one["size"] for chunk in chunks for one in chunk}
        return self._sizes


def _tell(name: str) -> str:
    """A file's name as a text that can be written, and told from any other."""
    return _ODD.sub(lambda found: f"\\x{ord(found[0]) % 256:02x}", name)


def _untell(name: str) -> str:
    """The file's name itself; a byte from 0x80 on is what Python makes of one that is no UTF-8."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16) + (0xDC00 if found[1] > "7f" else 0)), name)


def _require_small(name: str, size: int, limits: LimitsConfig) -> None:
    limits.require("file_mb", size, name, f"is {megabytes(size)} MB large")


def place_of(location: str | Path) -> str:
    """What the landing locations of all models have in common: the folder or prefix above one of them."""
    above, _, _ = str(location).rstrip("/").rpartition("/")
    return f"landing place {above or location}"


def open_landing_location(location: str | Path) -> LandingLocation:
    """The landing location at a URI or folder."""
    text = str(location)
    if "://" in text and not text.startswith("file://"):
        return Bucket(text.rstrip("/"))
    return Folder(Path(text.removeprefix("file://")))
