"""Incidents: a streak is one, what is over stays over, what comes anew is numbered anew."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import pytest

from evergreen.errors import Refused
from evergreen.incidents import acknowledge, announce, last_incident, newest_incidents, report, resolve, snooze
from evergreen.records import IncidentRecord, SightingRecord
from evergreen.storage.ledger import Ledger

CAUSE = "fault-rows"


@pytest.fixture
def ledger(tmp_path):
    return Ledger(str(tmp_path), "dev", "taxi")


def test_a_streak_is_one_incident_seen_again(ledger):
    for day in ("2024-01-01", "2024-01-02", "2024-01-03"):
        report(ledger, CAUSE, day, f"fault of {day}")
    incident = last_incident(ledger, CAUSE)
    assert (incident.opened.n, incident.opened.as_of, incident.opened.told) == (0, "2024-01-01", "fault of 2024-01-01")
    assert (incident.sightings, incident.newest, incident.seen.text) == (3, "2024-01-03", "fault of 2024-01-03")
    assert incident.resolved is None
    assert ledger.get(IncidentRecord, CAUSE, 1) is None


def test_reporting_the_same_or_an_older_batch_changes_nothing(ledger):
    report(ledger, CAUSE, "2024-01-01", "first")
    report(ledger, CAUSE, "2024-01-01", "again")
    assert last_incident(ledger, CAUSE).sightings == 1
    report(ledger, CAUSE, "2024-01-03", "third")
    for day in ("2024-01-01", "2024-01-02", "2024-01-03"):
        report(ledger, CAUSE, day, "again")
    incident = last_incident(ledger, CAUSE)
    assert (incident.sightings, incident.newest, incident.seen.text) == (2, "2024-01-03", "third")


def test_a_report_of_a_batch_that_was_seen_does_not_reopen_what_is_over(ledger):
    report(ledger, CAUSE, "2024-01-02", "fault")
    report(ledger, CAUSE, "2024-01-03", "fault")
    resolve(ledger, CAUSE, "2024-01-05", "over")
    for day in ("2024-01-01", "2024-01-02", "2024-01-03"):
        report(ledger, CAUSE, day, "re-run")
    incident = last_incident(ledger, CAUSE)
    assert (incident.opened.n, incident.sightings) == (0, 2)
    assert incident.resolved.as_of == "2024-01-05"


@pytest.mark.parametrize("day", ["2024-01-03", "2024-01-04", "2024-01-05"])
def test_a_batch_that_was_not_seen_before_opens_anew_even_if_a_later_one_resolved(day, ledger):
    report(ledger, CAUSE, "2024-01-02", "fault")
    resolve(ledger, CAUSE, "2024-01-04", "over")
    report(ledger, CAUSE, day, "another fault")
    incident = last_incident(ledger, CAUSE)
    assert (incident.opened.n, incident.opened.as_of, incident.resolved) == (1, day, None)


@pytest.mark.parametrize("day", ["2024-01-01", "2024-01-02", "2024-01-03"])
def test_what_happens_again_opens_anew_at_any_batch(day, ledger):
    report(ledger, CAUSE, "2024-01-02", "failed", again=True)
    resolve(ledger, CAUSE, "2024-01-02", "over")
    report(ledger, CAUSE, day, "failed again", again=True)
    incident = last_incident(ledger, CAUSE)
    assert (incident.opened.n, incident.opened.as_of, incident.resolved) == (1, day, None)


def test_what_happens_again_while_it_is_open_is_still_one_incident(ledger):
    for _ in range(2):
        report(ledger, CAUSE, "2024-01-02", "failed", again=True)
    assert (last_incident(ledger, CAUSE).opened.n, last_incident(ledger, CAUSE).sightings) == (0, 1)


def test_a_new_fault_after_resolution_opens_the_next_number(ledger):
    report(ledger, CAUSE, "2024-01-02", "fault")
    report(ledger, CAUSE, "2024-01-03", "fault")
    resolve(ledger, CAUSE, "2024-01-04", "over")
    report(ledger, CAUSE, "2024-01-05", "another fault")
    incident = last_incident(ledger, CAUSE)
    assert (incident.opened.n, incident.opened.id, incident.opened.told) == (1, "fault-rows.1", "another fault")
    assert (incident.seen, incident.resolved, incident.sightings) == (None, None, 1)
    report(ledger, CAUSE, "2024-01-06", "another fault")
    assert ledger.get(SightingRecord, "fault-rows.1").as_of == "2024-01-06"


@pytest.mark.parametrize(("at", "closed"), [("2024-01-02", False), ("2024-01-03", True), ("2024-01-04", True)])
def test_only_what_is_not_older_than_the_last_sighting_resolves(ledger, at, closed):
    report(ledger, CAUSE, "2024-01-01", "fault")
    report(ledger, CAUSE, "2024-01-03", "fault")
    resolve(ledger, CAUSE, at, "over")
    assert (last_incident(ledger, CAUSE).resolved is not None) is closed


def test_resolving_nothing_or_twice_writes_nothing(ledger):
    resolve(ledger, CAUSE, "2024-01-01", "over")
    assert last_incident(ledger, CAUSE) is None
    report(ledger, CAUSE, "2024-01-02", "fault")
    resolve(ledger, CAUSE, "2024-01-03", "over")
    resolve(ledger, CAUSE, "2024-01-05", "over again")
    assert last_incident(ledger, CAUSE).resolved.as_of == "2024-01-03"


def test_causes_do_not_mix(ledger):
    report(ledger, "fault-rows", "2024-01-01", "rows")
    report(ledger, "fault-labels", "2024-01-02", "labels")
    resolve(ledger, "fault-rows", "2024-01-03", "over")
    assert last_incident(ledger, "fault-rows").resolved is not None
    assert last_incident(ledger, "fault-labels").resolved is None
    assert {i.opened.id for i in newest_incidents(ledger)} == {"fault-rows.0", "fault-labels.0"}


def test_what_is_announced_is_over_as_it_is_told_and_told_once_a_batch(ledger):
    for _ in range(2):
        announce(ledger, "moved", "2024-01-01", "version 1")
    assert last_incident(ledger, "moved").opened.n == 0
    assert last_incident(ledger, "moved").resolved.text == "version 1"
    announce(ledger, "moved", "2024-01-02", "version 2")
    assert last_incident(ledger, "moved").opened.told == "version 2"


def test_another_process_sees_the_same_streak(ledger, tmp_path):
    report(ledger, CAUSE, "2024-01-01", "fault")
    elsewhere = Ledger(str(tmp_path), "dev", "taxi")
    report(elsewhere, CAUSE, "2024-01-02", "fault")
    assert last_incident(ledger, CAUSE).sightings == 2


def test_what_was_lost_keeps_it_open_until_all_of_it_is_there(ledger):
    for day in ("2024-01-02", "2024-01-03"):
        report(ledger, CAUSE, day, f"rejected {day}.", lost=day)
    resolve(ledger, CAUSE, "2024-01-04", "sound")
    assert last_incident(ledger, CAUSE).resolved is None
    resolve(ledger, CAUSE, "2024-01-05", "sound", {"2024-01-02"}.__contains__)
    assert last_incident(ledger, CAUSE).resolved is None
    resolve(ledger, CAUSE, "2024-01-06", "all there", {"2024-01-02", "2024-01-03"}.__contains__)
    incident = last_incident(ledger, CAUSE)
    assert incident.lost == ("2024-01-02", "2024-01-03")
    again = "rejected 2024-01-03. This far it has hit 2: 2024-01-02, 2024-01-03."
    assert incident.story == ("rejected 2024-01-02.", again, "all there")


def test_many_are_counted_and_some_named(ledger):
    for day in range(1, 61):
        report(ledger, CAUSE, f"2024-{day:02}", "missing.", lost=f"2024-{day:02}")
    told = last_incident(ledger, CAUSE).story[-1]
    assert told.startswith("missing. This far it has hit 60: 2024-01,")
    assert told.endswith("2024-49, …, 2024-60.")


def test_what_comes_after_a_sound_batch_is_news_and_what_goes_on_is_not(ledger):
    anew = []
    for day, before in (("02", "01"), ("03", "02"), ("06", "05")):
        report(ledger, CAUSE, f"2024-01-{day}", "rejected", lost=f"2024-01-{day}", before=f"2024-01-{before}")
        seen = last_incident(ledger, CAUSE).seen
        anew.append(seen is not None and seen.anew)
    assert anew == [False, False, True]
    assert last_incident(ledger, CAUSE).opened.n == 0


def test_what_was_lost_and_not_told_before_a_kill_is_told_later_and_once(ledger):
    report(ledger, CAUSE, "2024-01-03", "rejected", lost="2024-01-03")
    for _ in range(2):
        report(ledger, CAUSE, "2024-01-02", "rejected", lost="2024-01-02")
    incident = last_incident(ledger, CAUSE)
    assert (incident.lost, incident.newest, incident.sightings) == (("2024-01-03", "2024-01-02"), "2024-01-03", 2)


def test_what_a_person_acknowledged_is_over_with_actor_and_reason_and_is_not_told_again(ledger):
    report(ledger, CAUSE, "2024-01-03", "rejected", lost="2024-01-03")
    over = acknowledge(ledger, "fault-rows.0", "ada", "a holiday")
    assert (over.by, over.text, over.as_of) == ("ada", "acknowledged by ada: a holiday", "2024-01-03")
    report(ledger, CAUSE, "2024-01-05", "rejected", lost="2024-01-05")
    # Its task is run again.
    report(ledger, CAUSE, "2024-01-03", "rejected", lost="2024-01-03")
    incident = last_incident(ledger, CAUSE)
    assert (incident.opened.id, incident.lost, incident.sightings) == ("fault-rows.1", ("2024-01-05",), 1)


def test_only_what_is_open_can_be_acknowledged(ledger):
    report(ledger, CAUSE, "2024-01-03", "rejected", lost="2024-01-03")
    acknowledge(ledger, "fault-rows.0", "ada", "a holiday")
    report(ledger, "drift", "2024-01-03", "drifted")
    # Of one that is over the first word stands.
    assert acknowledge(ledger, "fault-rows.0", "bob", "again").by == "ada"
    for id_ in ("fault-rows", "fault-rows.1", "nonsense", "../../drift.0", "drift.0/../drift.0"):
        with pytest.raises(Refused, match=rf"incident {id_}: is not open; open incidents: drift\.0"):
            acknowledge(ledger, id_, "ada", "again")


def test_only_what_is_open_can_be_snoozed_to_a_day_that_is_to_come_and_the_same_wish_twice_is_one(ledger):
    report(ledger, CAUSE, "2024-01-03", "rejected", lost="2024-01-03")
    today = date(2030, 1, 7)
    for until in ("2030-01-07", "2029-12-31", "soon", "2030-02-30"):
        with pytest.raises(Refused, match=f"until: found '?{until}"):
            snooze(ledger, "fault-rows.0", "ada", "why", until, today)
    with pytest.raises(Refused, match=r"drift\.0: is not open; open incidents: fault-rows\.0"):
        snooze(ledger, "drift.0", "ada", "why", "2030-01-09", today)
    first = snooze(ledger, "fault-rows.0", "ada", "why", "2030-01-09", today)
    assert snooze(ledger, "fault-rows.0", "ada", "why", "2030-01-09", today + timedelta(days=9)) == first
    assert snooze(ledger, "fault-rows.0", "bob", "why", "2030-01-10", today).n == 1
    assert last_incident(ledger, CAUSE).snoozed.by == "bob"


def test_of_many_that_report_at_the_same_moment_none_is_lost(tmp_path):
    """Each with a ledger of its own, as tasks in processes have; they race for the same number."""

    def hit(name):
        report(Ledger(str(tmp_path), "dev", "shared"), "outage", "2024-01-01", "MLflow is down.", True, lost=name)

    names = [f"model-{n}" for n in range(12)]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(hit, names))
    assert set(last_incident(Ledger(str(tmp_path), "dev", "shared"), "outage").lost) == set(names)
