"""The CI example: it parses, names commands that there are, and its scripts do in a real shell what they say."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from evergreen.cli import cli

FILE = Path(__file__).parent.parent.parent / "docs" / "examples" / "ci" / "replay-diff.yml"
WORKFLOW = yaml.safe_load(FILE.read_text())
JOBS = WORKFLOW["jobs"]
SCRIPTS = {step["name"]: step["run"] for job in JOBS.values() for step in job["steps"] if "run" in step}


def run(script: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a step as a runner does: bash, ended by the first command that fails."""
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script], cwd=folder, env=os.environ | env, capture_output=True, text=True
    )


def test_every_command_and_option_is_one_that_there_is():
    called = [line.strip() for script in SCRIPTS.values() for line in script.splitlines() if "evergreen " in line]
    commands = [re.split(r"[>|]", line)[0] for line in called]
    assert len(commands) == 1
    for command in commands:
        words = shlex.split(command)
        valid = {option for parameter in cli.commands[words[1]].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= valid
        assert {"--base", "--markdown"} <= set(words)


def test_it_runs_for_model_folders_and_each_job_may_do_the_least():
    # YAML takes the bare word `on` for true.
    assert WORKFLOW[True]["pull_request"]["paths"] == ["include/models/**"]
    assert WORKFLOW["permissions"] == {}
    assert {name: job["permissions"] for name, job in JOBS.items()} == {
        "replay": {"contents": "read"},
        "comment": {"pull-requests": "write"},
    }
    # What may write checks nothing out, and the secrets are where the data are read, nowhere else.
    assert not any("checkout" in step.get("uses", "") for step in JOBS["comment"]["steps"])
    holding = [step for job in JOBS.values() for step in job["steps"] if "secrets." in str(step)]
    assert [step["name"] for step in holding] == ["Replay both"]
    # Whoever names a branch writes no script: names come as variables of the environment.
    assert not any("${{" in script for script in SCRIPTS.values())
    assert JOBS["replay"]["steps"][0]["with"]["fetch-depth"] == 0


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_sound_bash(name):
    done = subprocess.run(["bash", "-n"], input=SCRIPTS[name], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_models_that_were_touched_are_found(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)

    def git(*arguments: str) -> None:
        who = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
        subprocess.run(["git", "-C", tmp_path, *who, *arguments], check=True, capture_output=True)

    def write(*names: str) -> None:
        for name in names:
            path = tmp_path / "include" / "models" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(os.urandom(4)))
        git("add", "--all")
        git("commit", "--quiet", "--message", "more")

    git("init", "--quiet", "--initial-branch", "main")
    write(*(f"{model}/{file}" for model in ("a", "b", "gone", "same") for file in ("config.yaml", "features.py")))
    git("branch", "base")
    git("rm", "-r", "--quiet", "include/models/gone")
    write("b/features.py", "a/config.yaml", "new/config.yaml", "README.md")
    output = tmp_path / "output"
    script = SCRIPTS["Find the models that were touched"]
    assert run(script, tmp_path, BASE="base", GITHUB_OUTPUT=str(output)).returncode == 0
    assert output.read_text() == "models=a b new\n"


@pytest.mark.parametrize(
    ("models", "code", "said"),
    [
        ("equal worse", 1, ["**equal** said\n", "**worse** said\n"]),
        ("equal", 0, ["**equal** said\n"]),
        ("broken equal", 2, ["**broken: not compared.**\n\n    the target is another\n", "**equal** said\n"]),
        # A command that breaks off ends with 1 too, as Python has it.
        ("equal crash", 2, ["**equal** said\n", "**crash: not compared.**\n\n"]),
    ],
)
def test_the_worst_answer_is_the_steps_and_all_are_told(tmp_path, models, code, said):
    """The command itself has its own tests; here one stands in that answers by the model's name."""
    command = tmp_path / "bin" / "evergreen"
    command.parent.mkdir()
    command.write_text(
        "#!/bin/bash\n"
        'if [ "$2" = broken ]; then echo "the target is another"; exit 2; fi\n'
        'if [ "$2" = crash ]; then exit 1; fi\n'
        'echo "**$2** said" | tee "${@: -1}"\n'
        '[ "$2" != worse ]\n'
    )
    command.chmod(0o755)
    env = {"PATH": f"{command.parent}:{os.environ['PATH']}", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
    done = run(SCRIPTS["Replay both"], tmp_path, MODELS=models, BASE="main", **env)
    assert done.returncode == code, done.stderr
    assert (tmp_path / "comment.md").read_text() == "".join(f"{one}\n" for one in said)
    assert (tmp_path / "summary").read_text() == (tmp_path / "comment.md").read_text()
