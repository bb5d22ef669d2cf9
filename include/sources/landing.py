"""The landing folder: which files belong to a batch, and whether they are all there."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

from include.batches import Calendar
from include.config.contract import FilesConfig
from include.config.fields import fill_batch
from include.errors import NotReady


@dataclass(frozen=True)
class Look:
    """What one look at the landing folder saw of a batch.

    :param complete: whether the batch may be read.
    :param why: what is there, or what is missing.
    :param sizes: file names and their sizes in bytes, sorted.
    :param settling: whether files are there that only another look can tell whole; such a batch is not overdue.
    """

    complete: bool
    why: str
    sizes: tuple[tuple[str, int], ...]
    settling: bool = False


@dataclass(frozen=True)
class LandedFile:
    """A file's name below the landing folder, and its content."""

    name: str
    content: bytes

    @property
    def sha256(self) -> str:
        """Hash of the content."""
        return hashlib.sha256(self.content).hexdigest()


def list_files(folder: Path, files: FilesConfig, calendar: Calendar) -> dict[str, list[str]]:
    """Names of the files in a landing folder that fit the pattern, by the batch that their name says."""
    return group_files(_walk(folder), files, calendar)


def group_files(names: Iterable[str], files: FilesConfig, calendar: Calendar) -> dict[str, list[str]]:
    """Names that fit the pattern, by the batch that they say."""
    found: dict[str, list[str]] = {}
    for name in names:
        moment = files.files.moment_of(name)
        if moment is not None:
            found.setdefault(calendar.containing(moment.replace(tzinfo=UTC)), []).append(name)
    return {batch: sorted(names) for batch, names in found.items()}


def look(folder: Path, files: FilesConfig, calendar: Calendar, batch: str, before: Look | None) -> Look:
    """Look once whether a batch's files are complete.

    :param before: the look before this one; without a marker or a count, two looks must see the same sizes.
    """
    names = list_files(folder, files, calendar).get(batch, [])
    sizes = {name: (folder / name).stat().st_size for name in names}
    return judge_look(sizes, lambda marker: (folder / marker).exists(), str(folder), files, calendar, batch, before)


def judge_look(
    found: dict[str, int],
    exists: Callable[[str], bool],
    place: str,
    files: FilesConfig,
    calendar: Calendar,
    batch: str,
    before: Look | None,
) -> Look:
    """Tell from a batch's files, wherever they lie, whether they are complete.

    :param found: the batch's files with their sizes in bytes.
    :param exists: whether a marker of some name is there.
    :param place: where it was looked.
    """
    sizes, rule = tuple(sorted(found.items())), files.complete
    if not sizes:
        return Look(False, f"no file fits {files.files.text} for batch {batch} in {place}", sizes)
    if rule.marker:
        marker = _marker(files, calendar, batch, sizes[0][0])
        return Look(exists(marker), f"{len(sizes)} files, marker {marker}", sizes)
    if rule.count:
        return Look(len(sizes) == rule.count, f"{len(sizes)} of {rule.count} files", sizes)
    if before is None or before.sizes != sizes:
        return Look(False, f"{len(sizes)} files, sizes not yet seen twice", sizes, settling=True)
    return Look(True, f"{len(sizes)} files, sizes unchanged", sizes)


def read_file(folder: Path, name: str) -> LandedFile:
    """Read one landed file whole.

    :raises NotReady: if it changed while it was read.
    """
    path = folder / name
    before = path.stat()
    content = path.read_bytes()
    after = path.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(content) != after.st_size:
        raise NotReady(f"{path} changed while it was read ({before.st_size} to {after.st_size} bytes); wait for it")
    return LandedFile(name, content)


def _walk(folder: Path) -> Iterator[str]:
    """Names of all files below a folder. A landing folder may hold years: no stat, no Path for each."""
    for place, _, names in os.walk(folder):
        below = Path(place).relative_to(folder).as_posix()
        yield from names if below == "." else (f"{below}/{name}" for name in names)


def _marker(files: FilesConfig, calendar: Calendar, batch: str, beside: str) -> str:
    """Name of the marker file of a batch, in the folder of its files."""
    if not files.complete.marker:
        return ""
    return (Path(beside).parent / fill_batch(files.complete.marker, calendar.moment(batch))).as_posix()
