"""Slack on loopback: what is told arrives, is edited when the incident goes on, and its silence is an outage."""

import json
import logging
import socket
import time

import pytest

from airflow_evergreen.alerts import sinks_of, tell_incidents
from airflow_evergreen.hooks.slack_sink import SlackSink
from evergreen.config.model_folder import load_model_folder
from evergreen.errors import Outage
from evergreen.incidents import report, resolve
from evergreen.sinks import Message
from tests.fake_slack import fake_slack

LINK = "http://localhost:8080/dags/taxi__batch/runs/r/tasks/t"


@pytest.fixture
def slack(monkeypatch):
    """A Slack with a connection of each kind to it."""
    with fake_slack() as server:
        monkeypatch.setenv("AIRFLOW_CONN_TEAM_API", server.api)
        monkeypatch.setenv("AIRFLOW_CONN_TEAM_HOOK", server.webhook)
        yield server


def message(event="opened", text="811 rows with an unknown zone", receipt="", sightings=1, link=LINK, **more):
    return Message("taxi", "drift.0", event, "2024-01-08", text, sightings, "Taxi trips", link, receipt, **more)


def texts(body):
    return [block["text"]["text"] for block in body["blocks"]]


def test_the_web_api_posts_what_happened_with_a_link(slack):
    receipt = SlackSink("team_api", "#models").tell(message())
    (said,) = slack.messages
    assert said.kind == "post"
    assert said.body["channel"] == "#models"
    assert said.body["text"] == "Taxi trips: drift.0 opened, batch 2024-01-08"
    head, text, link = texts(said.body)
    assert head.endswith("Taxi trips: drift.0 opened, batch 2024-01-08")
    assert text == "811 rows with an unknown zone"
    assert LINK in link
    assert receipt == f"C0123456789 {said.ts}"


@pytest.mark.parametrize("event", ["seen again", "resolved"])
def test_the_web_api_edits_its_own_message(slack, event):
    sink = SlackSink("team_api", "#models")
    receipt = sink.tell(message())
    assert sink.tell(message(event, "it goes on", receipt, sightings=3, earlier=("811 rows",))) == receipt
    assert [said.kind for said in slack.messages] == ["post", "update"]
    (shown,) = slack.shown().values()
    assert f"drift.0 {event}" in shown["text"]
    assert texts(shown)[0].endswith("reported 3 times")
    assert texts(shown)[1:3] == ["811 rows", "it goes on"]


def test_what_is_news_is_posted_to_the_channel_below_its_own_message(slack):
    sink = SlackSink("team_api", "#models")
    receipt = sink.tell(message())
    assert sink.tell(message("seen again", "another day", receipt, earlier=("811 rows",), anew=True)) == receipt
    assert [said.kind for said in slack.messages] == ["post", "update", "post"]
    news = slack.messages[-1].body
    assert (news["thread_ts"], news["reply_broadcast"]) == (slack.messages[0].ts, True)
    assert texts(news)[1] == "another day"


def test_a_webhook_posts_each_time_and_gives_no_receipt(slack):
    sink = SlackSink("team_hook")
    assert sink.tell(message()) is None
    assert sink.tell(message("resolved")) is None
    assert [said.kind for said in slack.messages] == ["webhook", "webhook"]
    assert [said.body["text"].split()[3] for said in slack.messages] == ["opened,", "resolved,"]


def test_a_message_without_a_link_has_no_button(slack):
    SlackSink("team_api", "#models").tell(message(link=""))
    assert len(texts(slack.messages[0].body)) == 2


@pytest.mark.parametrize("conn_id", ["team_api", "team_hook"])
def test_a_long_text_is_cut_to_what_slack_takes(slack, conn_id):
    SlackSink(conn_id, "#models").tell(message(text="ä" * 5000))
    assert 2000 < len(texts(slack.messages[0].body)[1]) <= 3000
    assert slack.refused == []


def test_text_from_data_is_no_markup(slack):
    SlackSink("team_api", "#models").tell(message(text="zone: found <!channel> & 3 *others*, distance < 0"))
    (block,) = [one for one in slack.messages[0].body["blocks"] if "zone" in one["text"]["text"]]
    assert block["text"]["text"] == "zone: found &lt;!channel&gt; &amp; 3 *others*, distance &lt; 0"
    assert block["text"]["type"] == "plain_text"


@pytest.mark.parametrize("conn_id", ["team_api", "team_hook"])
def test_a_title_pages_nobody_and_is_cut_to_what_a_heading_takes(slack, conn_id):
    title = Message("taxi", "drift.0", "opened", "2024-01-08", "text", 2, "<!here> " * 40, "http://x/y|<!here>")
    SlackSink(conn_id, "#models").tell(title)
    assert slack.refused == []
    (said,) = slack.messages
    assert "<!here>" not in json.dumps(said.body)
    assert texts(said.body)[0].endswith("…, reported 2 times")
    assert texts(said.body)[-1] == "<http://x/y%7C&lt;!here&gt;|Open in Airflow>"


def test_a_message_that_a_person_has_deleted_is_posted_anew(slack):
    receipt = SlackSink("team_api", "#models").tell(message("resolved", receipt="C0123456789 1600000000.000001"))
    assert [said.kind for said in slack.messages] == ["post"]
    assert receipt == f"C0123456789 {slack.messages[0].ts}"


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
    from evergreen.storage.stores import open_stores

    ledger = open_stores(deployment, told_in_slack.id).ledger
    report(ledger, "drift", "2024-01-01", "drift of distance")
    assert tell_incidents(told_in_slack, deployment) == {"told": 2, "failed": 0}
    report(ledger, "drift", "2024-01-02", "drift of distance")
    tell_incidents(told_in_slack, deployment)
    resolve(ledger, "drift", "2024-01-03", "as before")
    tell_incidents(told_in_slack, deployment)
    assert [said.kind for said in slack.messages] == ["post", "update", "update"]
    (shown,) = slack.shown().values()
    assert "drift.0 resolved, batch 2024-01-03" in shown["text"]
    assert tell_incidents(told_in_slack, deployment) == {"told": 0, "failed": 0}


def test_what_slack_did_not_accept_is_told_by_the_next_run(told_in_slack, deployment, slack):
    from evergreen.storage.stores import open_stores

    report(open_stores(deployment, told_in_slack.id).ledger, "drift", "2024-01-01", "drift of distance")
    slack.error = "internal_error"
    assert tell_incidents(told_in_slack, deployment) == {"told": 1, "failed": 1}
    slack.error = ""
    assert tell_incidents(told_in_slack, deployment) == {"told": 1, "failed": 0}
    assert len(slack.shown()) == 1
