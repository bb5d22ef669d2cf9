"""The check asks by its policies, as known then, and says why it does not."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from evergreen.config.locations import Locations
from evergreen.config.model_folder import parse_policies
from evergreen.config.policies_config import RetrainConfig
from evergreen.demo.stream import DemoStream
from evergreen.incidents import last_incident
from evergreen.judging.promotions import promotion_decided
from evergreen.records import ClosingRecord, PromotionRecord, VerdictRecord
from evergreen.steps.check_drift import _conclude, check_drift
from evergreen.storage.stores import open_stores
from tests.short_loop import fingerprint, run, short_model

CHANGED, LAST = 9, 11
STREAM = DemoStream(trips=200, batches=LAST, broken=(), shifted=(0, 0), changed=CHANGED, slowdown=2.0)
POLICIES = ("decay", "every:4", "decay+every:4")


def under(model, policies, budget=None):
    chosen = RetrainConfig(any=parse_policies(policies).any, budget=budget)
    return model.replace(model.config.model_copy(update={"retrain": chosen}))


def conclude(model, at, number, policies, budget=None):
    """What a check at a batch says under other policies."""
    as_of = model.config.calendar.name(number - 1)
    return _conclude(under(model, policies, budget), open_stores(at, model.id), as_of)


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A loop that only began, and what each policy said at each of its batches when it was the newest."""
    home = tmp_path_factory.mktemp("lived")
    model, at = (
        short_model(home, retrain={"any": ["never"]}, training={"window": 2, "min_labels": 150}),
        Locations.under(home),
    )
    said = {}
    for number in range(1, LAST + 1):
        run(model, at, number, stream=STREAM)
        if promotion_decided(open_stores(at, model.id).ledger, model.config.calendar.name(number - 2)) is not None:
            said |= {(policies, number): conclude(model, at, number, policies) for policies in POLICIES}
    return model, at, said


def test_each_policy_asks_when_it_should(lived):
    model, at, said = lived
    numbers = sorted({number for _, number in said})
    assert numbers[0] <= CHANGED - 4, "the champion must have served some batches before the change"
    begun = model.config.calendar.index(open_stores(at, model.id).ledger.last(PromotionRecord, "champion").as_of) + 1
    asked = {
        policies: {n: said[policies, n].reasons for n in numbers if said[policies, n].reasons} for policies in POLICIES
    }
    decayed = {number: ("decay",) for number in range(CHANGED, LAST + 1)}
    due = {number: ("due",) for number in range(begun + 4, LAST + 1)}
    assert asked["decay"] == decayed
    assert asked["every:4"] == due
    assert asked["decay+every:4"].keys() == decayed.keys() | due.keys()


def test_a_check_says_the_same_after_all_that_came_later(lived):
    model, at, said = lived
    assert {"retrain", "none"} == {verdict.action for verdict in said.values()}
    for (policies, number), then in said.items():
        now = conclude(model, at, number, policies)
        if number < LAST:
            # A backfill asks for nothing; what it found is the same.
            held = "a later batch was checked already" if now.reasons else ""
            assert (now.action, now.held) == ("none", held)
            quiet = {"action": "none", "held": held, "last_ask": now.last_ask, "previous_ask": now.previous_ask}
            then = then.model_copy(update=quiet)
        assert now == then, (policies, number)


def test_a_budget_that_is_used_up_holds_a_check_and_one_that_is_not_does_not(lived):
    model, at, _ = lived
    held = conclude(model, at, LAST, "decay", budget=timedelta(microseconds=1))
    assert (held.reasons, held.action) == (("decay",), "none")
    assert "retrain.budget" in held.held
    assert conclude(model, at, LAST, "decay", budget=timedelta(hours=1)).action == "retrain"


@pytest.fixture
def copied(lived, tmp_path):
    """A copy of the loop that lived, to go on with; its last batch is not checked yet."""
    model, at, _ = lived
    home = Path(at.landing).parent
    shutil.copytree(home, tmp_path / "copy")
    there = Locations.under(tmp_path / "copy")
    (last,) = Path(there.lake).glob(f"ledger/{at.env}/{model.id}/verdict/{model.config.calendar.name(LAST - 1)}*")
    shutil.rmtree(last) if last.is_dir() else last.unlink()
    return model, there, open_stores(there, model.id)


