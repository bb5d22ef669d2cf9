"""A wish becomes a verdict once, takes up one that is open, and waits where it cannot be judged yet."""

import pytest

from evergreen.config.model_folder import load_model_folder
from evergreen.errors import NotReady
from evergreen.judging.attempts import DueAttempt, find_due_attempt, find_open_verdict
from evergreen.records import (
    AttemptRecord,
    BatchRecord,
    ClaimRecord,
    ClosingRecord,
    PromotionRecord,
    SectionVerdict,
    VerdictRecord,
    WishRecord,
)
from evergreen.steps.ask_retraining import AskResult, ask_retraining
from evergreen.storage.stores import open_stores


@pytest.fixture
def model(write_folder):
    return load_model_folder(write_folder())


@pytest.fixture
def stores(model, at):
    return open_stores(at, model.id)


@pytest.fixture
def check(model, stores):
    """Take batches through the loop up to a check, which asks for a retraining or does not."""

    def take(last, asks=False, **fields):
        ledger = stores.ledger
        for batch in model.config.calendar.between("2024-01-01", last):
            ledger.put(
                ClaimRecord(
                    as_of=batch,
                    revision=0,
                    version=None,
                    promotion=None,
                    why="",
                    data="d",
                    label_cut=None,
                )
            )
            ledger.put(BatchRecord(as_of=batch, feed="labels", revision=0, state="published", clean=20))
        before = ledger.last(VerdictRecord, last)
        n = before.n + 1 if before else 0
        ok = SectionVerdict(state="ok", why="")
        common = {
            "covers": (last,),
            "promotion": None,
            "version": None,
            "freshness": ok,
            "inputs": ok,
            "predictions": ok,
            "outcomes": ok,
            "reasons": ("decay",) if asks else (),
            "action": "retrain" if asks else "none",
            "last_ask": f"{last}.{n}" if asks else None,
            "previous_ask": None,
        }
        return ledger.put(VerdictRecord(as_of=last, n=n, **(common | fields)))

    return take


def promote(stores, batch):
    stores.ledger.put(
        PromotionRecord(
            as_of=batch,
            number=1,
            version=1,
            attempt="x",
            code="c",
            data="d",
            trained_on=(batch, batch),
            effective_from=batch,
            error=None,
        )
    )


def test_a_wish_becomes_a_verdict_beside_the_newest_check(model, at, stores, check):
    seen = check("2024-01-10")
    due = DueAttempt("2024-01-10.1", "2024-01-10")
    found = ask_retraining(model, at, "manual__1", "ada: holidays")
    assert found == AskResult("2024-01-10.1", "2024-01-10", due)
    verdict = stores.ledger.get(VerdictRecord, "2024-01-10", 1)
    assert (verdict.reasons, verdict.action, verdict.last_ask) == (("asked",), "retrain", "2024-01-10.1")
    assert verdict.outcomes == seen.outcomes
    assert verdict.meta["asked"] == "ada: holidays"
    assert find_open_verdict(model.config, stores) == verdict


def test_the_same_wish_asks_once(model, at, stores, check):
    check("2024-01-10")
    first = ask_retraining(model, at, "manual__1", "ada: holidays")
    assert ask_retraining(model, at, "manual__1", "ada: holidays") == first
    assert stores.ledger.last(VerdictRecord, "2024-01-10").n == 1


def test_the_same_wish_asks_once_though_another_check_has_come(model, at, stores, check):
    check("2024-01-10")
    first = ask_retraining(model, at, "manual__1", "ada")
    check("2024-01-11", last_ask=first.verdict)
    assert ask_retraining(model, at, "manual__1", "ada").verdict == first.verdict
    assert stores.ledger.last(VerdictRecord, "2024-01-11").n == 0


def test_a_wish_that_died_half_way_is_finished(model, at, stores, check):
    check("2024-01-10")
    stores.ledger.put(WishRecord(as_of="2024-01-10", name="manual__1", verdict="2024-01-10.1"))
    assert ask_retraining(model, at, "manual__1", "ada").verdict == "2024-01-10.1"
    assert stores.ledger.get(VerdictRecord, "2024-01-10", 1).action == "retrain"


def test_an_open_verdict_is_taken_up(model, at, stores, check):
    check("2024-01-10", asks=True)
    due = DueAttempt("2024-01-10.0", "2024-01-10")
    assert ask_retraining(model, at, "manual__1", "ada").attempt == due
    assert stores.ledger.last(VerdictRecord, "2024-01-10").n == 0


def test_two_people_share_a_verdict(model, at, stores, check):
    check("2024-01-10")
    first = ask_retraining(model, at, "manual__1", "ada")
    assert ask_retraining(model, at, "manual__2", "bob") == first
    assert stores.ledger.last(VerdictRecord, "2024-01-10").n == 1


def test_after_a_verdict_was_closed_a_wish_is_a_new_one(model, at, stores, check):
    check("2024-01-10", asks=True)
    closing = {"as_of": "2024-01-10", "verdict": "2024-01-10.0", "outcome": "failed", "why": ""}
    stores.ledger.put(ClosingRecord(**closing))
    found = ask_retraining(model, at, "manual__1", "ada")
    assert found.verdict == "2024-01-10.1"
    assert stores.ledger.get(VerdictRecord, "2024-01-10", 1).previous_ask == "2024-01-10.0"


def test_before_the_first_check_there_is_nothing_to_retrain(model, at):
    with pytest.raises(NotReady, match="taxi: no batch has been checked yet"):
        ask_retraining(model, at, "manual__1", "ada")


def test_without_labels_to_be_judged_on_the_wish_stands_and_waits(model, at, stores, check):
    check("2024-01-10")
    promote(stores, "2024-01-09")
    found = ask_retraining(model, at, "manual__1", "ada")
    assert (found.verdict, found.as_of, found.attempt) == ("2024-01-10.1", "2024-01-10", None)
    assert "100 labels that the champion has not learnt from" in found.why
    verdict = find_open_verdict(model.config, stores)
    assert verdict.id == "2024-01-10.1"
    check("2024-01-16", last_ask=verdict.id)
    assert find_due_attempt(model.config, stores).verdict == verdict.id


def test_an_attempt_that_was_made_answers_a_run_that_is_cleared(model, at, stores, check):
    check("2024-01-10")
    due = ask_retraining(model, at, "manual__1", "ada").attempt
    stores.ledger.put(
        AttemptRecord(
            as_of=due.as_of,
            verdict=due.verdict,
            trained_on=("2024-01-01", "2024-01-06"),
            training_rows=9,
            data="d",
            code="c",
            holdout=("2024-01-07",),
            against=0,
            judgement=None,
            outcome="passed",
            why="",
        )
    )
    closing = {"as_of": due.as_of, "verdict": due.verdict, "outcome": "promoted", "why": ""}
    stores.ledger.put(ClosingRecord(**closing))
    assert ask_retraining(model, at, "manual__1", "ada").attempt == due
