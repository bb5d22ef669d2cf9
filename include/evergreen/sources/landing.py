"""The landing location: which files belong to a batch, and whether they are all there."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

from evergreen.batches import Calendar
from evergreen.config.feeds_config import FilesConfig
from evergreen.config.limits_config import LimitsConfig
from evergreen.config.patterns import fill_batch
from evergreen.errors import FileRefused, LandingAbsent
from evergreen.sources.landing_location import open_landing_location


@dataclass(frozen=True)
class ProbeResult:
    """What one probe of the landing folder saw of a batch.

    :param complete: whether the batch may be read.
    :param why: what is there, or what is missing.
    :param sizes: file names and their sizes in bytes, sorted.
    :param settling: whether files are there that only another probe can tell whole; such a batch is not overdue.
    :param absent: whether the location itself is not there; then nobody knows what has come.
    :param bare: whether nothing at all is there, not even files of other batches.
    """

    complete: bool
    why: str
    sizes: tuple[tuple[str, int], ...]
    settling: bool = False
    absent: bool = False
    bare: bool = False


@dataclass(frozen=True)
class LandedFile:
    """A file's name below the landing folder, and its content; or why it was refused unread."""

    name: str
    content: bytes
    refused: str = ""

    @property
    def sha256(self) -> str:
        """Hash of the content."""
        return hashlib.sha256(self.content).hexdigest()


def list_files(location: str | Path, files: FilesConfig, calendar: Calendar) -> dict[str, list[str]]:
    """Names of the files in a landing location that fit the pattern, by the batch that their name says.

    :raises Outage: if it cannot be read, or is not there: what is in it nobody knows.
    """
    return group_files(open_landing_location(location).names(files.files), files, calendar)


def group_files(names: Iterable[str], files: FilesConfig, calendar: Calendar) -> dict[str, list[str]]:
    """Names that fit the pattern, by the batch that they say."""
    found: dict[str, list[str]] = {}
    for name in names:
        moment = files.files.moment_of(name)
        if moment is not None:
            found.setdefault(calendar.containing(moment.replace(tzinfo=UTC)), []).append(name)
    return {batch: sorted(names) for batch, names in found.items()}


def probe_files(
    location: str | Path, files: FilesConfig, calendar: Calendar, batch: str, before: ProbeResult | None
) -> ProbeResult:
    """Probe once whether a batch's files are complete.

    :param location: a folder, or the URI of a prefix in an object store.
    :param before: the probe before this one; without a marker or a count, two probes must see the same sizes.
    :raises Outage: if the location is there and cannot be read.
    """
    landing = open_landing_location(location)
    try:
        names = group_files(landing.names(files.files), files, calendar).get(batch, [])
    except LandingAbsent as error:
        return ProbeResult(False, str(error), (), absent=True)
    sizes = {name: landing.size(name) for name in names}
    if not sizes and landing.is_bare():
        why = f"no file fits {files.files.text} for batch {batch} in {location}, which is empty"
        return ProbeResult(False, why, (), bare=True)
    return judge_completeness(sizes, landing.exists, str(location), files, calendar, batch, before)


def judge_completeness(
    found: dict[str, int],
    exists: Callable[[str], bool],
    location: str,
    files: FilesConfig,
    calendar: Calendar,
    batch: str,
    before: ProbeResult | None,
) -> ProbeResult:
    """Tell from a batch's files, wherever they lie, whether they are complete.

    :param found: the batch's files with their sizes in bytes.
    :param exists: whether a marker of some name is there.
    :param location: where they lie, for the message.
    """
    sizes, rule = tuple(sorted(found.items())), files.complete
    if not sizes:
        return ProbeResult(False, f"no file fits {files.files.text} for batch {batch} in {location}", sizes)
    if rule.marker:
        marker = _marker(files, calendar, batch, sizes[0][0])
        return ProbeResult(exists(marker), f"{len(sizes)} files, marker {marker}", sizes)
    if rule.count:
        return ProbeResult(len(sizes) == rule.count, f"{len(sizes)} of {rule.count} files", sizes)
    if before is None or before.sizes != sizes:
        return ProbeResult(False, f"{len(sizes)} files, sizes not yet seen twice", sizes, settling=True)
    return ProbeResult(True, f"{len(sizes)} files, sizes unchanged", sizes)


def read_file(location: str | Path, name: str, limits: LimitsConfig) -> LandedFile:
    """Read one landed file whole, if it is no larger than its limit.

    :raises NotReady: if it changed while it was read.
    """
    try:
        return LandedFile(name, open_landing_location(location).read(name, limits))
    except FileRefused as error:
        return LandedFile(name, b"", error.problem)


def _marker(files: FilesConfig, calendar: Calendar, batch: str, beside: str) -> str:
    """Name of the marker file of a batch, in the folder of its files."""
    if not files.complete.marker:
        return ""
    return (Path(beside).parent / fill_batch(files.complete.marker, calendar.moment(batch))).as_posix()
