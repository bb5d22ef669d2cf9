"""A verdict closes as it was answered, or once its runs are used up; until then it stays open."""

import pytest

from include.config.model_folder import load_model_folder
from include.errors import NotReady
from include.incidents import last_incident, report
from include.judging.attempts import DueAttempt
from include.records import ApprovalRecord, AttemptRecord, ClosingRecord, PromotionRecord
from include.steps.close_verdict import close_verdict
from include.storage.stores import open_stores

VERDICT = "2024-01-14.0"
BATCH = "2024-01-18"


@pytest.fixture
def model(write_folder, edit_config):
    return load_model_folder(write_folder(config=edit_config("cooldown: 3", "cooldown: 3, attempts: 3")))


@pytest.fixture
def ledger(model, at):
    return open_stores(at, model.id).ledger


def due(number=1):
    return DueAttempt(VERDICT, number, BATCH)


def judge(ledger, outcome, number=1, against=1):
    for n in range(1, number + 1):
        ledger.put(
            AttemptRecord(
                as_of=BATCH,
                verdict=VERDICT,
                number=n,
                trained_on=("2024-01-01", "2024-01-12"),
                training_rows=900,
                data="d",
                code="c",
                holdout=("2024-01-13",),
                against=against,
                judgement=None,
                outcome=outcome if n == number else "refused",
                why="worse by 3 %",
            )
        )


def promote(ledger, number, attempt):
    ledger.put(
        PromotionRecord(
            as_of=BATCH,
            number=number,
            version=number + 6,
            attempt=attempt,
            code="c",
            data="d",
            trained_on=("2024-01-01", "2024-01-12"),
            effective_from="2024-01-19",
            error=None,
        )
    )


@pytest.fixture
def promoted(ledger):
    promote(ledger, 1, "2024-01-05.0-1")


@pytest.mark.parametrize("runs", [1, 2])
def test_without_a_judgement_it_stays_open_while_runs_are_left(runs, model, at, ledger):
    with pytest.raises(NotReady, match=rf"taxi: attempt 2024-01-14\.0-1 .*run {runs} of 3 failed"):
        close_verdict(model, at, due(), runs)
    assert ledger.get(ClosingRecord, VERDICT) is None


@pytest.mark.parametrize("runs", [3, 4])
def test_without_a_judgement_it_is_given_up_after_the_last_run_and_told_of(runs, model, at, ledger):
    closing = close_verdict(model, at, due(), runs)
    assert (closing.outcome, closing.as_of) == ("exhausted", BATCH)
    assert f"{runs} runs of attempt 2024-01-14.0-1 failed" in closing.why
    assert closing.why in last_incident(ledger, "exhausted").opened.text


def test_by_default_it_is_the_first_run(model, at):
    with pytest.raises(NotReady, match="run 1 of 3"):
        close_verdict(model, at, due())


def test_a_later_attempt_has_runs_of_its_own(model, at, ledger):
    judge(ledger, "refused")
    with pytest.raises(NotReady, match=r"2024-01-14\.0-2 .*run 1 of 3"):
        close_verdict(model, at, due(2), 1)


@pytest.fixture(params=["passed", "approved"])
def won(request, ledger, promoted):
    """An attempt that is to be promoted, and is not."""
    judge(ledger, "passed" if request.param == "passed" else "needs approval")
    if request.param == "approved":
        ledger.put(ApprovalRecord(as_of=BATCH, attempt=f"{VERDICT}-1", approved=True, by="ada"))


@pytest.mark.parametrize("runs", [1, 2])
def test_an_attempt_that_won_and_is_not_promoted_fails_its_run_while_runs_are_left(runs, model, at, ledger, won):
    with pytest.raises(NotReady, match=rf"2024-01-14\.0-1 is not finished, .*run {runs} of 3 failed"):
        close_verdict(model, at, due(), runs)
    assert ledger.get(ClosingRecord, VERDICT) is None
    assert last_incident(ledger, "exhausted") is None


@pytest.mark.parametrize("runs", [3, 4])
def test_an_attempt_that_won_and_is_not_promoted_is_given_up_after_the_last_run(runs, model, at, ledger, won):
    report(ledger, "approval", BATCH, "needs approval")
    closing = close_verdict(model, at, due(), runs)
    assert (closing.outcome, closing.as_of) == ("exhausted", BATCH)
    assert f"{runs} runs of attempt 2024-01-14.0-1 failed before it was finished" in closing.why
    assert closing.why in last_incident(ledger, "exhausted").opened.text
    assert last_incident(ledger, "approval").resolved is not None


@pytest.mark.parametrize("outcome", ["refused", "needs approval"])
def test_an_attempt_that_was_judged_and_has_not_won_is_never_given_up(outcome, model, at, ledger, promoted):
    judge(ledger, outcome)
    assert close_verdict(model, at, due(), 99) is None
    assert ledger.get(ClosingRecord, VERDICT) is None


def test_a_promotion_of_its_own_closes_it(model, at, ledger, promoted):
    judge(ledger, "passed")
    promote(ledger, 2, f"{VERDICT}-1")
    closing = close_verdict(model, at, due())
    assert (closing.outcome, closing.why) == ("promoted", "promotion 2, version 8")


def test_a_promotion_of_its_own_closes_it_even_after_the_last_run(model, at, ledger, won):
    promote(ledger, 2, f"{VERDICT}-1")
    assert close_verdict(model, at, due(), 3).outcome == "promoted"


@pytest.mark.parametrize("outcome", ["passed", "needs approval"])
def test_a_promotion_of_anothers_closes_it(outcome, model, at, ledger, promoted):
    judge(ledger, outcome)
    promote(ledger, 2, "2024-01-15.0-1")
    assert close_verdict(model, at, due()).outcome == "superseded"


@pytest.mark.parametrize(("says_no", "outcome"), [(True, "withdrawn"), (False, None)])
def test_a_no_closes_it_and_silence_does_not(says_no, outcome, model, at, ledger, promoted):
    judge(ledger, "needs approval")
    report(ledger, "approval", BATCH, "needs approval")
    if says_no:
        ledger.put(ApprovalRecord(as_of=BATCH, attempt=f"{VERDICT}-1", approved=False, by="ada"))
    closing = close_verdict(model, at, due())
    assert (closing and closing.outcome) == outcome
    assert (last_incident(ledger, "approval").resolved is not None) is (outcome is not None)


@pytest.mark.parametrize(("number", "outcome"), [(1, None), (2, None), (3, "exhausted")])
def test_refusals_close_it_once_there_were_enough(number, outcome, model, at, ledger, promoted):
    judge(ledger, "refused", number)
    closing = close_verdict(model, at, due(number))
    assert (closing and closing.outcome) == outcome
    told = last_incident(ledger, "exhausted")
    assert (told is not None) is (outcome is not None)
    if told is not None:
        assert "worse by 3 %" in told.opened.text


def test_how_it_closed_stands(model, at, ledger):
    first = close_verdict(model, at, due(), 3)
    judge(ledger, "passed")
    promote(ledger, 1, f"{VERDICT}-1")
    assert close_verdict(model, at, due(), 1) == first
    assert last_incident(ledger, "exhausted").sightings == 1


def test_an_overdue_attempt_is_over(model, at, ledger):
    report(ledger, "overdue", BATCH, "attempt 1 is not made")
    close_verdict(model, at, due(), 3)
    assert last_incident(ledger, "overdue").resolved is not None
