"""A real Prometheus with the settings of monitoring/: it scrapes the pages, and reads each rule and panel."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.live.services import wait_until
from tests.monitoring_files import PLACE, RULES, queries, read_rules
from tests.pages_server import listen_with_pages
from tests.postgres import free_port
from tests.unit.small_loop import SmallLoop

PROMETHEUS = shutil.which("prometheus")
pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="no prometheus (Debian's package)")
Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Asks the API of a Prometheus that scrapes a model of three days."""
    loop, home = SmallLoop.begun(tmp_path_factory.mktemp("loop"), 3), tmp_path_factory.mktemp("prometheus")
    pages = listen_with_pages(Path(loop.at.lake).parent, loop.model.path.parent, ["small__batch"])
    with pages as (address, token):
        configure(home, address, token)
        with running(home) as ask:
            yield ask


def configure(home: Path, address: str, token: str) -> None:
    """The settings as compose has them, but for where the pages are; every few seconds in place of each minute."""
    settings = yaml.safe_load((PLACE / "prometheus.yml").read_text())
    settings["global"] = {"scrape_interval": "3s", "evaluation_interval": "1s"}
    (scraped,) = settings["scrape_configs"]
    scraped |= {"static_configs": [{"targets": [address.removeprefix("http://")]}], "scrape_timeout": "3s"}
    scraped["authorization"] = {"credentials_file": str(home / "token")}
    (home / "token").write_text(token)
    (home / "prometheus.yml").write_text(yaml.safe_dump(settings))
    shutil.copy(RULES, home)


@contextmanager
def running(home: Path) -> Iterator[Ask]:
    port = free_port()
    options = {"config.file": home / "prometheus.yml", "storage.tsdb.path": home / "data"}
    options |= {"web.listen-address": f"127.0.0.1:{port}"}
    command = [str(PROMETHEUS), *(f"--{name}={value}" for name, value in options.items())]

    def ask(path: str, **parameters: str) -> Any:
        answer = httpx.get(f"http://127.0.0.1:{port}{path}", params=parameters, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"] if path.startswith("/api") else answer.text

    def is_ready() -> bool:
        try:
            return "Ready" in ask("/-/ready")
        except (httpx.TransportError, AssertionError):
            return False

    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_until(is_ready, 60, "Prometheus")
            yield ask
        finally:
            process.terminate()
            process.wait(30)


def test_it_scrapes_the_pages_with_a_users_token(ask: Ask) -> None:
    def scraped() -> list[dict[str, Any]]:
        return list(ask("/api/v1/query", query='evergreen_champion_version{env="dev", model="small"}')["result"])

    (one,) = wait_until(scraped, 60, "a scrape")
    # The baseline, and what was better on the second day.
    assert one["value"][1] == "2"
    (target,) = ask("/api/v1/targets", state="active")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")


def test_it_evaluates_each_rule(ask: Ask) -> None:
    def evaluated() -> list[dict[str, Any]]:
        rules = [rule for group in ask("/api/v1/rules")["groups"] for rule in group["rules"]]
        return rules if all(rule["health"] != "unknown" for rule in rules) else []

    rules = wait_until(evaluated, 60, "the rules' first evaluation")
    assert {rule["name"] for rule in rules} == {rule["alert"] for rule in read_rules()}
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []


def test_it_answers_each_panel(ask: Ask) -> None:
    wait_until(lambda: ask("/api/v1/query", query="evergreen_readable")["result"], 60, "a scrape")
    panels = {where: query for where, query in queries().items() if where.startswith("panel")}
    drawn = {
        where: ask("/api/v1/query", query=query.replace("$env", "dev").replace("$model", "small"))["result"]
        for where, query in panels.items()
    }
    # Nothing is wrong with the model, and its version serves too shortly to have first labels.
    quiet = {where.removeprefix("panel ") for where, result in drawn.items() if not result}
    assert quiet == {"Error B", "Models E", "Open incidents by cause A"}
