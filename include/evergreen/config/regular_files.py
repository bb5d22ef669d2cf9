"""Regular files, the only ones that are read: a named pipe never begins, a device never ends."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


class Irregular(OSError):
    """What stands under a name is no regular file."""


def open_regular(path: str | Path, folder: int | None = None) -> BinaryIO:
    """Open a regular file to be read.

    :param path: the file; a symbolic link is followed where no folder is given.
    :param folder: descriptor of the folder in which the file itself must lie.
    :raises Irregular: if it is no regular file.
    """
    follow = folder is None
    _require_regular(os.stat(path, dir_fd=folder, follow_symlinks=follow))
    # What has taken the file's place since must hold nobody up either.
    flags = os.O_RDONLY | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    file = os.fdopen(os.open(path, flags, dir_fd=folder), "rb")
    try:
        _require_regular(os.fstat(file.fileno()))
    except OSError:
        file.close()
        raise
    return file


def read_regular(path: Path) -> bytes:
    """The content of a regular file.

    :raises Irregular: if it is no regular file.
    """
    with open_regular(path) as file:
        return file.read()


def _require_regular(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise Irregular(errno.EINVAL, "is no regular file")
