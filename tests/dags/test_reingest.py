"""<model>__reingest: a form that names the batch and the feed."""

import pytest
from airflow.sdk.exceptions import ParamValidationError

from tests.dags.parsing import is_lever, try_form


@pytest.fixture
def dag(taxi):
    return taxi["taxi__reingest"]


def test_a_person_starts_it_and_it_is_one_task(dag):
    assert is_lever(dag, "reingest_batch")


def test_its_form_takes_what_is_sound(dag):
    try_form(dag, {"batch": "2024-01-08", "feed": "labels"})


@pytest.mark.parametrize(
    "slip",
    [{}, {"batch": "2024-1-8"}, {"batch": ""}, {"batch": "2024-01-08", "feed": "both"}],
)
def test_its_form_refuses_a_slip(dag, slip):
    with pytest.raises(ParamValidationError):
        try_form(dag, slip)
