"""The landing location: which files belong to a batch, and whether they are all there."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

from evergreen.batches import Calendar
from evergreen.config.feeds import FilesConfig
from evergreen.config.patterns import fill_batch
from evergreen.sources.landing_location import open_landing_location


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


def list_files(location: str | Path, files: FilesConfig, calendar: Calendar) -> dict[str, list[str]]:
    """Names of the files in a landing location that fit the pattern, by the batch that their name says."""
    return group_files(open_landing_location(location).names(), files, calendar)


def group_files(names: Iterable[str], files: FilesConfig, calendar: Calendar) -> dict[str, list[str]]:
    """Names that fit the pattern, by the batch that they say."""
    found: dict[str, list[str]] = {}
    for name in names:
        moment = files.files.moment_of(name)
        if moment is not None:
            found.setdefault(calendar.containing(moment.replace(tzinfo=UTC)), []).append(name)
    return {batch: sorted(names) for batch, names in found.items()}


def look(location: str | Path, files: FilesConfig, calendar: Calendar, batch: str, before: Look | None) -> Look:
    """Look once whether a batch's files are complete.

    :param location: a folder, or the URI of a prefix in an object store.
    :param before: the look before this one; without a marker or a count, two looks must see the same sizes.
    """
    landing = open_landing_location(location)
    names = group_files(landing.names(), files, calendar).get(batch, [])
    sizes = {name: landing.size(name) for name in names}
    return judge_look(sizes, landing.exists, str(location), files, calendar, batch, before)


def judge_look(
    found: dict[str, int],
    exists: Callable[[str], bool],
    location: str,
    files: FilesConfig,
    calendar: Calendar,
    batch: str,
    before: Look | None,
) -> Look:
    """Tell from a batch's files, wherever they lie, whether they are complete.

    :param found: the batch's files with their sizes in bytes.
    :param exists: whether a marker of some name is there.
    :param location: where they lie, for the message.
    """
    sizes, rule = tuple(sorted(found.items())), files.complete
    if not sizes:
        return Look(False, f"no file fits {files.files.text} for batch {batch} in {location}", sizes)
    if rule.marker:
        marker = _marker(files, calendar, batch, sizes[0][0])
        return Look(exists(marker), f"{len(sizes)} files, marker {marker}", sizes)
    if rule.count:
        return Look(len(sizes) == rule.count, f"{len(sizes)} of {rule.count} files", sizes)
    if before is None or before.sizes != sizes:
        return Look(False, f"{len(sizes)} files, sizes not yet seen twice", sizes, settling=True)
    return Look(True, f"{len(sizes)} files, sizes unchanged", sizes)


def read_file(location: str | Path, name: str) -> LandedFile:
    """Read one landed file whole.

    :raises NotReady: if it changed while it was read.
    """
    return LandedFile(name, open_landing_location(location).read(name))


def _marker(files: FilesConfig, calendar: Calendar, batch: str, beside: str) -> str:
    """Name of the marker file of a batch, in the folder of its files."""
    if not files.complete.marker:
        return ""
    return (Path(beside).parent / fill_batch(files.complete.marker, calendar.moment(batch))).as_posix()
