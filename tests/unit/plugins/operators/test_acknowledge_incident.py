"""A person says that an incident is over, or that it may wait; with the name that Airflow knows."""

import pytest

from airflow_evergreen.operators.acknowledge_incident import AcknowledgeIncidentOperator
from evergreen.errors import Refused
from evergreen.incidents import last_incident, report


def acknowledge(context, **given):
    return AcknowledgeIncidentOperator(
        task_id="acknowledge_incident", model_id="taxi", incident="drift.0", why="a new tariff", **given
    ).execute(context)


def test_without_a_day_it_is_over(model, ledger, context_of):
    report(ledger, "drift", "2024-01-02", "drifted")
    made = acknowledge(context_of(), until="")
    how = "acknowledged by ada: a new tariff"
    assert made == {"incident": "drift.0", "how": how, "outcome": f"drift.0: {how}"}
    assert last_incident(ledger, "drift").resolved.by == "ada"


def test_with_a_day_it_stays_open_and_is_quiet_until_then(model, ledger, context_of):
    report(ledger, "drift", "2024-01-02", "drifted")
    made = acknowledge(context_of(), until="2999-01-01")
    how = "told again from 2999-01-01 on, if it is still open"
    assert made == {"incident": "drift.0", "how": how, "outcome": f"drift.0: {how}"}
    incident = last_incident(ledger, "drift")
    assert incident.resolved is None
    assert (incident.snoozed.by, incident.snoozed.why) == ("ada", "a new tariff")


def test_one_that_is_refused_keeps_why_for_the_runs_note(model, ledger, context_of):
    context = context_of()
    with pytest.raises(Refused):
        acknowledge(context, until="")
    assert context["ti"].pushed == {"failure": "refused: incident drift.0: is not open; open incidents: none"}
