"""Who is champion at a batch: told by the ledger alone, to the batch."""

import pytest

from evergreen.batches import Calendar
from evergreen.config.model_folder import load_model_folder
from evergreen.judging.promotions import judged_promotion, next_effective, promotion_decided, promotion_serving
from evergreen.records import ClaimRecord, PromotionRecord
from evergreen.storage.stores import open_stores


def day(number):
    return f"2024-01-{number:02d}"


@pytest.fixture
def stores(write_folder, at):
    return open_stores(at, load_model_folder(write_folder()).id)


@pytest.fixture
def calendar(write_folder) -> Calendar:
    return load_model_folder(write_folder(name="other")).config.calendar


def promote(stores, number, decided, effective, refreshes=None):
    stores.ledger.put(
        PromotionRecord(
            as_of=day(decided), number=number, version=10 * number, attempt=f"{day(decided)}.0", code="c", data="d",
            trained_on=(day(1), day(decided)), effective_from=day(effective), error=1.0, refreshes=refreshes,
        )
    )  # fmt: skip


def claim(stores, *numbers):
    for number in numbers:
        stores.ledger.put(
            ClaimRecord(as_of=day(number), revision=0, version=1, promotion=1, why="", data="d", label_cut=None)
        )


def test_a_promotion_serves_from_its_first_batch_on_and_not_before(stores):
    # The second was decided in a catch-up: later batches were claimed by then.
    promote(stores, 1, decided=3, effective=4)
    promote(stores, 2, decided=5, effective=9)
    serving = {number: promotion_serving(stores.ledger, day(number)) for number in (1, 3, 4, 8, 9, 20)}
    assert {number: one and one.number for number, one in serving.items()} == {
        1: None, 3: None, 4: 1, 8: 1, 9: 2, 20: 2,
    }  # fmt: skip


def test_a_promotion_is_known_from_the_batch_at_which_it_was_decided(stores):
    promote(stores, 1, decided=3, effective=4)
    promote(stores, 2, decided=5, effective=9)
    decided = {number: promotion_decided(stores.ledger, day(number)) for number in (2, 3, 4, 5, 8)}
    assert {number: one and one.number for number, one in decided.items()} == {2: None, 3: 1, 4: 1, 5: 2, 8: 2}


@pytest.mark.parametrize(
    ("claimed", "as_of", "effective"),
    [((), 3, 4), ((1, 2, 3), 3, 4), ((1, 2, 3, 4, 5), 3, 6), ((1, 2), 3, 4), ((1, 2, 3), 7, 8)],
)
def test_what_is_decided_serves_after_its_batch_and_after_all_that_are_claimed(
    claimed, as_of, effective, stores, calendar
):
    claim(stores, *claimed)
    assert next_effective(stores.ledger, calendar, day(as_of)) == day(effective)


def test_a_refresh_carries_on_the_recipe_that_was_judged(stores):
    promote(stores, 1, decided=3, effective=4)
    promote(stores, 2, decided=5, effective=6)
    promote(stores, 3, decided=7, effective=8, refreshes=2)
    judged = [judged_promotion(stores.ledger, one).number for one in stores.ledger.all(PromotionRecord, "champion")]
    assert judged == [1, 2, 2]
