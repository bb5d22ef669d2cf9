"""Object stores: one API for a folder and for S3."""

import functools
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
from obstore.store import LocalStore, ObjectStore, from_url

from evergreen.errors import Outage, needs_extra
from evergreen.storage.full_disk import is_full

# A store that hangs would hold each call for three minutes and a half; a task is tried again anyway.
_RETRYING = timedelta(seconds=30)
_COLOURS = re.compile(r"\x1b\[\d+m")


@functools.lru_cache(maxsize=32)
def open_store(uri: str) -> ObjectStore:
    """The object store at a URI or folder; a folder is made where there is none."""
    if (folder := _folder(uri)) is not None:
        return LocalStore(prefix=folder, mkdir=True)
    session = _session(uri)
    if session is None:
        return from_url(uri, retry_config={"retry_timeout": _RETRYING})
    from obstore.auth.boto3 import Boto3CredentialProvider

    endpoint = _s3_endpoint(session)
    insecure = endpoint.pop("aws_allow_http", "false") == "true"
    client: Any = {"client_options": {"allow_http": insecure}, "retry_config": {"retry_timeout": _RETRYING}}
    options = {**endpoint, **client}
    store: ObjectStore = from_url(uri, credential_provider=Boto3CredentialProvider(session), **options)
    return store


def put_new(uri: str, path: str, content: bytes) -> None:
    """Write an object where there is none, so that it outlives a loss of power: whole, or not at all.

    A store in the cloud sees to that itself. obstore's store of a folder flushes nothing: what it wrote last may be
    empty afterwards, and stand there for good. So the file is flushed before it gets its name, the name after it.

    :raises AlreadyExistsError: if there is one.
    """
    root = _folder(uri)
    if root is None:
        obstore.put(open_store(uri), path, content, mode="create")
        return
    target = root / path
    made = [folder for folder in target.parents if not folder.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    # obstore leaves such names out of its listings: a killed process may leave one behind.
    unnamed = target.with_name(f"{target.name}#{uuid.uuid4().int}")
    try:
        unnamed.write_bytes(content)
        _flush(unnamed)
        os.link(unnamed, target)
    except FileExistsError as error:
        raise AlreadyExistsError(f"{target} is there already") from error
    finally:
        unnamed.unlink(missing_ok=True)
    _flush(target.parent, *(one.parent for one in made))


def find_object(store: ObjectStore, path: str, what: str) -> bytes | None:
    """An object, None where there is none.

    :param what: what it is, for the message of an outage.
    """
    try:
        with reached(what):
            return bytes(obstore.get(store, path).bytes())
    except (FileNotFoundError, NotFoundError):
        return None


def flush_files(uri: str, *patterns: str, newest: int | None = None) -> None:
    """Flush files below a folder to its disk, with their names; a store in the cloud has done so already.

    :param patterns: which files.
    :param newest: of each pattern only so many, the last by name.
    """
    root = _folder(uri)
    if root is None:
        return
    for pattern in patterns:
        files = sorted(root.glob(pattern))[-newest if newest else 0 :]
        _flush(*files, *{folder for file in files for folder in (file.parent, file.parent.parent)})


def _flush(*paths: Path) -> None:
    for path in dict.fromkeys(paths):
        entry = os.open(path, os.O_RDONLY)
        try:
            os.fsync(entry)
        finally:
            os.close(entry)


def holds_anything(uri: str) -> bool:
    """Whether anything lies at a URI or in a folder; no folder is made to find out."""
    folder = _folder(uri)
    if folder is not None:
        return folder.is_dir() and any(folder.iterdir())
    with reached(uri):
        return any(obstore.list(open_store(uri), chunk_size=1))


def is_there(uri: str, path: str) -> bool:
    """Whether there is an object; no folder is made to find out."""
    folder = _folder(uri)
    if folder is not None:
        return (folder / path).is_file()
    try:
        with reached(uri):
            obstore.head(open_store(uri), path)
    except (FileNotFoundError, NotFoundError):
        return False
    return True


@contextmanager
def reached(location: str, place: str = "") -> Iterator[None]:
    """Turn a store that does not answer into an outage, which is retried. That something is not there is an answer.

    :param location: what was asked, for the message.
    :param place: as in ``Outage``.
    """
    try:
        yield
    except (FileNotFoundError, NotFoundError, AlreadyExistsError):
        raise
    except (BaseError, OSError) as error:
        # Below it the libraries repeat themselves, with all that they know of the request.
        message = _COLOURS.sub("", str(error)).partition("Debug source")[0]
        happened = "has no room left; make some" if is_full(error) else "did not answer"
        raise Outage(f"{location} {happened}: {' '.join(message.split())}", place) from error


def delta_options(uri: str) -> dict[str, str] | None:
    """What Delta Lake must be told of a store beside the environment, for one operation: keys go out of date."""
    if _folder(uri) is not None:
        return None
    bound = {"retry_timeout": f"{_RETRYING.seconds}s"}
    session = _session(uri)
    credentials = session.get_credentials() if session is not None else None
    if session is None or credentials is None:
        return bound
    keys = credentials.get_frozen_credentials()
    named = {"aws_access_key_id": keys.access_key, "aws_secret_access_key": keys.secret_key}
    return bound | _s3_endpoint(session) | named | ({"aws_session_token": keys.token} if keys.token else {})


def _folder(uri: str) -> Path | None:
    return Path(uri.removeprefix("file://")) if "://" not in uri or uri.startswith("file://") else None


def _session(uri: str) -> Any:
    """The AWS profile that the environment names, of which neither obstore nor Delta Lake knows by itself."""
    profile = os.environ.get("AWS_PROFILE")
    if not uri.startswith("s3://") or not profile or "AWS_ACCESS_KEY_ID" in os.environ:
        return None
    return _open_session(profile)


@functools.cache
def _open_session(profile: str) -> Any:
    with needs_extra("amazon", f"AWS_PROFILE={profile}"):
        import boto3

    return boto3.Session(profile_name=profile)


def _s3_endpoint(session: Any) -> dict[str, str]:
    """Region and address of a profile's S3."""
    meta = session.client("s3").meta
    options = {"aws_region": meta.region_name or "us-east-1"}
    if not meta.endpoint_url.endswith(".amazonaws.com"):
        options["aws_endpoint"] = meta.endpoint_url
    if meta.endpoint_url.startswith("http://"):
        options["aws_allow_http"] = "true"
    return options
