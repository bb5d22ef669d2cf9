"""<model>__arms: a form that names a version, or none, and says why; only of models that try challengers online."""

import pytest
from airflow.sdk.exceptions import ParamValidationError

from tests.dags.parsing import is_lever, parse, try_form


@pytest.fixture
def dag(add_model):
    add_model("bikes", serving={"shadow": True})
    return parse("arms.py").dags["bikes__arms"]


def test_a_person_starts_it_and_it_is_one_task(dag):
    assert is_lever(dag, "try_challenger")


@pytest.mark.parametrize("challenger", [{}, {"challenger": 3}, {"challenger": None}])
def test_its_form_takes_what_is_sound(challenger, dag):
    try_form(dag, challenger | {"why": "looks better"})


@pytest.mark.parametrize(
    "slip", [{}, {"challenger": 3}, {"challenger": 0, "why": "x"}, {"challenger": "a", "why": "x"}]
)
def test_its_form_refuses_a_slip(slip, dag):
    with pytest.raises(ParamValidationError):
        try_form(dag, slip)


def test_who_tries_no_challenger_has_none(add_model):
    add_model("bikes", serving={"answers": True})
    assert parse("arms.py").dags == {}
