"""<model>__acknowledge: a form that names the incident and says why."""

import pytest
from airflow.sdk.exceptions import ParamValidationError

from tests.dags.parsing import is_lever, try_form


@pytest.fixture
def dag(taxi):
    return taxi["taxi__acknowledge"]


def test_a_person_starts_it_and_it_is_one_task(dag):
    assert is_lever(dag, "acknowledge_incident")


def test_its_form_takes_what_is_sound(dag):
    try_form(dag, {"incident": "fault-rows.0", "why": "a holiday"})
    try_form(dag, {"incident": "fault-rows.0", "why": "a holiday", "until": "2024-02-01"})


@pytest.mark.parametrize(
    "slip",
    [
        {},
        {"why": "x"},
        {"incident": "drift.0"},
        {"incident": "../x.0", "why": "x"},
        {"incident": "drift.0", "why": "x", "until": "soon"},
    ],
)
def test_its_form_refuses_a_slip(dag, slip):
    with pytest.raises(ParamValidationError):
        try_form(dag, slip)
