"""The CI examples: they parse, call what there is, may do the least, and cross into an environment by approval."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from evergreen.cli import cli

ROOT = Path(__file__).parent.parent.parent
FILES = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / "docs" / "examples" / "ci").glob("*.yml")}
STEPS = [(name, job, step) for name, flow in FILES.items() for job in flow["jobs"].values() for step in job["steps"]]
SCRIPTS = {f"{name}: {step['name']}": step["run"] for name, _, step in STEPS if "run" in step}
PROMOTE = FILES["promote"]["jobs"]


def test_there_is_one_for_each_crossing():
    assert set(FILES) == {"checks", "image", "promote", "replay-diff"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_sound_and_call_what_there_is(name):
    script = SCRIPTS[name]
    assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0
    # Whoever fills in a form writes no script: what they say comes as variables of the environment.
    assert "${{" not in script
    for line in (line.strip() for line in script.splitlines()):
        if line.startswith("evergreen "):
            words = shlex.split(re.split(r"[>|]", line)[0])
            valid = {option for parameter in cli.commands[words[1]].params for option in parameter.opts}
            assert {word for word in words if word.startswith("--")} <= valid
        if line.startswith("make "):
            assert re.search(rf"^{line.split()[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_each_job_may_do_the_least():
    for flow in FILES.values():
        assert flow["permissions"] == {}
    assert FILES["checks"]["jobs"]["checks"]["permissions"] == {"contents": "read"}
    assert FILES["image"]["jobs"]["image"]["permissions"] == {"contents": "read", "packages": "write"}
    for _, _, step in STEPS:
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False
    assert "secrets." not in str(FILES["checks"])


def test_a_version_crosses_only_into_an_environment_that_approves():
    assert {job: PROMOTE[job]["environment"] for job in PROMOTE} == {
        "export": "${{ inputs.source }}",
        "import": "${{ inputs.target }}",
    }
    assert PROMOTE["import"]["needs"] == "export"
    assert [step["name"] for name, _, step in STEPS if name == "promote" and "secrets." in str(step)] == [
        "Export",
        "Import",
    ]
    # What is imported is what was exported, by a hash that did not travel with the file.
    assert PROMOTE["import"]["steps"][-1]["env"]["SHA256"] == "${{ needs.export.outputs.sha256 }}"


def test_the_hash_that_the_export_says_is_handed_on(tmp_path):
    command = tmp_path / "bin" / "evergreen"
    command.parent.mkdir()
    command.write_text(f'#!/bin/bash\necho "version.zip: version 3 of staging, sha256 {"ab" * 32}"\n')
    command.chmod(0o755)
    env = {"PATH": f"{command.parent}:{os.environ['PATH']}", "GITHUB_OUTPUT": str(tmp_path / "output")}
    names = {"TARGET": "production", "MODEL": "taxi", "VERSION": "3", "WHY": "it did well"}
    script = SCRIPTS["promote: Export"]
    subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, env=os.environ | env | names, check=True)
    assert (tmp_path / "output").read_text() == f"sha256={'ab' * 32}\n"
