"""Slack on loopback: what is told arrives, is edited when the incident goes on, and its silence is an outage."""

import json
import logging
import socket
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from airflow_evergreen.alerts import sinks_of, tell_incidents
from airflow_evergreen.hooks.slack_sink import SlackSink
from evergreen.config.model_folder import load_model_folder
from evergreen.errors import Outage
from evergreen.incidents import report, resolve
from evergreen.records import NoticeRecord, TellingRecord
from evergreen.sinks import Message
from evergreen.steps.send_alerts import find_untold
from evergreen.storage.ledger import Ledger
from evergreen.storage.stores import open_stores
from tests.fake_slack import CHANNEL, fake_slack

LINK = "http://localhost:8080/dags/taxi__batch/runs/r/tasks/t"


@pytest.fixture
def slack(monkeypatch):
    """A Slack with a connection of each kind to it."""
    with fake_slack() as server:
        monkeypatch.setenv("AIRFLOW_CONN_TEAM_API", server.api)
        monkeypatch.setenv("AIRFLOW_CONN_TEAM_HOOK", server.webhook)
        yield server


def message(event="opened", text="811 rows with an unknown zone", receipt="", sightings=1, link=LINK, **more):
    more = {"heading": "inputs drifted", "since": "2024-01-08", "id": "taxi.drift.0.opened"} | more
    return Message("taxi", "drift.0", event, "2024-01-08", text, sightings, "Taxi trips", link, receipt, **more)


def texts(body):
    """What a person reads of a message, line by line."""
    found = []
    for block in body["blocks"]:
        elements = block.get("elements", [block])
        found += [one["text"]["text"] if isinstance(one["text"], dict) else one["text"] for one in elements]
    return found


def buttons(body):
    return {
        one["text"]["text"]: one["url"] for block in body["blocks"] for one in block.get("elements", []) if "url" in one
    }


def test_the_web_api_posts_what_happened_what_was_done_what_to_do_and_where_to_look(slack):
    links = {"page": "http://x/dags/taxi__batch/plugin/evergreen-model", "runbook": "http://docs/runbook.md#drift"}
    receipt = SlackSink("team_api", "#models").tell(
        message(done="No retraining is asked for.", todo="Look at the source.", **links)
    )
    (said,) = slack.messages
    assert (said.kind, said.body["channel"]) == ("post", "#models")
    summary = "Taxi trips: inputs drifted, drift.0 opened, batch 2024-01-08: 811 rows with an unknown zone"
    assert said.body["text"] == summary
    assert texts(said.body) == [
        "\N{LARGE ORANGE CIRCLE} Taxi trips: inputs drifted",
        "drift.0 · since 2024-01-08",
        "811 rows with an unknown zone",
        "Done: No retraining is asked for.",
        "To do: Look at the source.",
        "Model's page",
        "Run in Airflow",
        "Runbook",
    ]
    assert buttons(said.body) == {"Model's page": links["page"], "Run in Airflow": LINK, "Runbook": links["runbook"]}
    assert receipt == f"{CHANNEL} {said.ts}"


@pytest.mark.parametrize("event", ["opened", "resolved"])
def test_who_has_to_answer_is_led_to_the_form(slack, event):
    run = "http://airflow/dags/taxi__retrain/runs/verdict-2024-01-14.0-run-1"
    asked = replace(message(event, link=f"{run}/tasks/judge_model?try_number=1"), incident="approval.0")
    SlackSink("team_api", "#models").tell(asked)
    form = buttons(slack.messages[0].body).get("Approve or reject")
    assert form == (f"{run}/tasks/approve_model/required_actions" if event == "opened" else None)


@pytest.mark.parametrize("event", ["seen again", "resolved"])
def test_the_web_api_edits_its_own_message_and_keeps_its_first_text(slack, event):
    sink = SlackSink("team_api", "#models")
    receipt = sink.tell(message())
    assert sink.tell(message(event, "it goes on", receipt, sightings=3, earlier=("811 rows",))) == receipt
    assert [said.kind for said in slack.messages] == ["post", "update"]
    (shown,) = slack.shown().values()
    assert f"drift.0 {event}" in shown["text"]
    head, since, first, newest, *_ = texts(shown)
    assert head.endswith("inputs drifted, over") is (event == "resolved")
    assert since == f"drift.0 · since 2024-01-08 · reported 3 times · {event} at 2024-01-08"
    label = "Over" if event == "resolved" else "Last"
    assert (first, newest) == ("811 rows", f"{label}: it goes on")


def test_what_is_news_is_posted_to_the_channel_below_its_own_message(slack):
    sink = SlackSink("team_api", "#models")
    receipt = sink.tell(message())
    assert sink.tell(message("seen again", "another day", receipt, earlier=("811 rows",), anew=True)) == receipt
    assert [said.kind for said in slack.messages] == ["post", "update", "post"]
    news = slack.messages[-1].body
    assert (news["thread_ts"], news["reply_broadcast"]) == (slack.messages[0].ts, True)
    assert texts(news)[2] == "another day"


