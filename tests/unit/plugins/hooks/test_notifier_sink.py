"""E-mail by Airflow's own notifier, to a real SMTP server on loopback; text of data begins no header and no tag."""

import email
import json
import socketserver
from contextlib import contextmanager
from email.policy import default
from threading import Thread

import pytest

from airflow_evergreen.alerts import sinks_of, tell_incidents
from airflow_evergreen.hooks.notifier_sink import NotifierSink, describe
from evergreen.config.locations import deployment_alerts
from evergreen.config.model_folder import load_model_folder
from evergreen.errors import ConfigInvalid, Outage
from evergreen.incidents import report
from evergreen.records import Words
from evergreen.sinks import Message
from evergreen.storage.stores import open_stores

SMTP = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"
ARGUMENTS = {"to": "ops@example.com", "subject": "{{ alert.summary }}", "html_content": "{{ alert.html }}"}
HOSTILE = "zone\r\nBcc: all@example.com\r\n\r\n<script>alert(1)</script> {{ 7 * 6 }}"


@contextmanager
def smtp_server():
    """A server that takes mail by the letter of RFC 5321 and keeps it."""
    mails = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            self.wfile.write(b"220 test\r\n")
            to = []
            while line := self.rfile.readline():
                verb = line.strip().upper().split(b":")[0].split(b" ")[0]
                if verb == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    lines = list(iter(self.rfile.readline, b".\r\n"))
                    mails.append((to, email.message_from_bytes(b"".join(lines), policy=default)))
                if verb == b"RCPT":
                    to.append(line.strip().decode())
                self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
                if verb == b"QUIT":
                    return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server.server_address[1], mails
        server.shutdown()


@pytest.fixture
def post(monkeypatch):
    with smtp_server() as (port, mails):
        extra = {
            "disable_ssl": True,
            "disable_tls": True,
            "from_email": "loop@example.com",
            "timeout": 5,
            "retry_limit": 1,
        }
        connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": json.dumps(extra)}
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
        yield mails


def test_an_incident_is_a_mail_that_says_what_was_done_and_what_to_do(post, write_folder, edit_config, deployment):
    alerts = f"alerts: {{notifiers: [{{{SMTP}: {json.dumps(ARGUMENTS)}}}]}}\nfeatures: "
    model = load_model_folder(write_folder("bikes", config=edit_config("features: ", alerts)))
    assert [sink.name for sink in sinks_of(model)] == ["log", "notifier-SmtpNotifier-0"]
    ledger = open_stores(deployment, "bikes").ledger
    report(ledger, "drift", "2024-01-01", Words("fare drifted.", "No retraining is asked for.", "Look at the source."))
    assert tell_incidents(model, deployment) == {"told": 2, "failed": 0}
    assert tell_incidents(model, deployment) == {"told": 0, "failed": 0}
    ((to, mail),) = post
    assert to == [
        "RCPT TO:<OPS@EXAMPLE.COM>".replace("OPS@EXAMPLE.COM", "ops@example.com").replace("RCPT TO", "rcpt TO")
    ]
    assert mail["Subject"] == "Taxi trips: inputs drifted, drift.0 opened, batch 2024-01-01"
    html = mail.get_body(("html",)).get_content()
    assert "<p>fare drifted.</p><p>Done: No retraining is asked for.</p><p>To do: Look at the source.</p>" in html
    assert '<a href="http://localhost:8080/dags/bikes__batch/plugin/evergreen-model">Model</a>' in html


def test_text_of_data_begins_no_header_and_no_tag_and_is_no_template(post):
    hostile = Message(
        "taxi", "drift.0", "opened", "2024-01-01", HOSTILE, 1, HOSTILE, link='http://x/"><script>', id="a.b"
    )
    NotifierSink(SMTP, ARGUMENTS, "mail").tell(hostile)
    ((to, mail),) = post
    assert len(to) == 1
    assert mail["Bcc"] is None
    assert "Bcc: all@example.com" in mail["Subject"]
    html = mail.get_body(("html",)).get_content()
    assert "<script>" not in html
    assert "{{ 7 * 6 }}" in html


def test_what_a_notifier_is_given_stays_the_same_for_an_incident_and_says_whether_it_is_over():
    opened, over = (
        describe(Message("taxi", "drift.0", event, "2024-01-01", "x", 1, id=f"taxi.drift.0.{event}"))
        for event in ("opened", "resolved")
    )
    assert opened["key"] == over["key"] == "taxi.drift.0"
    assert opened["id"] != over["id"]
    assert (opened["over"], over["over"]) == (False, True)


@pytest.mark.parametrize("path", [SMTP, "airflow.providers.nowhere.Notifier", "evergreen.errors.Nothing"])
def test_a_notifier_that_fails_is_an_outage_that_names_it(path, monkeypatch):
    extra = {"disable_ssl": True, "disable_tls": True, "from_email": "a@b", "timeout": 1, "retry_limit": 1}
    connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": 1, "extra": json.dumps(extra)}
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
    with pytest.raises(Outage, match=rf"{path} did not accept drift\.0"):
        NotifierSink(path, ARGUMENTS, "mail").tell(Message("taxi", "drift.0", "opened", "2024-01-01", "x", 1))


def test_the_environment_names_the_deployment_s(monkeypatch):
    monkeypatch.setenv("EVERGREEN_ALERTS_NOTIFIERS", json.dumps([{SMTP: ARGUMENTS}]))
    assert deployment_alerts().notifiers == ({SMTP: ARGUMENTS},)
    for wrong in ("[{", '[{"a.B": {}, "c.D": {}}]', '[{"Notifier": {}}]', '["a.B"]'):
        monkeypatch.setenv("EVERGREEN_ALERTS_NOTIFIERS", wrong)
        with pytest.raises(ConfigInvalid, match="EVERGREEN_ALERTS_"):
            deployment_alerts()
