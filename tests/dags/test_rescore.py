"""<model>__rescore: a form that names two batches and says why, and which version if not the champions."""

import pytest
from airflow.sdk.exceptions import ParamValidationError

from tests.dags.parsing import is_lever, try_form

WEEK = {"first": "2024-01-08", "last": "2024-01-14", "why": "a late tariff"}


@pytest.fixture
def dag(taxi):
    return taxi["taxi__rescore"]


def test_a_person_starts_it_and_it_is_one_task(dag):
    assert is_lever(dag, "rescore_batches")


@pytest.mark.parametrize("version", [{}, {"version": 3}, {"version": None}])
def test_its_form_takes_what_is_sound(version, dag):
    try_form(dag, WEEK | version)


@pytest.mark.parametrize(
    "slip", [{"first": ""}, {"last": "2024-1-14"}, {"why": ""}, {"version": 0}, {"version": "two"}]
)
def test_its_form_refuses_a_slip(dag, slip):
    with pytest.raises(ParamValidationError):
        try_form(dag, WEEK | slip)


@pytest.mark.parametrize("left_out", list(WEEK))
def test_its_form_refuses_a_field_that_is_left_out(dag, left_out):
    with pytest.raises(ParamValidationError):
        try_form(dag, {name: value for name, value in WEEK.items() if name != left_out})