def test_a_webhook_posts_each_time_and_gives_no_receipt(slack):
    sink = SlackSink("team_hook")
    assert sink.tell(message()) is None
    assert sink.tell(message("resolved")) is None
    assert [said.kind for said in slack.messages] == ["webhook", "webhook"]
    assert ["resolved" in said.body["text"] for said in slack.messages] == [False, True]


def test_a_message_without_addresses_has_no_button_and_names_the_section(slack):
    SlackSink("team_api", "#models").tell(message(link="", runbook="docs/runbook.md#drift"))
    assert buttons(slack.messages[0].body) == {}
    assert texts(slack.messages[0].body)[-1] == "Runbook: docs/runbook.md#drift"


@pytest.mark.parametrize("conn_id", ["team_api", "team_hook"])
def test_a_long_text_is_cut_to_what_slack_takes(slack, conn_id):
    SlackSink(conn_id, "#models").tell(message(text="ä" * 5000, done="ö" * 5000, todo="&" * 5000))
    assert [2000 < len(text) <= 3000 for text in texts(slack.messages[0].body)[2:5]] == [True] * 3
    assert slack.refused == []


def test_many_lines_are_several_sections_of_which_the_first_is_never_lost(slack):
    lines = [f"model_{i}: " + "x" * 200 for i in range(2000)]
    SlackSink("team_api", "#models").tell(message(text="\n".join(lines), event="news"))
    assert slack.refused == []
    shown = texts(slack.messages[0].body)
    assert shown[2].startswith("model_0: ")
    assert shown[-2].endswith(lines[-1])


def test_text_from_data_is_no_markup(slack):
    SlackSink("team_api", "#models").tell(message(text="zone: found <!channel> & 3 *others*, distance < 0"))
    (block,) = [one for one in slack.messages[0].body["blocks"] if "zone" in str(one)]
    assert block["text"]["text"] == "zone: found &lt;!channel&gt; &amp; 3 *others*, distance &lt; 0"
    assert block["text"]["type"] == "plain_text"


@pytest.mark.parametrize("conn_id", ["team_api", "team_hook"])
def test_a_title_pages_nobody_and_is_cut_to_what_a_heading_takes(slack, conn_id):
    SlackSink(conn_id, "#models").tell(replace(message(link="http://x/y|<!here> z"), title="<!here> " * 40))
    assert slack.refused == []
    (said,) = slack.messages
    assert "<!here>" not in json.dumps(said.body)
    assert texts(said.body)[0].endswith("…: inputs drifted")
    assert buttons(said.body) == {"Run in Airflow": "http://x/y%7C%3C!here%3E%20z"}


def test_a_message_that_a_person_has_deleted_is_posted_anew(slack):
    receipt = SlackSink("team_api", "#models").tell(message("resolved", receipt=f"{CHANNEL} 1600000000.000001"))
    assert [said.kind for said in slack.messages] == ["post"]
    assert receipt == f"{CHANNEL} {slack.messages[0].ts}"


@pytest.mark.parametrize("blind", [False, True])
def test_what_was_posted_before_a_kill_is_found_and_not_posted_again(slack, blind):
    """A channel's id is needed, and the right to look; without them it comes twice, rather than never."""
    sink, before, slack.blind = SlackSink("team_api", CHANNEL), datetime.now(UTC).isoformat(), blind
    first, other = sink.tell(message()), sink.tell(message(id="taxi.drift.1.opened"))
    again = sink.tell(message(tried=before))
    assert ([said.kind for said in slack.messages], again == first) == (["post"] * (3 if blind else 2), not blind)
    news = message("seen again", "another day", first, anew=True, id="taxi.drift.0.seen-0")
    sink.tell(news)
    sink.tell(replace(news, tried=before))
    threads = [said for said in slack.messages if said.body.get("thread_ts")]
    assert len(threads) == (2 if blind else 1)
    assert other != first


def test_a_connection_that_breaks_after_the_request_is_not_asked_twice(slack):
    """Slack may have taken it; its client would send it again at once."""
    sink, slack.silent = SlackSink("team_api", CHANNEL), 1
    with pytest.raises(Outage):
        sink.tell(message())
    assert [said.kind for said in slack.messages] == ["post"]


@pytest.mark.parametrize("wait", [1, 3600])
def test_slack_that_asks_to_wait_is_waited_for_a_moment_and_no_longer(slack, wait):
    slack.limits, began = [wait], time.monotonic()
    if wait == 1:
        SlackSink("team_api", "#models").tell(message())
    else:
        with pytest.raises(Outage, match="ratelimited"):
            SlackSink("team_api", "#models").tell(message())
    assert time.monotonic() - began < 9
    assert len(slack.messages) == (wait == 1)


