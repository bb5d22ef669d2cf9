"""<model>__forget: a form that names rows and says why."""

import pytest
from airflow.sdk.exceptions import ParamValidationError

from tests.dags.parsing import is_lever, try_form


@pytest.fixture
def dag(taxi):
    return taxi["taxi__forget"]


def test_a_person_starts_it_and_it_is_one_task(dag):
    assert is_lever(dag, "forget_rows")


@pytest.mark.parametrize("more", [{}, {"column": "PULocationID"}])
def test_its_form_takes_what_is_sound(dag, more):
    try_form(dag, {"key": "2024-01-03-17", "why": "she asked"} | more)


@pytest.mark.parametrize("slip", [{}, {"key": "1"}, {"why": "x"}, {"key": "", "why": "x"}, {"key": 1, "why": "x"}])
def test_its_form_refuses_a_slip(dag, slip):
    with pytest.raises(ParamValidationError):
        try_form(dag, slip)