def ask_at(model, stores, number, closed=None):
    """A person's wish at a batch that was checked, and the batch as of which it was closed."""
    seen = stores.ledger.get(VerdictRecord, model.config.calendar.name(number - 1))
    wish = seen.model_copy(update={"n": 1, "reasons": ("asked",), "action": "retrain", "last_ask": f"{seen.as_of}.1"})
    stores.ledger.put(wish)
    if closed is not None:
        as_of = model.config.calendar.name(closed - 1)
        stores.ledger.put(ClosingRecord(as_of=as_of, verdict=wish.id, outcome="refused", why=""))
    return wish.id


def test_an_open_verdict_holds_a_check_and_a_closed_one_does_not(copied):
    model, at, stores = copied
    asked = ask_at(model, stores, LAST - 1)
    held = conclude(model, at, LAST, "decay")
    assert (held.reasons, held.action, held.held) == (("decay",), "none", f"verdict {asked} is open")
    stores.ledger.put(ClosingRecord(as_of=asked[:10], verdict=asked, outcome="refused", why=""))
    assert conclude(model, at, LAST, "decay").action == "retrain"


@pytest.mark.parametrize(
    ("policies", "open_since", "told"),
    [
        ("decay", None, "A retraining is asked for."),
        ("decay", LAST - 1, "No retraining is asked for: verdict {asked} is open."),
        ("never", None, "No retraining is asked for: the policies in config.yaml do not ask for it."),
    ],
)
def test_an_incident_says_whether_a_retraining_comes(policies, open_since, told, copied):
    model, at, stores = copied
    for kind in ("incident", "sighting"):
        shutil.rmtree(Path(at.lake) / "ledger" / at.env / model.id / kind)
    asked = ask_at(model, stores, open_since) if open_since else ""
    check_drift(under(model, policies), at, model.config.calendar.name(LAST - 1))
    assert last_incident(stores.ledger, "decay").opened.done == told.format(asked=asked)


def test_what_was_decided_at_a_batch_comes_after_its_check_however_late_that_is(copied):
    model, at, stores = copied
    asked = ask_at(model, stores, LAST - 1)
    before = conclude(model, at, LAST, "decay+every:1")
    first, name = stores.ledger.get(PromotionRecord, "champion"), model.config.calendar.name
    second = {"as_of": name(LAST - 1), "number": 2, "attempt": asked, "effective_from": name(LAST)}
    stores.ledger.put(first.model_copy(update=second))
    stores.ledger.put(ClosingRecord(as_of=name(LAST - 1), verdict=asked, outcome="promoted", why=""))
    after = conclude(model, at, LAST, "decay+every:1")
    assert (before.promotion, before.action, before.last_ask) == (1, "none", asked)
    assert after == before


def test_a_wish_that_comes_while_a_check_is_made_is_not_lost(copied, monkeypatch):
    model, at, stores = copied
    asked = []
    monkeypatch.setattr(
        "evergreen.steps.check_drift._draw", lambda *_: asked or asked.append(ask_at(model, stores, LAST - 1))
    )
    verdict = check_drift(under(model, "decay"), at, model.config.calendar.name(LAST - 1))
    assert (verdict.last_ask, verdict.action) == (asked[0], "none")


def test_html_reports_change_no_verdict(lived, copied):
    model, at, _ = lived
    _, there, _ = copied
    check = model.config.check.model_copy(update={"html": "always"})
    as_of = model.config.calendar.name(LAST - 1)
    check_drift(model.replace(model.config.model_copy(update={"check": check})), there, as_of)
    assert fingerprint(model, there) == fingerprint(model, at)
    assert len(list(Path(there.lake).rglob(f"drift-{as_of}.html"))) == 1


def test_a_report_that_cannot_be_drawn_does_not_stop_the_check(copied, monkeypatch, caplog):
    def fail(*_):
        raise ValueError("empty vocabulary")

    monkeypatch.setattr("evergreen.steps.check_drift.render_drift", fail)
    model, at, stores = copied
    check = model.config.check.model_copy(update={"html": "always"})
    as_of = model.config.calendar.name(LAST - 1)
    verdict = check_drift(model.replace(model.config.model_copy(update={"check": check})), at, as_of)
    assert stores.ledger.get(VerdictRecord, as_of) == verdict
    assert f"taxi, batch {as_of}: Evidently could not draw its report" in caplog.text
