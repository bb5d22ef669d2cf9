"""Alerts: each sink is told each thing once, and a sink that is down delays no other and misses nothing."""

from pathlib import Path

import pytest

from evergreen.config.model_folder import load_model_folder
from evergreen.errors import Outage, RecordUnreadable
from evergreen.incidents import announce, report, resolve
from evergreen.steps.send_alerts import default_sinks, send_alerts
from evergreen.storage.stores import open_stores


class Listener:
    """A sink that keeps what it hears, and can be down."""

    def __init__(self, name, down=False):
        self.name, self.down, self.heard, self.asked = name, down, [], 0

    def tell(self, message):
        self.asked += 1
        if self.down:
            raise Outage(f"{self.name} is down")
        self.heard.append((message.incident, message.event, message.as_of, message.sightings))


@pytest.fixture
def model(write_folder):
    return load_model_folder(write_folder())


@pytest.fixture
def ledger(model, at):
    return open_stores(at, model.id).ledger


def test_each_thing_is_told_once(model, at, ledger):
    sink = Listener("chat")
    report(ledger, "fault-rows", "2024-01-01", "fault")
    assert send_alerts(model, at, (sink,)).told == 1
    assert send_alerts(model, at, (sink,)).told == 0
    report(ledger, "fault-rows", "2024-01-02", "fault")
    send_alerts(model, at, (sink,))
    resolve(ledger, "fault-rows", "2024-01-03", "over")
    send_alerts(model, at, (sink,))
    assert sink.heard == [
        ("fault-rows.0", "opened", "2024-01-01", 1),
        ("fault-rows.0", "seen again", "2024-01-02", 2),
        ("fault-rows.0", "resolved", "2024-01-03", 2),
    ]


def test_what_is_announced_is_told_once_and_not_as_resolved(model, at, ledger):
    sink = Listener("chat")
    announce(ledger, "moved", "2024-01-01", "version 1")
    for _ in range(2):
        send_alerts(model, at, (sink,))
    assert sink.heard == [("moved.0", "opened", "2024-01-01", 1)]


def test_a_sink_that_is_down_delays_no_other_and_hears_all_later(model, at, ledger):
    chat, mail = Listener("chat", down=True), Listener("mail")
    report(ledger, "fault-rows", "2024-01-01", "fault")
    result = send_alerts(model, at, (chat, mail))
    assert (result.told, result.failed) == (1, 1)
    resolve(ledger, "fault-rows", "2024-01-02", "over")
    report(ledger, "fault-rows", "2024-01-03", "another fault")
    report(ledger, "drift", "2024-01-03", "drift")
    send_alerts(model, at, (chat, mail))
    assert chat.heard == []
    chat.down = False
    assert send_alerts(model, at, (chat, mail)).failed == 0
    expected = {
        ("fault-rows.0", "opened"),
        ("fault-rows.0", "resolved"),
        ("fault-rows.1", "opened"),
        ("drift.0", "opened"),
    }
    assert {heard[:2] for heard in mail.heard} == {heard[:2] for heard in chat.heard} == expected
    assert len(chat.heard) == len(mail.heard) == 4


def test_a_sink_that_is_down_is_not_asked_again_in_the_same_run(model, at, ledger):
    chat = Listener("chat", down=True)
    for cause in ("drift", "decay", "fault-rows"):
        report(ledger, cause, "2024-01-01", cause)
    assert send_alerts(model, at, (chat,)).failed == 3
    assert chat.asked == 1


def test_a_damaged_incident_is_named_when_all_others_are_told(model, at, ledger):
    mail = Listener("mail")
    for cause in ("fault-rows", "drift"):
        report(ledger, cause, "2024-01-01", "trouble")
    (Path(at.lake) / "ledger" / at.env / model.id / "incident" / "fault-rows" / "0.json").write_bytes(b"")
    for _ in range(2):
        open_stores.cache_clear()
        with pytest.raises(RecordUnreadable, match=r"incident/fault-rows/0\.json is damaged"):
            send_alerts(model, at, (mail,))
    assert mail.heard == [("drift.0", "opened", "2024-01-01", 1)]


def test_a_model_that_names_nobody_is_told_to_the_deployment(write_folder, edit_config, monkeypatch):
    monkeypatch.setenv("EVERGREEN_ALERTS_HTTP", "http://ops.example/")
    nobody = load_model_folder(write_folder("bikes"))
    own = load_model_folder(
        write_folder("cabs", config=edit_config("seed: 7}\n", "seed: 7}\nalerts: {http: 'http://cabs.example/'}\n"))
    )
    slack = load_model_folder(
        write_folder("vans", config=edit_config("seed: 7}\n", "seed: 7}\nalerts: {slack: vans}\n"))
    )
    named = {one.id: [sink.name for sink in default_sinks(one)] for one in (nobody, own, slack)}
    assert named == {"bikes": ["log", "http-deployment"], "cabs": ["log", "http"], "vans": ["log"]}
