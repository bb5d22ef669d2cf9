"""An S3 that is a real server on loopback: moto's, one request at a time."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import obstore
from botocore.exceptions import BotoCoreError, ClientError

from evergreen.storage.objects import open_store
from tests.postgres import free_port

# Threaded, moto lets two conditional puts of one object win.
MOTO = """
import sys
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
app = DomainDispatcherApplication(create_backend_app)
make_server("127.0.0.1", int(sys.argv[1]), app, threaded=False).serve_forever()
"""
SECRET = "the-secret-of-the-lake"


@contextmanager
def s3(bucket: str = "evergreen") -> Iterator[dict[str, str]]:
    """Start the server and make a bucket.

    :returns: the environment that leads to it.
    """
    port = free_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }
    server = subprocess.Popen([sys.executable, "-c", MOTO, str(port)], stderr=subprocess.DEVNULL)
    try:
        client = boto3.client(
            "s3",
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            region_name="eu-central-1",
            aws_access_key_id="key",
            aws_secret_access_key=SECRET,
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
                break
            except (BotoCoreError, ClientError):
                assert time.monotonic() < deadline, "moto did not start"
                time.sleep(0.2)
        yield environment
    finally:
        server.terminate()
        server.wait(30)


@contextmanager
def speaking_to(environment: dict[str, str]) -> Iterator[None]:
    """Let this process's environment lead to an S3, and forget the stores that were opened by it."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    open_store.cache_clear()
    try:
        yield
    finally:
        open_store.cache_clear()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def upload(folder: Path, uri: str) -> None:
    """Put the files of a folder under a URI, markers last."""
    store = open_store(uri)
    for path in sorted(folder.iterdir(), key=lambda one: (one.suffix == ".done", one.name)):
        obstore.put(store, path.name, path.read_bytes())


def objects(uri: str) -> dict[str, bytes]:
    """All that lies under a URI."""
    store = open_store(uri)
    paths = [one["path"] for chunk in obstore.list(store) for one in chunk]
    return {path: bytes(obstore.get(store, path).bytes()) for path in paths}
