"""Alerts: each sink is told each thing once, and a sink that is down delays no other and misses nothing."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest

from evergreen.config.model_folder import load_model_folder
from evergreen.errors import Outage, RecordUnreadable
from evergreen.incidents import announce, report, resolve, snooze
from evergreen.records import Words
from evergreen.steps.send_alerts import default_sinks, find_untold, send_alerts
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


def test_nothing_is_told_of_what_is_snoozed_before_the_day_and_it_is_told_again_then(model, at, ledger):
    sink, today = Listener("chat"), datetime(2030, 1, 7, 12, tzinfo=UTC)

    def told(day):
        count = len(sink.heard)
        send_alerts(model, at, (sink,), now=today + timedelta(days=day))
        return sink.heard[count:]

    report(ledger, "drift", "2024-01-01", "drift of distance")
    assert told(0) == [("drift.0", "opened", "2024-01-01", 1)]
    quiet = snooze(ledger, "drift.0", "ada", "a new tariff", "2030-01-09", today.date())
    assert (quiet.by, quiet.why, quiet.until) == ("ada", "a new tariff", "2030-01-09")
    report(ledger, "drift", "2024-01-02", "drift of fare")
    report(ledger, "decay", "2024-01-02", "worse")
    assert told(1) == [("decay.0", "opened", "2024-01-02", 1)]
    assert told(2) == [("drift.0", "still open", "2024-01-02", 2)]
    assert told(3) == []
    report(ledger, "drift", "2024-01-03", "drift of both")
    assert told(3) == [("drift.0", "seen again", "2024-01-03", 3)]


def test_what_is_over_when_a_snooze_ends_is_told_to_be_over_and_no_more(model, at, ledger):
    sink, today = Listener("chat"), datetime(2030, 1, 7, 12, tzinfo=UTC)
    report(ledger, "drift", "2024-01-01", "drift of distance")
    send_alerts(model, at, (sink,), now=today)
    snooze(ledger, "drift.0", "ada", "a new tariff", "2030-01-08", today.date())
    resolve(ledger, "drift", "2024-01-02", "as before")
    send_alerts(model, at, (sink,), now=today)
    assert len(sink.heard) == 1
    send_alerts(model, at, (sink,), now=today + timedelta(days=1))
    assert sink.heard[1:] == [("drift.0", "resolved", "2024-01-02", 1)]


def test_a_message_says_when_it_was_tried_before_if_nobody_knows_whether_it_was_accepted(model, at, ledger):
    class Dying(Listener):
        """It accepts, and the process dies before that is noted."""

        tried: ClassVar[list[str]] = []

        def tell(self, message):
            self.tried.append(message.tried)
            super().tell(message)
            if len(self.tried) == 1:
                raise KeyboardInterrupt

    sink = Dying("chat")
    report(ledger, "fault-rows", "2024-01-01", "fault")
    with pytest.raises(KeyboardInterrupt):
        send_alerts(model, at, (sink,))
    assert send_alerts(model, at, (sink,)).told == 1
    first, second = sink.tried
    assert first == ""
    assert datetime.fromisoformat(second).tzinfo is not None
    assert send_alerts(model, at, (sink,)).told == 0


def test_of_two_that_tell_at_once_one_does(model, at, ledger):
    class Slow(Listener):
        def tell(self, message):
            time.sleep(0.2)
            super().tell(message)

    sink = Slow("chat")
    report(ledger, "fault-rows", "2024-01-01", "fault")
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: send_alerts(model, at, (sink,)), range(4)))
    assert sum(result.told for result in results) == 1
    assert len(sink.heard) == 1


def test_what_is_not_told_yet_is_named(write_folder, edit_config, at):
    config = edit_config("seed: 7}\n", "seed: 7}\nalerts: {http: 'http://127.0.0.1:1/', slack: team}\n")
    model = load_model_folder(write_folder("cabs", config=config))
    ledger = open_stores(at, "cabs").ledger
    report(ledger, "fault-rows", "2024-01-01", "fault")
    send_alerts(model, at, (Listener("slack-team"), *default_sinks(model)))
    assert find_untold(model, at, datetime.now(UTC)) == ["http: fault-rows.0 opened"]


def test_a_message_tells_where_to_look_and_what_to_do(model, at, ledger, monkeypatch):
    heard = []

    class Whole(Listener):
        def tell(self, message):
            heard.append(message)

    report(ledger, "drift", "2024-01-01", Words("fare drifted.", "No retraining is asked for.", "Look at it."))
    report(ledger, "drift", "2024-01-02", Words("tip drifted.", "A retraining is asked for.", "Look at it."))
    send_alerts(model, at, (Whole("a"),), page="http://airflow/model")
    monkeypatch.setenv("EVERGREEN_ALERTS_RUNBOOK", "https://docs.example/operate")
    resolve(ledger, "drift", "2024-01-03", "as before")
    send_alerts(model, at, (Whole("a"),))
    opened, seen, over = heard
    assert (opened.text, opened.done, opened.todo) == ("fare drifted.", "No retraining is asked for.", "Look at it.")
    assert (opened.page, opened.runbook) == ("http://airflow/model", "docs/runbook.md#drift")
    assert (seen.earlier, seen.text, seen.since) == (("fare drifted.",), "tip drifted.", "2024-01-01")
    assert (over.earlier, over.text, over.todo) == (("fare drifted.", "tip drifted."), "as before", "")
    assert over.runbook == "https://docs.example/operate#drift"
    assert len({one.id for one in heard}) == 3
