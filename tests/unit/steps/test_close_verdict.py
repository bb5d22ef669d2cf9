"""A verdict closes as it was answered, or once its runs are used up; until then it stays open."""

import pytest

from evergreen.config.model_folder import load_model_folder
from evergreen.errors import NotReady
from evergreen.incidents import last_incident, report
from evergreen.judging.attempts import DueAttempt
from evergreen.records import (
    ApprovalRecord,
    AttemptRecord,
    ClosingRecord,
    PromotionRecord,
    SectionVerdict,
    VerdictRecord,
)
from evergreen.steps.close_verdict import close_verdict
from evergreen.steps.judge_model import judge_model
from evergreen.steps.train_model import train_model
from evergreen.storage.stores import open_stores
from tests.unit.small_loop import SmallLoop, doubled

VERDICT = "2024-01-14.0"
BATCH = "2024-01-18"


DUE = DueAttempt(VERDICT, BATCH)


@pytest.fixture
def model(write_folder):
    return load_model_folder(write_folder())


@pytest.fixture
def ledger(model, at):
    ledger = open_stores(at, model.id).ledger
    ok = dict.fromkeys(("freshness", "inputs", "predictions", "outcomes"), SectionVerdict(state="ok", why=""))
    asks = {"reasons": ("due",), "action": "retrain", "last_ask": VERDICT, "previous_ask": None}
    ledger.put(VerdictRecord(as_of=VERDICT[:10], n=0, covers=(), promotion=1, version=1, **ok, **asks))
    return ledger


def judge(ledger, outcome, against=1):
    ledger.put(
        AttemptRecord(
            as_of=BATCH, verdict=VERDICT, trained_on=("2024-01-01", "2024-01-12"), training_rows=900, data="d",
            code="c", holdout=("2024-01-13",), against=against, judgement=None, outcome=outcome, why="worse by 3 %",
        )
    )  # fmt: skip


def promote(ledger, number, attempt):
    ledger.put(
        PromotionRecord(
            as_of=BATCH, number=number, version=number + 6, attempt=attempt, code="c", data="d",
            trained_on=("2024-01-01", "2024-01-12"), effective_from="2024-01-19", error=None,
        )
    )  # fmt: skip


@pytest.fixture
def promoted(ledger):
    promote(ledger, 1, "2024-01-05.0")


@pytest.mark.parametrize("runs", [1, 2])
def test_without_a_judgement_it_stays_open_while_runs_are_left(runs, model, at, ledger):
    with pytest.raises(NotReady, match=rf"taxi: attempt 2024-01-14\.0 .*run {runs} of 3 failed"):
        close_verdict(model, at, DUE, runs)
    assert ledger.get(ClosingRecord, VERDICT) is None


@pytest.mark.parametrize("runs", [3, 4])
def test_without_a_judgement_it_is_given_up_after_the_last_run(runs, model, at, ledger):
    closing = close_verdict(model, at, DUE, runs)
    assert (closing.outcome, closing.as_of) == ("failed", BATCH)
    assert f"{runs} runs of attempt 2024-01-14.0 failed" in closing.why


def test_by_default_it_is_the_first_run(model, at):
    with pytest.raises(NotReady, match="run 1 of 3"):
        close_verdict(model, at, DUE)


@pytest.fixture(params=["passed", "approved"])
def won(request, ledger, promoted):
    """An attempt that is to be promoted, and is not."""
    judge(ledger, "passed" if request.param == "passed" else "needs approval")
    if request.param == "approved":
        ledger.put(ApprovalRecord(as_of=BATCH, attempt=VERDICT, approved=True, by="ada"))


@pytest.mark.parametrize("runs", [1, 2])
def test_an_attempt_that_won_and_is_not_promoted_fails_its_run_while_runs_are_left(runs, model, at, ledger, won):
    with pytest.raises(NotReady, match=rf"2024-01-14\.0 is not finished, .*run {runs} of 3 failed"):
        close_verdict(model, at, DUE, runs)
    assert ledger.get(ClosingRecord, VERDICT) is None


