"""<model>__reproduce: a form that names a version and says why."""

import pytest
from airflow.sdk.exceptions import ParamValidationError

from tests.dags.parsing import is_lever, try_form


@pytest.fixture
def dag(taxi):
    return taxi["taxi__reproduce"]


def test_a_person_starts_it_and_it_is_one_task(dag):
    assert is_lever(dag, "reproduce_model")


def test_its_form_takes_what_is_sound(dag):
    try_form(dag, {"version": 3, "why": "an audit"})


@pytest.mark.parametrize(
    "slip", [{}, {"version": 3}, {"why": "x"}, {"why": "x", "version": 0}, {"why": "", "version": 1}]
)
def test_its_form_refuses_a_slip(dag, slip):
    with pytest.raises(ParamValidationError):
        try_form(dag, slip)
