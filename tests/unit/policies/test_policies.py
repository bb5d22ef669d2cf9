"""Policies: what each finds in a situation, and what several find together."""

import pytest

from include.config.contract import Decay, Due, EveryN, InputDrift, Never
from include.policies import Situation, build_policy, find_reasons
from include.records import SectionVerdict


def situation(age=5, idle=5, new_labels=100, inputs="ok", outcomes="ok"):
    return Situation(
        age=age,
        idle=idle,
        new_labels=new_labels,
        inputs=SectionVerdict(state=inputs, why=""),
        outcomes=SectionVerdict(state=outcomes, why=""),
    )


CASES = [
    (Never(), {"age": 999, "idle": 999, "new_labels": 10**9, "inputs": "bad", "outcomes": "bad"}, None),
    (Decay(), {"outcomes": "ok"}, None),
    (Decay(), {"outcomes": "bad"}, "decay"),
    (Decay(), {"outcomes": "provisional"}, None),
    (Decay(), {"inputs": "warn", "age": 999, "idle": 999, "new_labels": 10**9}, None),
    (InputDrift(), {"inputs": "ok"}, None),
    (InputDrift(), {"inputs": "warn"}, "drift"),
    (InputDrift(), {"inputs": "bad"}, "drift"),
    (InputDrift(), {"inputs": "provisional"}, None),
    (InputDrift(), {"outcomes": "bad"}, None),
    (EveryN(n=4), {"idle": 3}, None),
    (EveryN(n=4), {"idle": 4}, "due"),
    (EveryN(n=4), {"idle": 9}, "due"),
    (EveryN(n=4), {"age": 9, "idle": 3}, None),
    (Due(age=4), {"age": 3, "idle": 3}, None),
    (Due(age=4), {"age": 4, "idle": 4}, "due"),
    (Due(age=4), {"age": 9, "idle": 1}, None),
    (Due(age=4), {"age": 3, "idle": 3, "new_labels": 10**9}, None),
    (Due(new_labels=500), {"new_labels": 499, "age": 999, "idle": 999}, None),
    (Due(new_labels=500), {"new_labels": 500}, "due"),
    (Due(age=4, new_labels=500), {"age": 4, "idle": 4, "new_labels": 0}, "due"),
    (Due(age=4, new_labels=500), {"age": 0, "idle": 0, "new_labels": 500}, "due"),
    (Due(age=4, new_labels=500), {"age": 3, "idle": 3, "new_labels": 499}, None),
]


@pytest.mark.parametrize(("policy", "seen", "reason"), CASES, ids=str)
def test_a_policy_gives_its_reason_or_none(policy, seen, reason):
    assert build_policy(policy).find_reason(situation(**seen)) == reason


def test_any_policy_is_enough_and_each_reason_is_given_once():
    configured = (Never(), EveryN(n=4), Decay(), Due(age=2), InputDrift())
    assert find_reasons(configured, situation(outcomes="bad", inputs="warn")) == ("due", "decay", "drift")
    assert find_reasons(configured, situation(age=1, idle=1)) == ()
    assert find_reasons((), situation(outcomes="bad")) == ()