@pytest.mark.parametrize("error", ["channel_not_found", "not_in_channel", "invalid_auth", "ratelimited"])
@pytest.mark.parametrize("conn_id", ["team_api", "team_hook"])
def test_a_refusal_is_an_outage_that_says_why(slack, conn_id, error):
    slack.error = error
    with pytest.raises(Outage, match=rf"drift\.0[\s\S]*{error}"):
        SlackSink(conn_id, "#models").tell(message())
    assert slack.messages == []


def test_a_call_without_a_channel_is_an_outage_that_says_so(slack):
    with pytest.raises(Outage, match="channel_not_found"):
        SlackSink("team_api").tell(message())


@pytest.mark.parametrize("kind", ["slack", "slackwebhook"])
def test_a_dead_port_is_an_outage_at_once(kind, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    connection = {"conn_type": kind, "password": "x", "host": url, "extra": json.dumps({"base_url": url})}
    monkeypatch.setenv("AIRFLOW_CONN_TEAM", json.dumps(connection))
    began = time.monotonic()
    with pytest.raises(Outage, match=r"drift\.0"):
        SlackSink("team", "#models").tell(message())
    assert time.monotonic() - began < 5


def test_a_connection_without_a_token_is_an_outage_that_names_it(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_TEAM", json.dumps({"conn_type": "slack"}))
    with pytest.raises(Outage, match="team"):
        SlackSink("team", "#models").tell(message())


def test_only_a_connection_that_is_there_is_configured(slack):
    assert SlackSink.configured("team_api")
    assert not SlackSink.configured("team_mail")


@pytest.fixture
def told_in_slack(write_folder, edit_config):
    """A model that tells its incidents by the connection team_api."""
    alerts = "alerts: {slack: team_api, channel: '#models'}\nfeatures: "
    return load_model_folder(write_folder("bikes", config=edit_config("features: ", alerts)))


def test_a_model_without_the_connection_is_logged_only(told_in_slack, deployment, caplog):
    with caplog.at_level(logging.WARNING):
        assert [sink.name for sink in sinks_of(told_in_slack)] == ["log"]
    assert "alerts.slack names connection team_api, which is not there" in caplog.text
    assert tell_incidents(told_in_slack, deployment) == {"told": 0, "failed": 0}


def test_an_incident_is_one_message_from_its_opening_to_its_end(told_in_slack, deployment, slack):
    ledger = open_stores(deployment, told_in_slack.id).ledger
    report(ledger, "drift", "2024-01-01", "drift of distance")
    assert tell_incidents(told_in_slack, deployment) == {"told": 2, "failed": 0}
    report(ledger, "drift", "2024-01-02", "drift of distance")
    tell_incidents(told_in_slack, deployment)
    resolve(ledger, "drift", "2024-01-03", "as before")
    tell_incidents(told_in_slack, deployment)
    assert [said.kind for said in slack.messages] == ["post", "update", "update"]
    (shown,) = slack.shown().values()
    assert texts(shown)[2:4] == ["drift of distance", "Over: as before"]
    assert "http://localhost:8080/dags/bikes__batch/plugin/evergreen-model" in buttons(shown).values()
    assert "drift.0 resolved, batch 2024-01-03" in shown["text"]
    assert tell_incidents(told_in_slack, deployment) == {"told": 0, "failed": 0}


def test_what_slack_did_not_accept_is_told_by_the_next_run(told_in_slack, deployment, slack):
    report(open_stores(deployment, told_in_slack.id).ledger, "drift", "2024-01-01", "drift of distance")
    slack.error = "internal_error"
    assert tell_incidents(told_in_slack, deployment) == {"told": 1, "failed": 1}
    slack.error = ""
    assert tell_incidents(told_in_slack, deployment) == {"told": 1, "failed": 0}
    assert len(slack.shown()) == 1


def test_a_task_that_is_killed_between_the_message_and_its_notice_leaves_one_message(
    write_folder, edit_config, deployment, slack, monkeypatch
):
    alerts = f"alerts: {{slack: team_api, channel: {CHANNEL}}}\nfeatures: "
    model, put = load_model_folder(write_folder("bikes", config=edit_config("features: ", alerts))), Ledger.put

    def die(ledger, record):
        if isinstance(record, NoticeRecord) and not isinstance(record, TellingRecord) and record.sink != "log":
            raise KeyboardInterrupt
        return put(ledger, record)

    report(open_stores(deployment, "bikes").ledger, "drift", "2024-01-01", "drift of distance")
    monkeypatch.setattr(Ledger, "put", die)
    with pytest.raises(KeyboardInterrupt):
        tell_incidents(model, deployment)
    monkeypatch.setattr(Ledger, "put", put)
    assert len(slack.shown()) == 1
    assert find_untold(model, deployment, datetime.now(UTC)) == ["slack-team_api: drift.0 opened"]
    assert tell_incidents(model, deployment) == {"told": 1, "failed": 0}
    assert find_untold(model, deployment, datetime.now(UTC)) == []
    resolve(open_stores(deployment, "bikes").ledger, "drift", "2024-01-02", "as before")
    tell_incidents(model, deployment)
    assert [said.kind for said in slack.messages] == ["post", "update"]
