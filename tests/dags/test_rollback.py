"""<model>__rollback: a form that says why, which version, and whether also a worse one."""

import pytest
from airflow.sdk.exceptions import ParamValidationError

from tests.dags.parsing import is_lever, try_form


@pytest.fixture
def dag(taxi):
    return taxi["taxi__rollback"]


def test_a_person_starts_it_and_it_is_one_task(dag):
    assert is_lever(dag, "rollback_model")


def test_its_form_takes_what_is_sound(dag):
    try_form(dag, {"version": 3, "why": "it drifts", "even_if_worse": True})


@pytest.mark.parametrize(
    "slip",
    [{}, {"why": ""}, {"why": "x", "version": 0}, {"why": "x", "version": "two"}, {"why": "x", "even_if_worse": "no"}],
)
def test_its_form_refuses_a_slip(dag, slip):
    with pytest.raises(ParamValidationError):
        try_form(dag, slip)
