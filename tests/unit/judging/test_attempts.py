"""When an attempt is due: on the newest labels, new to the champion, and some of them to all earlier attempts."""

import pytest

from evergreen.config.model_folder import load_model_folder
from evergreen.judging.attempts import DueAttempt, find_due_attempt, holdout_of, is_new_code
from evergreen.records import (
    AttemptRecord,
    BatchRecord,
    ClaimRecord,
    ClosingRecord,
    PromotionRecord,
    RevisionRecord,
    SectionVerdict,
    VerdictRecord,
)
from evergreen.storage.stores import open_stores

OK = SectionVerdict(state="ok", why="")
SPAN = ("2024-01-01", "2024-01-03")


def day(number):
    return f"2024-01-{number:02d}"


@pytest.fixture
def loop(write_folder, edit_config, at):
    """Thirteen claimed batches with a label each but for some, a promotion at 3, and a verdict that asks."""

    def build(asks_at, missing=(), revised_at=None, labels=None, gate="min_rows: 2", promoted=True):
        model = load_model_folder(write_folder(config=edit_config("min_effect: 2%", f"min_effect: 2%, {gate}")))
        stores = open_stores(at, model.id)
        ledger = stores.ledger

        def seal(number, clean, as_of=None):
            ledger.put(
                BatchRecord(
                    as_of=day(as_of or number), batch=day(number), feed="labels", revision=1 if as_of else 0,
                    state="published" if clean else "missing", clean=clean,
                )
            )  # fmt: skip

        for number in range(1, 14):
            ledger.put(BatchRecord(as_of=day(number), feed="rows", revision=0, state="published", clean=1))
            seal(number, 0 if number in missing else (labels or {}).get(number, 1))
            claim = {"version": 1, "promotion": 1, "why": "", "data": "d", "label_cut": None}
            ledger.put(ClaimRecord(as_of=day(number), revision=0, **claim))
        for n, number in enumerate(missing if revised_at else ()):
            seal(number, 1, revised_at)
            changes = {"added": 1, "removed": 0, "changed": 0}
            ledger.put(
                RevisionRecord(as_of=day(revised_at), n=n, feeds=("labels",), batch=day(number), revision=1, **changes)
            )
        if promoted:
            ledger.put(
                PromotionRecord(
                    as_of=day(3), number=1, version=1, attempt="a", code="c", data="d", trained_on=SPAN,
                    effective_from=day(4), error=1.0,
                )
            )  # fmt: skip
        ask(ledger, asks_at)
        return model.config, stores

    return build


def ask(ledger, number, previous=None, reason="decay"):
    ledger.put(
        VerdictRecord(
            as_of=day(number), n=0, covers=(), promotion=1, version=1, freshness=OK, inputs=OK, predictions=OK,
            outcomes=OK, reasons=(reason,), action="retrain", last_ask=f"{day(number)}.0", previous_ask=previous,
        )
    )  # fmt: skip


def attempt(ledger, verdict, number, holdout, tried=None):
    ledger.put(
        AttemptRecord(
            as_of=day(number), verdict=f"{day(verdict)}.0", trained_on=SPAN, training_rows=1, data="d", code="c",
            holdout=tuple(map(day, holdout)), against=1, judgement=None, outcome="refused", why="", tried=tried or {},
        )
    )  # fmt: skip


def due(found):
    """Number of the batch at which the attempt is due, and those that it is judged on at least."""
    config, stores = found
    made = find_due_attempt(config, stores)
    return made and (int(made.as_of[-2:]), [int(batch[-2:]) for batch in holdout_of(config, stores, made.as_of)])


@pytest.mark.parametrize("revised_at", [None, 9])
def test_labels_that_a_revision_brought_count_from_when_it_was_made(revised_at, loop):
    """Labels of 4 and 5 were missing: the second batch since the promotion is 7, later revised or not."""
    assert due(loop(6, missing=(4, 5), revised_at=revised_at)) == (7, [6, 7])


def test_the_holdout_is_as_short_as_its_rows_allow(loop):
    """Two labels are needed: each batch but the bulk in 8 brings one."""
    assert due(loop(5, missing=(4, 5, 6, 7), labels={8: 5})) == (8, [8])


def test_proof_asks_for_several_batches_however_many_rows_they_bring(loop):
    found = loop(4, labels=dict.fromkeys(range(1, 14), 50), gate="min_rows: 2, confidence: 90%")
    assert due(found) == (7, [4, 5, 6, 7])


def test_who_has_no_champion_waits_for_nothing(loop):
    assert due(loop(5, promoted=False)) == (5, [4, 5])


def test_without_labels_that_are_new_to_the_champion_nothing_is_due(loop):
    assert due(loop(5, missing=tuple(range(4, 14)))) is None


def test_nothing_is_due_before_the_labels_of_its_batch_are_sealed(loop):
    config, stores = loop(14)
    claim = {"version": 1, "promotion": 1, "why": "", "data": "d", "label_cut": None}
    stores.ledger.put(ClaimRecord(as_of=day(14), revision=0, **claim))
    assert due((config, stores)) is None
    stores.ledger.put(BatchRecord(as_of=day(14), feed="labels", revision=0, state="published", clean=1))
    assert due((config, stores)) == (14, [13, 14])


@pytest.mark.parametrize("tried", [{}, {"all": 1.0}], ids=["none was fitted", "one was"])
def test_code_is_new_until_a_challenger_was_fitted_by_it(tried, loop):
    _, stores = loop(5, promoted=False)
    attempt(stores.ledger, 5, 7, (6, 7), tried)
    ask(stores.ledger, 8, previous=f"{day(5)}.0")
    assert is_new_code(stores, DueAttempt(f"{day(8)}.0", day(8)), "c") is not bool(tried)


def test_an_attempt_that_was_judged_is_finished_first(loop):
    config, stores = loop(5)
    attempt(stores.ledger, 5, 7, (6, 7))
    assert find_due_attempt(config, stores) == DueAttempt(f"{day(5)}.0", day(7))
    stores.ledger.put(ClosingRecord(as_of=day(7), verdict=f"{day(5)}.0", outcome="refused", why=""))
    assert find_due_attempt(config, stores) is None


@pytest.mark.parametrize(("revised_at", "holdout"), [(None, [7, 11]), (11, [10, 11])])
def test_the_next_verdicts_attempt_waits_for_a_label_batch_that_none_was_judged_on(revised_at, holdout, loop):
    """After 7 labels come again at 11, in 11's own batch or in revisions of those between."""
    config, stores = loop(5, missing=(8, 9, 10), revised_at=revised_at)
    attempt(stores.ledger, 5, 7, (6, 7))
    stores.ledger.put(ClosingRecord(as_of=day(7), verdict=f"{day(5)}.0", outcome="refused", why=""))
    ask(stores.ledger, 8, previous=f"{day(5)}.0")
    assert due((config, stores)) == (11, holdout)


def test_who_asks_by_hand_need_not_wait_for_another_label_batch(loop):
    """Labels of 7 were judged on, and none have come since: somebody may have changed the code."""
    config, stores = loop(5, missing=tuple(range(8, 14)))
    attempt(stores.ledger, 5, 7, (6, 7))
    stores.ledger.put(ClosingRecord(as_of=day(7), verdict=f"{day(5)}.0", outcome="refused", why=""))
    ask(stores.ledger, 9, previous=f"{day(5)}.0")
    assert due((config, stores)) is None
    ask(stores.ledger, 10, previous=f"{day(9)}.0", reason="asked")
    assert due((config, stores)) == (10, [6, 7])
