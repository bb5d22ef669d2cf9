"""When an attempt is due: no holdout is used twice, whatever labels were taken in again meanwhile."""

import pytest

from include.config.model_folder import load_model_folder
from include.judging.attempts import find_due_attempt, holdout_of
from include.records import (
    AttemptRecord,
    BatchRecord,
    ClaimRecord,
    PromotionRecord,
    RevisionRecord,
    SectionVerdict,
    VerdictRecord,
)
from include.storage.stores import open_stores

OK = SectionVerdict(state="ok", why="")


def day(number):
    return f"2024-01-{number:02d}"


@pytest.fixture
def loop(write_folder, edit_config, at):
    """Thirteen sealed and claimed batches with labels but for some, a promotion at 3, and an open verdict."""
    model = load_model_folder(write_folder(config=edit_config("holdout: 4", "holdout: 2")))
    ledger = open_stores(at, model.id).ledger
    span = (day(1), day(3))

    def seal(number, state="published", as_of=None, revision=0, labels=1):
        clean = labels if state == "published" else 0
        ledger.put(
            BatchRecord(
                as_of=day(as_of or number),
                batch=day(number),
                feed="labels",
                revision=revision,
                state=state,
                clean=clean,
            )
        )

    def build(missing, revised_at, asks_at, judged_at=None, labels=None):
        for number in range(1, 14):
            ledger.put(BatchRecord(as_of=day(number), feed="rows", revision=0, state="published", clean=1))
            seal(number, "missing" if number in missing else "published", labels=(labels or {}).get(number, 1))
            ledger.put(
                ClaimRecord(as_of=day(number), revision=0, version=1, promotion=1, why="", data="d", label_cut=None)
            )
        for n, number in enumerate(missing if revised_at else ()):
            seal(number, as_of=revised_at, revision=1)
            ledger.put(
                RevisionRecord(
                    as_of=day(revised_at), n=n, feeds=("labels",), batch=day(number), revision=1, added=1, removed=0,
                    changed=0,
                )
            )  # fmt: skip
        ledger.put(
            PromotionRecord(
                as_of=day(3), number=1, version=1, attempt="a", code="c", data="d", trained_on=span,
                effective_from=day(4), error=1.0,
            )
        )  # fmt: skip
        asked = f"{day(asks_at)}.0"
        ledger.put(
            VerdictRecord(
                as_of=day(asks_at), n=0, covers=(), promotion=1, version=1, freshness=OK, inputs=OK, predictions=OK,
                outcomes=OK, reasons=("decay",), action="retrain", last_ask=asked, previous_ask=None,
            )
        )  # fmt: skip
        if judged_at is not None:
            ledger.put(
                AttemptRecord(
                    as_of=day(judged_at), verdict=asked, number=1, trained_on=span, training_rows=1, data="d",
                    code="c", holdout=(day(6), day(7)), against=1, judgement=None, outcome="refused", why="",
                )
            )  # fmt: skip
        stores = open_stores(at, model.id)
        due = find_due_attempt(model.config, stores)
        return due.as_of, holdout_of(model.config, stores, due.as_of)

    return build


@pytest.mark.parametrize("revised_at", [None, 9])
def test_labels_that_a_revision_brought_count_from_when_it_was_made(revised_at, loop):
    """Labels of 4 and 5 were missing: the third batch since the promotion is 8, later revised or not."""
    assert loop((4, 5), revised_at, asks_at=6) == (day(8), [day(7), day(8)])


def test_labels_in_bulk_are_worth_the_batches_whose_labels_they_bring(loop):
    """All labels of 4 to 8 come in 8, those of 9 to 12 in 12: each is a holdout, and before it one is learnt from."""
    assert loop((4, 5, 6, 7, 9, 10, 11), None, asks_at=5, labels={8: 5, 12: 4}) == (day(12), [day(12)])


def test_a_gap_in_which_labels_were_lost_is_worth_nothing(loop):
    """In 8 come the labels of one batch, as ever: it is not the holdout that two batches make."""
    assert loop((4, 5, 6, 7), None, asks_at=5) == (day(10), [day(9), day(10)])


def test_a_second_attempt_waits_for_labels_that_the_first_has_not_seen(loop):
    """Labels of 8 and 9 came at 11, as revisions: no attempt is made before, on the labels of the first."""
    as_of, holdout = loop((8, 9), 11, asks_at=5, judged_at=7)
    assert as_of == day(11)
    assert min(holdout) > day(7)
