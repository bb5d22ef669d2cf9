"""What the files of monitoring/ ask of Prometheus."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

PLACE = Path(__file__).parent.parent / "monitoring"
RULES, DASHBOARD = PLACE / "rules.yml", PLACE / "grafana" / "dashboards" / "evergreen.json"


def read_rules() -> list[dict[str, Any]]:
    """The alerts."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def read_panels() -> list[dict[str, Any]]:
    """The panels of the dashboard."""
    return list(json.loads(DASHBOARD.read_text())["panels"])


def queries() -> dict[str, str]:
    """Each expression of a rule or a panel, by where it stands."""
    found = {f"rule {rule['alert']}": rule["expr"] for rule in read_rules()}
    for panel in read_panels():
        found |= {f"panel {panel['title']} {one['refId']}": one["expr"] for one in panel["targets"]}
    variables = json.loads(DASHBOARD.read_text())["templating"]["list"]
    return found | {f"variable {one['name']}": one["definition"] for one in variables}


def named_metrics() -> set[str]:
    """The metrics of ours that they name."""
    return {name for query in queries().values() for name in re.findall(r"\bevergreen_\w+", query)}
