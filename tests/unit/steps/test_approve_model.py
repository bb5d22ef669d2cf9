"""A human's word goes on record once, in their name."""

import pytest

from evergreen.config.model_folder import load_model_folder
from evergreen.judging.attempts import DueAttempt
from evergreen.records import ApprovalRecord
from evergreen.steps.approve_model import approve_model
from evergreen.storage.stores import open_stores

ATTEMPT = DueAttempt("2024-01-14.0", "2024-01-18")


@pytest.fixture
def model(write_folder):
    return load_model_folder(write_folder())


@pytest.mark.parametrize("approved", [True, False])
def test_the_first_word_stands_at_its_attempt(approved, model, at):
    record = approve_model(model, at, ATTEMPT, approved, "ada")
    assert (record.attempt, record.as_of) == ("2024-01-14.0", "2024-01-18")
    assert (record.approved, record.by) == (approved, "ada")
    assert approve_model(model, at, ATTEMPT, not approved, "bob") == record
    assert open_stores(at, model.id).ledger.get(ApprovalRecord, ATTEMPT.verdict) == record


def test_each_attempt_has_a_word_of_its_own(model, at):
    approve_model(model, at, DueAttempt("2024-01-13.0", "2024-01-14"), False, "ada")
    assert approve_model(model, at, ATTEMPT, True, "bob").approved