@pytest.mark.parametrize("runs", [3, 4])
def test_an_attempt_that_won_and_is_not_promoted_is_given_up_after_the_last_run(runs, model, at, ledger, won):
    report(ledger, "approval", BATCH, "needs approval")
    closing = close_verdict(model, at, DUE, runs)
    assert (closing.outcome, closing.as_of) == ("failed", BATCH)
    assert f"{runs} runs of attempt 2024-01-14.0 failed before it was finished" in closing.why
    assert last_incident(ledger, "approval").resolved is not None


def test_a_promotion_of_its_own_closes_it(model, at, ledger, promoted):
    judge(ledger, "passed")
    promote(ledger, 2, VERDICT)
    closing = close_verdict(model, at, DUE)
    assert (closing.outcome, closing.why) == ("promoted", "promotion 2, version 8")


def test_a_promotion_of_its_own_closes_it_even_after_the_last_run(model, at, ledger, won):
    promote(ledger, 2, VERDICT)
    assert close_verdict(model, at, DUE, 3).outcome == "promoted"


@pytest.mark.parametrize("outcome", ["passed", "needs approval"])
def test_a_promotion_of_anothers_closes_it(outcome, model, at, ledger, promoted):
    judge(ledger, outcome)
    promote(ledger, 2, "2024-01-15.0")
    assert close_verdict(model, at, DUE).outcome == "superseded"


@pytest.mark.parametrize(("says_no", "outcome"), [(True, "withdrawn"), (False, None)])
def test_a_no_closes_it_and_silence_does_not(says_no, outcome, model, at, ledger, promoted):
    judge(ledger, "needs approval")
    report(ledger, "approval", BATCH, "needs approval")
    if says_no:
        ledger.put(ApprovalRecord(as_of=BATCH, attempt=VERDICT, approved=False, by="ada"))
    closing = close_verdict(model, at, DUE)
    assert (closing and closing.outcome) == outcome
    assert (last_incident(ledger, "approval").resolved is not None) is (outcome is not None)


def test_who_waits_for_a_human_is_never_given_up(model, at, ledger, promoted):
    judge(ledger, "needs approval")
    assert close_verdict(model, at, DUE, 99) is None
    assert ledger.get(ClosingRecord, VERDICT) is None


@pytest.mark.parametrize("runs", [1, 3])
def test_a_refusal_closes_it_with_its_reason(runs, model, at, ledger, promoted):
    judge(ledger, "refused")
    closing = close_verdict(model, at, DUE, runs)
    assert (closing.outcome, closing.why, closing.as_of) == ("refused", "worse by 3 %", BATCH)


def test_a_refit_that_failed_has_closed_it(model, at, ledger, promoted):
    judge(ledger, "passed")
    closing = ClosingRecord(as_of=BATCH, verdict=VERDICT, outcome="refused", why="the refit failed")
    ledger.put(closing)
    assert close_verdict(model, at, DUE, 1) == closing


def test_how_it_closed_stands(model, at, ledger):
    first = close_verdict(model, at, DUE, 3)
    judge(ledger, "passed")
    promote(ledger, 1, VERDICT)
    assert close_verdict(model, at, DUE, 1) == first


def test_an_overdue_attempt_is_over(model, at, ledger):
    report(ledger, "overdue", BATCH, "attempt 1 is not made")
    close_verdict(model, at, DUE, 3)
    assert last_incident(ledger, "overdue").resolved is not None


def test_a_challengers_files_go_after_twelve_attempts_and_its_numbers_stay(tmp_path):
    loop = SmallLoop.under(tmp_path)
    loop.take(doubled, 1, 2, 3)
    first = loop.ask(2)
    trained = train_model(loop.model, loop.at, first)
    judge_model(loop.model, loop.at, first, trained)
    models = loop.stores.models
    for number in range(3, 15):
        kept = list((tmp_path / "mlflow").rglob("estimator.skops"))
        assert len(kept) == 1, f"gone before attempt {number}"
        close_verdict(loop.model, loop.at, loop.ask(number), 3)
    assert list((tmp_path / "mlflow").rglob("estimator.skops")) == []
    assert models.find_run(first.verdict, "challenger") == trained.run
    assert models.run_data(trained.run).metrics["learnt_rows"] == 40
