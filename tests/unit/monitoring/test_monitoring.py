"""Prometheus' rules and Grafana's dashboard fit together, and alerts fire when they should, as promtool finds."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from airflow_evergreen.pages.metrics import HELP
from tests.monitoring_files import PLACE, RULES, named_metrics, queries, read_panels, read_rules

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="no promtool (Debian's package prometheus)")
HERE = Path(__file__).parent


def promtool(*arguments):
    return subprocess.run([PROMTOOL, *map(str, arguments)], capture_output=True, text=True)


@needs_promtool
def test_alerts_fire_when_they_should_and_not_before():
    done = promtool("test", "rules", HERE / "rules_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_prometheus_takes_rules_and_settings(tmp_path):
    assert f"{len(read_rules())} rules found" in promtool("check", "rules", RULES).stdout
    settings = (PLACE / "prometheus.yml").read_text()
    token = re.search(r"credentials_file: ([^}]+)", settings).group(1)
    shutil.copy(RULES, tmp_path)
    (tmp_path / "token").write_text("x")
    (tmp_path / "prometheus.yml").write_text(settings.replace(token, str(tmp_path / "token")))
    done = promtool("check", "config", tmp_path / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_prometheus_can_read_what_each_panel_asks(tmp_path):
    asked = {where: query.replace("$env", "dev").replace("$model", "taxi") for where, query in queries().items()}
    rules = [{"record": "a:b", "expr": query} for where, query in asked.items() if not where.startswith("variable")]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = promtool("check", "rules", "--lint=none", tmp_path / "panels.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_all_that_the_ledger_tells_is_shown_and_nothing_else_is_asked_for():
    assert named_metrics() == set(HELP)


def test_each_query_of_a_panel_keeps_to_the_chosen_models():
    for where, query in queries().items():
        if where.startswith("panel"):
            assert query.count('{env=~"$env", model=~"$model"}') == len(re.findall(r"\bevergreen_\w+", query)), where


def test_panels_lie_beside_each_other():
    taken = set()
    for panel in read_panels():
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_compose_mounts_what_the_settings_name():
    services = yaml.safe_load((PLACE.parent / "docker-compose.yaml").read_text())["services"]
    settings = yaml.safe_load((PLACE / "prometheus.yml").read_text())
    (scraped,) = settings["scrape_configs"]
    assert scraped["static_configs"] == [{"targets": ["api-server:8080"]}]
    token = Path(scraped["authorization"]["credentials_file"])
    assert f"metrics:{token.parent}:ro" in services["prometheus"]["volumes"]
    assert f"/{token.name}'" in services["metrics-login"]["command"][2]
    assert "metrics:/opt/evergreen/metrics" in services["metrics-login"]["volumes"]
    provided = yaml.safe_load((PLACE / "grafana/provisioning/dashboards/evergreen.yml").read_text())["providers"]
    assert f"./monitoring/grafana/dashboards:{provided[0]['options']['path']}:ro" in services["grafana"]["volumes"]
    (source,) = yaml.safe_load((PLACE / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert {target["datasource"]["uid"] for panel in read_panels() for target in panel["targets"]} == {source["uid"]}
