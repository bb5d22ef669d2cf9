"""A disk without room: how each library tells of it, and what is said instead."""

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from evergreen.errors import Outage

# The last is what a limit on the size of files says (ulimit -f).
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Rust, SQLite and MLflow's server hand on a text.
_TOLD = ("No space left on device", "disk is full", "Disk quota exceeded", "No usable temporary directory")


def is_full(error: BaseException) -> bool:
    """Whether an error says that a disk has no room left."""
    return getattr(error, "errno", None) in _NO_ROOM or any(text in str(error) for text in _TOLD)


@contextmanager
def room_for(what: str) -> Iterator[None]:
    """Tell of a worker's disk that is full, while files of its own are written.

    :param what: what is put there, for the message.
    """
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        where = tempfile.tempdir or "its folder for temporary files"
        raise Outage(
            f"there is no room for {what} in {where}: {error.strerror or error}; make room there, or set TMPDIR to a "
            "larger folder"
        ) from error
