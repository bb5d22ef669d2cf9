"""What stands in the documents is there: links, tests, the README's example, the words of the workflows."""

import re
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest
import yaml

from evergreen.config.model_folder import load_model_folder
from evergreen.incidents import HEADINGS
from evergreen.records import Cause, Shared
from evergreen.storage.packed_model import load_module

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob(".github/*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
_FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"))


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub links to them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{link}: no such file"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


def test_the_guarantees_name_tests_that_there_are() -> None:
    named = re.findall(r"`(?:\w+/)*(test_\w+\.py)`", README)
    assert len(named) >= 10
    assert [name for name in named if not list(ROOT.glob(f"tests/**/{name}"))] == []


def test_the_example_is_a_model_folder(tmp_path: Path) -> None:
    """It loads, makes features and an estimator, and these fit."""
    folder = tmp_path / "trips"
    folder.mkdir()
    (config,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    features, estimator = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    for name, text in {"config.yaml": config, "features.py": features, "estimator.py": estimator}.items():
        (folder / name).write_text(text)
    assert len(config.splitlines()) == 10
    assert load_model_folder(folder).config.gate.metric == "mae"
    batch = pd.DataFrame({"distance": [1.0, 2.0], "pickup": pd.to_datetime(["2024-01-01 05:00", "2024-01-01 06:00"])})
    built = load_module(folder / "features.py", "features").build_features(batch, batch.iloc[:0])
    fitted = load_module(folder / "estimator.py", "estimator").build_estimator(7).fit(built, [3.0, 5.0])
    assert len(fitted.predict(built)) == 2


def test_the_readme_and_the_glossary_stay_short() -> None:
    assert len(README.splitlines()) <= 170
    words = re.findall(r"^\| (?!word)(\w[\w ]*) \|", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    assert words == sorted(words, key=str.lower)
    assert 0 < len(words) <= 25


def test_the_workflow_calls_what_people_call_and_may_only_read() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    # YAML takes the bare word `on` for true.
    assert set(workflow[True]) == {"push", "pull_request"}
    assert workflow["permissions"] == {"contents": "read"}
    steps = {name: job["steps"] for name, job in workflow["jobs"].items()}
    assert [step["run"] for step in steps["all"] if "run" in step] == [".ci/run"]
    assert [step["run"] for step in steps["matrix"] if "run" in step] == ["make matrix"]
    (python,) = (step["with"]["python-version"] for step in steps["matrix"] if "setup-python" in step.get("uses", ""))
    (matrix,) = re.findall(r"for version in ([\d. ]+);", (ROOT / "Makefile").read_text())
    assert python.split() == matrix.split()


@pytest.mark.parametrize("form", _FORMS, ids=lambda form: form.name)
def test_an_issue_form_is_whole(form: Path) -> None:
    body = yaml.safe_load(form.read_text())
    assert {"name", "description", "body"} <= set(body)
    asked = [one for one in body["body"] if one["type"] != "markdown"]
    assert len({one["id"] for one in asked}) == len(asked)
    assert all(one["attributes"]["label"] for one in asked)


def test_each_kind_of_incident_has_its_section_in_the_runbook_that_says_what_to_do() -> None:
    runbook = ROOT / "docs" / "runbook.md"
    assert set(HEADINGS) == {*get_args(Cause), *get_args(Shared)}
    sections = dict(re.findall(r"^### ([\w-]+)\n\n(.+?)(?=^##)", runbook.read_text(), re.MULTILINE | re.DOTALL))
    for cause in HEADINGS.keys() - {"digest"}:
        assert cause in anchors(runbook)
        assert (
            all(word in sections[cause] for word in ("**Means.**", "**Done.**", "**Do.**"))
            or "The same of" in sections[cause]
        )
