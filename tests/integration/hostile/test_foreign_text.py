"""One hostile string, as title, column, category and in a file's name: every medium shows it, and none obeys it."""

import json
import logging
import re
from html import unescape
from pathlib import Path

import pytest
from click.testing import CliRunner
from markdown_it import MarkdownIt

from airflow_evergreen.dags import describe
from airflow_evergreen.hooks.slack_sink import SlackSink
from evergreen.cli import cli
from evergreen.config.locations import Locations
from evergreen.sinks import LogSink
from evergreen.steps.send_alerts import send_alerts
from tests.fake_slack import fake_slack
from tests.integration.hostile.small import CONFIG, batch_of, rows_of, write_model

# Of rich, of emojis, of a page, of Slack, of Markdown, and of the terminal itself.
SEEN = "rate [/min] [bold] :tada: </script><img src=x onerror=alert(1)> <!channel> &lt; *a* _b_ `c` ~~d~~ @team [m](http://x.y)"
HOSTILE = f"{SEEN} \x1b[2J"
SHOWN = f"{SEEN} \\x1b[2J"
FILE = "rows_2024-01-02 [red] <!here>\nERROR all is lost \x1b[2J.csv"


@pytest.fixture(scope="module")
def replayed(tmp_path_factory):
    """What a replay prints of a sound batch and of one that lacks the hostile column, and where its state is."""
    tmp_path = tmp_path_factory.mktemp("replayed")
    columns = CONFIG["rows"]["columns"] | {HOSTILE: "category"}
    model = write_model(
        tmp_path, config={"title": HOSTILE, "rows": CONFIG["rows"] | {"columns": columns}, "labels": "none"}
    )
    folder = tmp_path / "landing" / model.id
    folder.mkdir(parents=True)
    quoted = HOSTILE.replace('"', '""')
    sound = [f'{row},"{quoted}"' for row in rows_of(1, 30)]
    (folder / "rows_2024-01-01.csv").write_text("\n".join([f'id,at,distance,zone,"{quoted}"', *sound]))
    (folder / FILE).write_text("\n".join(["id,at,distance,zone", *rows_of(2, 30)]))
    env = {"EVERGREEN_MODELS": str(tmp_path / "models"), "EVERGREEN_HOME": str(tmp_path)}
    into = tmp_path / "into"
    done = CliRunner(env=env).invoke(cli, ["replay", "trips", "--into", str(into)], catch_exceptions=False)
    assert done.exit_code == 0
    return model, Locations.under(into), done.output


def test_the_terminal_shows_it_and_obeys_nothing(replayed):
    model, at, output = replayed
    assert SHOWN in " ".join(output.split())
    env = {"EVERGREEN_MODELS": str(model.path.parent), "EVERGREEN_LAKE": at.lake}
    status = CliRunner(env=env).invoke(cli, ["status", model.id], catch_exceptions=False).output
    (fault,) = [line for line in status.splitlines() if "fault-rows.0" in line]
    assert SHOWN in fault
    assert FILE.replace("\n", r"\x0a").replace("\x1b", r"\x1b") in fault
    assert "\nERROR" not in status
    assert "\x1b[2J" not in output + status


def test_the_page_shows_it_and_runs_nothing(replayed):
    _, at, _ = replayed
    page = (Path(at.lake).parent / "report.html").read_text(encoding="utf-8")
    heading = re.search("<h1>(.*)</h1>", page)
    assert unescape(heading[1]) == SHOWN
    assert "onerror=alert(1)>" not in page.replace("&gt;", "").replace("\\u003e", "")
    assert "\x1b[2J" not in page


def test_slack_and_log_say_it_and_page_nobody(replayed, monkeypatch, caplog):
    model, at, _ = replayed
    with fake_slack() as slack, caplog.at_level(logging.WARNING):
        monkeypatch.setenv("AIRFLOW_CONN_TEAM", slack.api)
        send_alerts(model, at, (SlackSink("team", "#models"), LogSink()))
        (said,) = [one for one in slack.messages if "fault-rows" in one.body["text"]]
    assert slack.refused == []
    assert not re.search("<(?!http)", json.dumps(said.body["blocks"]) + said.body["text"])
    assert SHOWN in unescape(said.body["blocks"][2]["text"]["text"])
    assert said.body["blocks"][2]["text"]["type"] == "plain_text"
    (line,) = [one.getMessage() for one in caplog.records if one.getMessage().startswith("fault-rows.0 opened")]
    assert SHOWN in line


def test_the_docs_of_a_dag_show_it_as_text(replayed):
    model, _, _ = replayed
    docs = (
        MarkdownIt("commonmark").enable("strikethrough").render(describe(model, "batch", "takes a batch in")["doc_md"])
    )
    assert f"<strong>{SHOWN}</strong>: takes a batch in" in unescape(docs.replace("\u2060", ""))


def test_the_batch_itself_kept_it_as_it_was(replayed):
    from evergreen.storage.stores import open_stores

    model, at, _ = replayed
    rows = open_stores(at, model.id).lake.read_any("clean", batch_of(1), 0)
    assert set(rows.column(HOSTILE).to_pylist()) == {HOSTILE}
