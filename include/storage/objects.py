"""Object stores: one API for a folder and for S3."""

import functools
from pathlib import Path

from obstore.store import LocalStore, ObjectStore, from_url


@functools.lru_cache(maxsize=32)
def open_store(uri: str) -> ObjectStore:
    """The object store at a URI or folder; a folder is made where there is none."""
    if "://" in uri and not uri.startswith("file://"):
        return from_url(uri)
    return LocalStore(prefix=Path(uri.removeprefix("file://")), mkdir=True)
