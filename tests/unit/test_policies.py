"""Policies: what each finds in a situation, what several find together, and what a budget allows."""

from types import SimpleNamespace

import pytest

from evergreen.config.model_folder import load_model_folder, parse_policies
from evergreen.judging.attempts import get_verdict
from evergreen.policies import count_idle, find_reasons, tell_over_budget
from evergreen.records import AttemptRecord, ClosingRecord, PromotionRecord, SectionVerdict, VerdictRecord
from evergreen.storage.stores import open_stores

OK, BAD = (SectionVerdict(state=state, why="") for state in ("ok", "bad"))
PROVISIONAL = SectionVerdict(state="provisional", why="")
ANY = "decay+every:4+never"


def day(number):
    return f"2024-01-{number:02d}"


@pytest.mark.parametrize(
    ("policies", "idle", "outcomes", "reasons"),
    [
        ("never", 999, BAD, ()),
        ("every:4", 3, BAD, ()),
        ("every:4", 4, OK, ("due",)),
        ("every:4", 9, OK, ("due",)),
        ("decay", 999, OK, ()),
        ("decay", 0, BAD, ("decay",)),
        ("decay", 999, PROVISIONAL, ()),
        (ANY, 3, OK, ()),
        (ANY, 4, BAD, ("decay", "due")),
        ("every:4+every:2", 4, OK, ("due",)),
    ],
)
def test_what_policies_ask_for(policies, idle, outcomes, reasons):
    assert find_reasons(parse_policies(policies).any, idle, outcomes) == reasons


@pytest.fixture
def loop(write_folder, edit_config, at):
    """A model under some policies, promoted on the third day, and what puts later asks on record."""

    def make(retrain):
        config = edit_config("retrain: {any: [decay, {every: 28}]}", f"retrain: {retrain}")
        model = load_model_folder(write_folder(config=config))
        stores = open_stores(at, model.id)
        promotion = PromotionRecord(
            as_of=day(3), number=1, version=1, attempt=f"{day(2)}.0", code="old", data="d",
            trained_on=(day(1), day(2)), effective_from=day(4), error=1.0,
        )  # fmt: skip
        asks = []

        def ask(number, spent=None, closed=None):
            name = f"{day(number)}.0"
            stores.ledger.put(
                VerdictRecord(
                    as_of=day(number), n=0, covers=(), promotion=1, version=1, freshness=OK, inputs=OK, predictions=OK,
                    outcomes=OK, reasons=("due",), action="retrain", last_ask=name,
                    previous_ask=asks[-1] if asks else None,
                )
            )  # fmt: skip
            asks.append(name)
            if spent:
                stores.ledger.put(
                    AttemptRecord(
                        as_of=day(number + 1), verdict=name, trained_on=None, training_rows=0, data="d",
                        code="old", holdout=(), against=1, judgement=None, outcome="refused", why="",
                        meta={"cpu_seconds": spent},
                    )
                )  # fmt: skip
            if closed:
                stores.ledger.put(ClosingRecord(as_of=day(closed), verdict=name, outcome="refused", why=""))
            return name

        def idle(number, asked=None):
            return count_idle(model.config, stores, day(number), promotion, asked)

        return SimpleNamespace(model=model, stores=stores, ask=ask, idle=idle)

    return make


def test_idle_batches_count_from_the_promotion_or_the_last_retraining(loop):
    found = loop("{any: [decay]}")
    assert found.idle(10) == 7
    asked = found.ask(5, closed=6)
    assert found.idle(10, asked) == 4
    # What was closed at the check's own batch came after it.
    assert found.idle(6, asked) == 3
    assert found.idle(10, found.ask(8)) == 7


def test_a_budget_rests_until_the_last_training_is_paid(loop):
    # Made at the 6th, 100 CPU seconds at 30 a batch: too much after three batches, enough after four.
    found = loop("{any: [{every: 1}], budget: 30s}")
    config, asked = found.model.config, found.ask(5, spent=100.0)
    assert get_verdict(found.stores, asked).reasons == ("due",)
    over = {n: tell_over_budget(config, found.stores, day(n), asked) for n in (7, 9, 10, 20)}
    told = f"the last one took 100 CPU seconds; retrain.budget allows the next at batch {day(10)}"
    assert over == {7: told, 9: told, 10: "", 20: ""}
    assert not tell_over_budget(config, found.stores, day(9), None)
    assert not tell_over_budget(config, found.stores, day(9), found.ask(8))


def test_a_training_is_paid_at_the_batch_at_which_the_budget_makes_up_its_cost(loop):
    found = loop("{any: [{every: 1}], budget: 30s}")
    config, asked = found.model.config, found.ask(5, spent=90.0)
    assert [bool(tell_over_budget(config, found.stores, day(n), asked)) for n in (8, 9)] == [True, False]


@pytest.mark.parametrize("closed", [None, 6])
def test_a_cadence_asks_after_so_many_batches_and_not_one_sooner(closed, loop):
    """Promoted at the 3rd, closed at the 6th: every fourth batch is the 7th or the 10th."""
    found = loop("{any: [{every: 4}]}")
    asked = found.ask(5, closed=closed) if closed else None
    due = {n for n in range(5, 13) if find_reasons(found.model.config.policies, found.idle(n, asked), OK) == ("due",)}
    assert min(due) == (10 if closed else 7)


def test_without_a_budget_any_cost_is_allowed(loop):
    found = loop("{any: [{every: 1}]}")
    assert not tell_over_budget(found.model.config, found.stores, day(7), found.ask(5, spent=1e6))
