"""docker-compose.yaml, each service by its own command and environment, takes two batches of the demo."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from deltalake import DeltaTable
from mlflow import MlflowClient

from evergreen.config.locations import Locations
from evergreen.demo.feeder import feed
from evergreen.demo.stream import DemoStream
from evergreen.records import BatchRecord, ClaimRecord, PromotionRecord, VerdictRecord
from evergreen.storage.stores import Stores, open_stores
from tests.live.compose_file import ROOT, image_environment, interpolate, make_env
from tests.live.composed import POSTGRES, Composed
from tests.live.services import NIGHTLY, make_model

FILE = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
STREAM = DemoStream(batches=2, broken=())
SECRETS = dict.fromkeys(re.findall(r"^(\w+)=$", (ROOT / ".env.example").read_text(), re.MULTILINE), "secret")
BATCHES = [f"2024-01-{day:02}" for day in range(1, 3)]
ONE_SHOT = {"databases", "setup"}
needs_postgres = pytest.mark.skipif(POSTGRES is None, reason="no PostgreSQL in /usr/lib/postgresql (Debian's package)")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Composed, Locations, list[str]]]:
    schedule = {**NIGHTLY, "end": BATCHES[-1]}
    model = make_model(tmp_path_factory.mktemp("models"), "taxi", short=False, schedule=schedule)
    composed = Composed(tmp_path_factory.mktemp("deployment"), models=model.path.parent)
    with composed.running() as at:
        yield composed, at, list(feed(model, at, STREAM, patience=300))


@pytest.fixture
def composed(deployment: tuple[Composed, Locations, list[str]]) -> Composed:
    return deployment[0]


@pytest.fixture
def stores(deployment: tuple[Composed, Locations, list[str]]) -> Stores:
    return open_stores(deployment[1], "taxi")


def ask(url: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read() or "null")
    except urllib.error.HTTPError as refused:
        return refused.code, None


@needs_postgres
def test_the_loop_runs(deployment: tuple[Composed, Locations, list[str]], stores: Stores) -> None:
    assert [line.split()[0] for line in deployment[2]] == BATCHES
    ledger = stores.ledger
    states = {batch: ledger.get(BatchRecord, f"rows.{batch}").state for batch in BATCHES}  # type: ignore[union-attr]
    assert set(states.values()) == {"published"}
    baseline, second = ledger.all(PromotionRecord, "champion")
    assert (baseline.baseline, baseline.effective_from) == (True, "2024-01-02")
    assert (second.baseline, second.effective_from) == (False, "2024-01-03")
    claims = {batch: ledger.last(ClaimRecord, batch) for batch in BATCHES}
    unscored = {batch for batch, claim in claims.items() if claim is None or claim.version is None}
    assert unscored == {"2024-01-01"}
    asked = [batch for batch in BATCHES if ledger.get(VerdictRecord, batch).action == "retrain"]  # type: ignore[union-attr]
    assert asked == BATCHES


@needs_postgres
def test_rows_lie_on_s3_and_nowhere_else(composed: Composed, stores: Stores) -> None:
    for table in ("clean", "predictions", "labels", "quarantine_rows"):
        assert DeltaTable(stores.lake.table_uri(table)).to_pyarrow_table().num_rows > 0
    record = stores.ledger.get(BatchRecord, "rows.2024-01-02")
    assert record is not None
    assert stores.lake.read_any("clean", "2024-01-02", 0).num_rows == record.clean
    assert stores.lake.read_any("predictions", "2024-01-02", 0).num_rows == record.clean
    keys = [one["Key"] for one in boto3.client("s3").list_objects_v2(Bucket="evergreen", Prefix="mlflow/")["Contents"]]
    assert any(key.endswith("estimator.skops") for key in keys)
    homes = [path.name for path in (composed.place / "home").rglob("*") if path.is_file()]
    assert not [name for name in homes if name.endswith((".db", ".parquet", ".skops"))]


@needs_postgres
def test_mlflow_names_the_champion(composed: Composed, stores: Stores) -> None:
    # Unsaid, the registry would be the one that was last spoken to in this process.
    client = MlflowClient(composed.url("mlflow:5000"), composed.url("mlflow:5000"))
    newest = stores.ledger.last(PromotionRecord, "champion")
    assert newest is not None
    assert int(client.get_model_version_by_alias("dev.taxi", "champion").version) == newest.version
    assert stores.models.champion() == (newest.version, newest.number)
    assert composed.query("mlflow", "SELECT name FROM registered_models") == [("dev.taxi",)]


@needs_postgres
def test_mlflow_answers_to_its_own_names_alone(composed: Composed) -> None:
    experiments = f"{composed.url('mlflow:5000')}/api/2.0/mlflow/experiments/search?max_results=1"
    assert ask(experiments, Host="mlflow:5000")[0] == 200
    assert ask(experiments, Host="evil.example")[0] == 403


@needs_postgres
def test_no_task_has_failed(composed: Composed) -> None:
    tried = composed.query("airflow", "SELECT dag_id, task_id, run_id, state FROM task_instance")
    assert {row[0] for row in tried} == {"taxi__batch", "taxi__drift", "taxi__retrain", "evergreen__watch"}
    assert [row for row in tried if row[3] in ("failed", "upstream_failed")] == []


@needs_postgres
def test_only_the_password_of_env_opens_airflow(composed: Composed) -> None:
    login = f"{composed.url('api-server:8080')}/auth/token"
    assert ask(login, {"username": "admin", "password": "admin"})[0] == 401
    status, token = ask(login, {"username": "admin", "password": composed.env["AIRFLOW_ADMIN_PASSWORD"]})
    assert status == 201
    runs = f"{composed.url('api-server:8080')}/api/v2/dags/taxi__retrain/dagRuns"
    assert ask(runs)[0] == 401
    bearer = f"Bearer {token['access_token']}"
    made = {run["dag_run_id"] for run in ask(runs, Authorization=bearer)[1]["dag_runs"]}
    assert {f"verdict-{batch}.0-run-1" for batch in BATCHES} == made
    # By the second batch there are labels to learn from.
    trained = f"{runs}/verdict-{BATCHES[1]}.0-run-1/taskInstances/train_model/xcomEntries/return_value"
    entry = ask(trained, Authorization=bearer)[1]
    # A link that a person's browser can follow, not the name inside the network.
    assert f"http://localhost:{composed.ports['mlflow:5000']}/#/experiments/" in str(entry["value"])


@needs_postgres
def test_no_secret_is_said_in_a_log(composed: Composed) -> None:
    # Where files land is no secret: a sensor that waits says it.
    secrets = {name: value for name, value in composed.env.items() if len(value) >= 32 and name != "LANDING_DIR"}
    assert len(secrets) == 13
    for name in composed.processes:
        said = composed.log(name)
        assert [one for one, secret in secrets.items() if secret in said] == [], name


@needs_postgres
def test_a_person_may_ask_from_inside_a_container(composed: Composed, stores: Stores) -> None:
    """`docker compose exec scheduler evergreen status taxi`."""
    command = [sys.executable, "-m", "evergreen.cli", "status", "taxi"]
    done = subprocess.run(
        command, env=composed.environment("scheduler"), cwd=composed.place, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    newest = stores.ledger.last(PromotionRecord, "champion")
    assert newest is not None
    assert f"version {newest.version} serves since batch {newest.effective_from}" in done.stdout


@needs_postgres
@pytest.mark.parametrize("name", ["databases", "setup"])
def test_a_second_up_changes_nothing(composed: Composed, stores: Stores, name: str) -> None:
    assert composed.run_again(name) == 0
    assert composed.query("mlflow", "SELECT count(*) FROM alembic_version") == [(1,)]
    newest = stores.ledger.last(PromotionRecord, "champion")
    assert newest is not None
    assert stores.models.champion() == (newest.version, newest.number)
    assert stores.ledger.get(BatchRecord, "rows.2024-01-02") is not None


def test_every_service_that_stays_has_a_health_check_and_comes_back() -> None:
    for name, service in FILE["services"].items():
        if name in ONE_SHOT:
            continue
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL"), name
        assert service["restart"] == "unless-stopped", name


def test_nobody_starts_before_what_it_needs() -> None:
    for name, service in FILE["services"].items():
        for other, demand in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
            assert demand == {"condition": wanted}, f"{name} after {other}"


def test_no_service_takes_all_memory_or_fills_the_disk_with_its_log() -> None:
    for name, service in interpolate(FILE, SECRETS)["services"].items():
        assert re.fullmatch(r"\d+[mg]", service["mem_limit"]), name
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}, name


def test_who_has_a_proxy_has_links_through_it() -> None:
    told = {"AIRFLOW_URL": "https://airflow.example.org", "MLFLOW_URL": "https://mlflow.example.org"}
    services = interpolate(FILE, SECRETS | told | {"MLFLOW_HOSTS": "mlflow.example.org"})["services"]
    environment, tracking = services["scheduler"]["environment"], services["mlflow"]["environment"]
    assert environment["AIRFLOW__API__BASE_URL"] == told["AIRFLOW_URL"]
    assert json.loads(environment["AIRFLOW_CONN_MLFLOW_DEFAULT"])["extra"] == {"ui": told["MLFLOW_URL"]}
    assert tracking["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] == told["MLFLOW_URL"]
    assert tracking["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")[-1] == "mlflow.example.org"
    # Without one the ports lead there.
    environment = interpolate(FILE, SECRETS | {"MLFLOW_PORT": "5001"})["services"]["triggerer"]["environment"]
    assert json.loads(environment["AIRFLOW_CONN_MLFLOW_DEFAULT"])["extra"] == {"ui": "http://localhost:5001"}
    assert environment["AIRFLOW__API__BASE_URL"] == "http://localhost:8080"


def test_model_folders_come_from_outside_the_image() -> None:
    services = interpolate(FILE, SECRETS | {"MODELS_DIR": "/srv/models"})["services"]
    for name in ("scheduler", "dag-processor", "triggerer", "api-server", "worker-heavy"):
        assert f"/srv/models:{image_environment()['EVERGREEN_MODELS']}:ro" in services[name]["volumes"], name


def test_ports_are_published_on_loopback_alone() -> None:
    published = [port for service in FILE["services"].values() for port in service.get("ports", ())]
    assert len(published) == 6
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_each_secret_of_env_is_asked_for(tmp_path: Path) -> None:
    """Every secret is in .env.example, empty, and compose refuses to start without any one of them."""
    values = make_env(tmp_path / ".env")
    assert len(set(values.values())) == len(values) == 13
    interpolate(FILE, values)
    for name in values:
        with pytest.raises(KeyError, match=f"{name}: see .env.example"):
            interpolate(FILE, values | {name: ""})
    text = (ROOT / "docker-compose.yaml").read_text()
    optional = set(re.findall(r"\$\{(\w+):-", text))
    documented = set(re.findall(r"^#?([A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert {*values, *optional, "COMPOSE_PROFILES"} == documented


def test_no_password_is_written_down() -> None:
    named = re.compile(r"(password|secret|key)$", re.IGNORECASE)
    for name, service in FILE["services"].items():
        for variable, value in service.get("environment", {}).items():
            if named.search(variable):
                assert re.match(r"^\$\{\w+:\?see \.env\.example\}$", value), f"{name}: {variable}"


def test_images_are_pinned() -> None:
    images = {service["image"] for service in FILE["services"].values()} - {"evergreen"}
    images |= set(re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    assert [image for image in images if not re.search(r":[\w.-]*\d", image)] == []


def test_the_image_has_what_it_needs() -> None:
    text = (ROOT / "Dockerfile").read_text()
    copied = [word for line in re.findall(r"^COPY (.*)$", text, re.MULTILINE) for word in line.split()[:-1]]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[1] == "*"
    for source in copied:
        assert (ROOT / source).exists()
        assert f"!{source.rstrip('/')}" in ignored
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE) == ["evergreen"]
    # The wheel is built in the image: all that its file names must be there.
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = {path.split("/")[0] for path in built["tool"]["hatch"]["build"]["targets"]["wheel"]["sources"]}
    wanted |= {built["project"]["readme"], *built["project"]["license-files"], "pyproject.toml"}
    assert wanted <= {source.rstrip("/") for source in copied}


def test_astro_parses_the_dags(tmp_path: Path) -> None:
    environment = {
        **os.environ, "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    }  # fmt: skip
    command = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(ROOT / ".astro"), "-c", os.devnull, "-p"]
    done = subprocess.run(
        [*command, "no:cacheprovider", str(ROOT / ".astro" / "test_dag_integrity_default.py")],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert "3 passed" in done.stdout


@pytest.mark.skipif(
    shutil.which("docker") is None
    or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode != 0,
    reason="no `docker compose` on this machine",
)
def test_docker_compose_accepts_the_file(tmp_path: Path) -> None:
    make_env(tmp_path / ".env")
    command = ["docker", "compose", "--env-file", str(tmp_path / ".env"), "--profile", "celery", "config", "--quiet"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
