"""Spark Connect servers in processes of their own, whose workers run this checkout: Sail, and Apache Spark itself."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import pytest

_SERVE = """
import os
import sys
import time

from pysail.spark import SparkConnectServer

if "BARE" in os.environ:
    sys.path[:] = [path for path in sys.path if not path.endswith("include")]
server = SparkConnectServer("127.0.0.1", 0)
server.start(background=True)
print(server.listening_address[1], flush=True)
time.sleep(3600)
"""


@contextmanager
def sail_server(**environment: str) -> Iterator[str]:
    """The address of a server whose workers are threads of one process.

    :param environment: variables; ``BARE`` for a Python that lacks our package.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE],
        env=os.environ | {"RUST_LOG": "error"} | environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield f"sc://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()


@contextmanager
def apache_server(workers: int = 2) -> Iterator[str]:
    """The address of Apache Spark with so many workers, each a process; skips where it cannot be had.

    Its programs are those that ``SPARK_HOME`` names, or come from the package registry into a temporary folder.
    """
    if shutil.which("java") is None:
        pytest.skip("Apache Spark wants Java: apt-get install openjdk-17-jre-headless")
    with tempfile.TemporaryDirectory() as place:
        home = _find_programs(Path(place))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [
            str(home / "bin" / "spark-submit"), "--master", f"local[{workers}]",
            "--class", "org.apache.spark.sql.connect.service.SparkConnectServer",
            "--conf", f"spark.connect.grpc.binding.port={port}",
            "--conf", "spark.connect.grpc.binding.address=127.0.0.1",
            "--conf", "spark.ui.enabled=false",
            "--conf", f"spark.local.dir={place}",
            "--conf", "spark.driver.memory=1g",
            "spark-internal",
        ]  # fmt: skip
        environment = os.environ | {"SPARK_HOME": str(home), "PYSPARK_PYTHON": sys.executable}
        log = Path(place, "log")
        with log.open("w") as told:
            process = subprocess.Popen(command, env=environment, stdout=told, stderr=told, cwd=place)
        try:
            until = time.monotonic() + 120
            while socket.socket().connect_ex(("127.0.0.1", port)):
                if time.monotonic() > until or process.poll() is not None:
                    pytest.fail(f"Apache Spark did not start:\n{log.read_text()[-3000:]}")
                time.sleep(0.5)
            yield f"sc://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def _find_programs(place: Path) -> Path:
    said = Path(os.environ.get("SPARK_HOME", ""))
    if "SPARK_HOME" in os.environ and list(said.glob("jars/spark-connect_*.jar")):
        return said
    uv = Path(sys.executable).with_name("uv")
    python = place / "venv" / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, place / "venv"], check=True)
    wanted = f"pyspark=={version('pyspark-client')}"
    done = subprocess.run([uv, "pip", "install", "--quiet", "--python", python, wanted], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"Apache Spark is not at SPARK_HOME, and {wanted} cannot be installed: {done.stderr[-300:]}")
    return next((place / "venv" / "lib").glob("python*/site-packages/pyspark"))
