"""`evergreen serve` as a process: a new champion answers without one failed request, and no answer is lost as it ends.

A canary that is worse is taken back while requests go on; callers bring certificates.
"""

import datetime
import ipaddress
import itertools
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from evergreen.records import AnswersRecord, ArmsRecord
from evergreen.steps.ingest_answers import ingest_answers
from evergreen.steps.judge_arms import begin_arms
from tests.unit.small_loop import SmallLoop, day, doubled, make_rows, turned

ROW = {"id": 1, "at": "2024-01-03T12:00:00", "x": 0.5}
_WAIT = 120


@contextmanager
def served(loop: SmallLoop, *arguments: str, scheme: str = "http", **client: object) -> Iterator[httpx.Client]:
    """The command as a process of its own, ended by SIGTERM."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = Path(loop.at.lake).parent
    environment = os.environ | {"EVERGREEN_HOME": str(home), "EVERGREEN_MODELS": str(loop.model.path.parent)}
    command = [
        sys.executable,
        "-m",
        "evergreen.cli",
        "serve",
        loop.model.id,
        "--port",
        str(port),
        "--poll",
        "0.2",
        *arguments,
    ]
    with (home / "serve.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        with httpx.Client(base_url=f"{scheme}://127.0.0.1:{port}", timeout=60, trust_env=False, **client) as asking:  # type: ignore[arg-type]
            _await(port, process, home / "serve.log")
            yield asking
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(_WAIT) in (0, -signal.SIGTERM), (home / "serve.log").read_text()


def _await(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _WAIT
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"evergreen serve does not answer: {log.read_text()}")


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> SmallLoop:
    loop = SmallLoop.under(tmp_path_factory.mktemp("served"), serving={"answers": True})
    loop.run(doubled, 1, 2)
    return loop


def test_a_new_champion_answers_while_requests_go_on(loop: SmallLoop) -> None:
    answers: list[list[tuple[int, int, float]]] = [[], []]
    ended = threading.Event()

    def call(client: httpx.Client, into: list[tuple[int, int, float]]) -> None:
        while not ended.wait(0.01) and len(into) < 50_000:
            answer = client.post("/models/small/predict", json={"rows": [ROW]})
            told = answer.json()
            into.append((answer.status_code, told.get("version", 0), told.get("predictions", [0.0])[0]))

    with served(loop, "--flush", "600") as client:
        before = client.get("/ready").json()["small"]
        callers = [threading.Thread(target=call, args=(client, into)) for into in answers]
        for caller in callers:
            caller.start()
        loop.run(turned, 3, 4, 5)
        newest = loop.promotions[-1].version
        end = time.monotonic() + _WAIT
        while client.get("/ready").json()["small"] != newest and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(0.3)
        ended.set()
        for caller in callers:
            caller.join()
        assert client.get("/models").json()["small"]["batch"] == day(6)
    promoted = {promotion.version for promotion in loop.promotions}
    for told in answers:
        assert {status for status, _, _ in told} == {200}
        versions = [version for _, version, _ in told]
        assert versions == sorted(versions), "a version that was replaced has answered again"
        assert (versions[0], versions[-1]) == (before, newest)
        # One version, one answer: none was made by two of them.
        by_version = {(version, predicted) for _, version, predicted in told}
        assert len(by_version) == len(set(versions))
        assert set(versions) <= promoted
    # Nothing was written before it ended, and nothing of it is lost: each answer is there, by the version it named.
    record = ingest_answers(loop.model, loop.at, day(6))
    assert (record.rows, record.copies, record.torn) == (sum(map(len, answers)), 0, 0)
    kept = loop.stores.lake.read(record.partition, ["request_id"]).to_pandas()
    told = sorted((str(version), predicted) for one in answers for _, version, predicted in one)
    assert sorted(zip(kept["version"], kept["prediction"], strict=True)) == told


def test_a_canary_that_is_worse_is_taken_back_while_requests_go_on(tmp_path: Path) -> None:
    loop = SmallLoop.under(tmp_path, serving={"canary": {"steps": [50, 100]}})
    loop.run(doubled, 1, 2)
    begin_arms(loop.model, loop.at, 1, "ada: is the baseline as good?")
    told: list[tuple[int, dict[str, object]]] = []
    ended = threading.Event()

    def call(client: httpx.Client, numbers: range) -> None:
        for number in itertools.cycle(numbers):
            if ended.wait(0.02) or len(told) > 20_000:
                return
            rows = make_rows(number, doubled).drop(columns="y")
            rows = rows.assign(at=rows["at"].map(lambda moment: moment.isoformat())).to_dict(orient="records")
            answer = client.post("/models/small/predict", json={"rows": rows})
            told.append((answer.status_code, answer.json()))

    with served(loop, "--flush", "0.2") as client:
        callers = [threading.Thread(target=call, args=(client, range(3, 7))) for _ in range(2)]
        for caller in callers:
            caller.start()
        for number in (3, 4, 5):
            _await_answers(loop, len(told) + 10, told)
            loop.run(doubled, number)
        end = time.monotonic() + _WAIT
        while "challenger" in client.get("/models").json()["small"] and time.monotonic() < end:
            time.sleep(0.1)
        seen = len(told)
        _await_answers(loop, seen + 10, told)
        ended.set()
        for caller in callers:
            caller.join()
    last = loop.stores.ledger.last(ArmsRecord, "online")
    assert last is not None
    assert (last.state, last.why[:11]) == ("taken back", "it is worse")
    assert {status for status, _ in told} == {200}
    assert all(answer["version"] for _, answer in told)
    by_arm = {
        pair for _, answer in told for pair in zip(answer.get("arms", ()), answer.get("versions", ()), strict=True)
    }  # type: ignore[call-overload]
    assert {version for arm, version in by_arm if arm == "challenger"} == {1}
    assert all("arms" not in answer for _, answer in told[seen + 2 :])
    taken = loop.stores.ledger.last(AnswersRecord, "batches")
    assert taken is not None
    assert taken.rows > 0


def _await_answers(loop: SmallLoop, count: int, told: list[tuple[int, dict[str, object]]]) -> None:
    """Wait until so many were answered, and what was answered lies in the spool."""
    end = time.monotonic() + _WAIT
    while len(told) < count and time.monotonic() < end:
        time.sleep(0.05)
    assert len(told) >= count
    time.sleep(0.5)


def test_callers_bring_a_certificate(loop: SmallLoop, tmp_path: Path) -> None:
    authority, ours, theirs = (_make_key() for _ in range(3))
    ca = _sign("ca", authority, authority, "ca", True)
    for name, content in {
        "ca.pem": _as_pem(ca), "cert.pem": _as_pem(_sign("localhost", ours, authority, "ca")), "key.pem": _as_pem(ours),
        "client.pem": _as_pem(_sign("client", theirs, authority, "ca")), "client-key.pem": _as_pem(theirs),
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(content)
    path = {name: str(tmp_path / name) for name in ("ca.pem", "cert.pem", "key.pem", "client.pem", "client-key.pem")}
    guarded = ("--tls-cert", path["cert.pem"], "--tls-key", path["key.pem"], "--client-ca", path["ca.pem"])
    known = ssl.create_default_context(cafile=path["ca.pem"])
    known.load_cert_chain(path["client.pem"], path["client-key.pem"])
    unknown = ssl.create_default_context(cafile=path["ca.pem"])
    with served(loop, *guarded, scheme="https", verify=known) as client:
        assert client.post("/models/small/predict", json={"rows": [ROW]}).status_code == 200
        with httpx.Client(verify=unknown, trust_env=False) as stranger, pytest.raises(httpx.TransportError):
            stranger.get(str(client.base_url.join("/models")))


def _make_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _sign(
    name: str, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey, issuer: str, is_ca: bool = False
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    named = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in (name, issuer)]
    built = x509.CertificateBuilder(
        issuer_name=named[1], subject_name=named[0], public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - datetime.timedelta(hours=1), not_valid_after=now + datetime.timedelta(hours=1),
    )  # fmt: skip
    built = built.add_extension(x509.BasicConstraints(is_ca, None), critical=True)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    return built.add_extension(alternative, critical=False).sign(by, hashes.SHA256())


def _as_pem(made: x509.Certificate | ec.EllipticCurvePrivateKey) -> bytes:
    if isinstance(made, x509.Certificate):
        return made.public_bytes(serialization.Encoding.PEM)
    plain = serialization.NoEncryption()
    return made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
