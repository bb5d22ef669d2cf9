"""The check asks by its policies, as known then, and holds back what does not last."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from include.config.locations import Locations
from include.config.model_folder import parse_policies
from include.config.policies import PersistenceConfig
from include.demo.stream import DemoStream
from include.judging.champion import promotion_decided
from include.records import (
    AttemptRecord,
    ClosingRecord,
    PromotionRecord,
    SectionVerdict,
    VerdictRecord,
)
from include.steps.check_drift import _conclude, _find_fleeting, check_drift
from include.storage.stores import open_stores
from tests.short_loop import fingerprint, run, short_model

CHANGED, LAST = 9, 11
STREAM = DemoStream(trips=200, batches=LAST, broken=(), shifted=(0, 0), changed=CHANGED, slowdown=2.0)
POLICIES = ("decay", "cusum", "adwin:delta=0.05", "cara&every:3", "uniform:budget=1:over=5")
OK = SectionVerdict(state="ok", why="")


def under(model, policies, **retrain):
    chosen = model.config.retrain.model_copy(update={"any": parse_policies(policies).any, **retrain})
    return model.replace(model.config.model_copy(update={"retrain": chosen}))


def conclude(model, at, number, policies, **retrain):
    """What a check at a batch says under other policies."""
    as_of = model.config.calendar.name(number - 1)
    return _conclude(under(model, policies, **retrain), open_stores(at, model.id), as_of)


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


def test_each_policy_asks_after_the_change_and_not_before(lived):
    _, _, said = lived
    numbers = sorted({number for _, number in said})
    assert numbers[0] <= CHANGED - 4, "the champion must have served some batches before the change"
    for policies, late in {"decay": 1, "cusum": 1, "adwin:delta=0.05": 2, "cara&every:3": 2}.items():
        asked = [number for number in numbers if "decay" in said[policies, number].reasons]
        assert asked, policies
        assert CHANGED <= asked[0] <= CHANGED + late, (policies, asked)
        assert asked == list(range(asked[0], LAST + 1)), policies
    assert [n for n in numbers if said["uniform:budget=1:over=5", n].reasons] == [n for n in numbers if n % 5 == 0]
    assert {said["cara&every:3", n].reasons for n in numbers} == {(), ("decay", "due")}


def test_a_check_says_the_same_after_all_that_came_later(lived):
    model, at, said = lived
    assert {"retrain", "none"} == {verdict.action for verdict in said.values()}
    for (policies, number), then in said.items():
        now = conclude(model, at, number, policies)
        if number < LAST:
            # A backfill asks for nothing; what it found is the same.
            quiet = {"action": "none", "last_ask": now.last_ask, "previous_ask": now.previous_ask}
            assert now.action == "none"
            then = then.model_copy(update=quiet)
        assert now == then, (policies, number)


def test_a_reason_that_has_not_lasted_is_told_and_asks_for_nothing(lived):
    model, at, _ = lived
    # The checks before it were made under `never`, and found no reason.
    held = PersistenceConfig(hits=2, of=3)
    verdict = conclude(model, at, LAST, "decay", persistence=held)
    assert (verdict.reasons, verdict.action) == (("decay",), "none")
    assert conclude(model, at, LAST, "decay").action == "retrain"
    # A calendar needs no second look.
    verdict = conclude(model, at, LAST, "decay+every:2", persistence=held)
    assert (verdict.reasons, verdict.action) == (("decay", "due"), "retrain")
    # Of several at once, all must have lasted.
    verdict = conclude(model, at, LAST, "decay&every:2", persistence=held)
    assert (verdict.reasons, verdict.action) == (("decay", "due"), "none")


@pytest.fixture
def ledger(lived, tmp_path):
    """A ledger of its own for the model that lived."""
    model = lived[0]
    stores = open_stores(Locations("dev", str(tmp_path / "lake"), str(tmp_path), "http://127.0.0.1:1"), model.id)
    return model, stores


def put_verdict(model, stores, number, reasons=(), promotion=1, **more):
    as_of = model.config.calendar.name(number - 1)
    body = {"last_ask": None, "previous_ask": None, "action": "none", "n": 0, "covers": (as_of,)} | more
    sections = dict.fromkeys(("freshness", "inputs", "predictions", "outcomes"), OK)
    body["evidence"] = tuple(reason for reason in reasons if reason in ("decay", "drift"))
    stores.ledger.put(
        VerdictRecord(as_of=as_of, promotion=promotion, version=promotion, reasons=reasons, **sections, **body)
    )


def test_a_reason_lasts_by_the_checks_of_the_same_champion_this_one_included(ledger):
    model, stores = ledger
    found = {
        1: ("decay", "drift"), 2: ("decay",), 3: ("drift",), 4: (), 5: ("decay", "due"),
    }  # fmt: skip
    for number, reasons in found.items():
        put_verdict(model, stores, number, reasons, promotion=1 if number < 3 else 2)
    # A wish at the same batch is no check.
    put_verdict(model, stores, 5, ("asked",), promotion=2, n=1)

    def fleeting(hits, of, evidence, promotion=2):
        retrain = model.config.retrain.model_copy(update={"persistence": PersistenceConfig(hits=hits, of=of)})
        config = model.config.model_copy(update={"retrain": retrain})
        return _find_fleeting(config, stores, model.config.calendar.name(5), promotion, evidence)

    assert fleeting(1, 1, ("decay", "drift")) == ()
    assert fleeting(2, 2, ("decay", "drift")) == ("drift",)
    assert fleeting(2, 3, ("decay", "drift")) == ("drift",)
    assert fleeting(2, 4, ("decay", "drift")) == ()
    # What an earlier champion's checks found is not counted.
    assert fleeting(3, 9, ("decay", "drift")) == ("decay", "drift")
    assert fleeting(2, 9, ("decay",), promotion=3) == ("decay",)


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
        stores.ledger.put(ClosingRecord(as_of=as_of, verdict=wish.id, outcome="exhausted", why=""))
    return wish.id


@pytest.mark.parametrize(("cooldown", "action"), [(0, "retrain"), (1, "none")])
def test_a_cooldown_of_one_rests_one_batch(copied, cooldown, action):
    model, at, stores = copied
    ask_at(model, stores, LAST - 1, closed=LAST - 1)
    assert conclude(model, at, LAST, "decay", cooldown=cooldown).action == action


def test_what_was_decided_at_a_batch_comes_after_its_check_however_late_that_is(copied):
    model, at, stores = copied
    asked = ask_at(model, stores, LAST - 1)
    before = conclude(model, at, LAST, "decay+every:1")
    first, name = stores.ledger.get(PromotionRecord, "champion"), model.config.calendar.name
    second = {"as_of": name(LAST - 1), "number": 2, "attempt": f"{asked}-1", "effective_from": name(LAST)}
    stores.ledger.put(first.model_copy(update=second))
    stores.ledger.put(ClosingRecord(as_of=name(LAST - 1), verdict=asked, outcome="promoted", why=""))
    after = conclude(model, at, LAST, "decay+every:1")
    assert (before.promotion, before.action, before.last_ask) == (1, "none", asked)
    assert after == before


def test_a_wish_that_comes_while_a_check_is_made_is_not_lost(copied, monkeypatch):
    model, at, stores = copied
    asked = []
    monkeypatch.setattr(
        "include.steps.check_drift._draw", lambda *_: asked or asked.append(ask_at(model, stores, LAST - 1))
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

    monkeypatch.setattr("include.steps.check_drift.render_drift", fail)
    model, at, stores = copied
    check = model.config.check.model_copy(update={"html": "always"})
    as_of = model.config.calendar.name(LAST - 1)
    verdict = check_drift(model.replace(model.config.model_copy(update={"check": check})), at, as_of)
    assert stores.ledger.get(VerdictRecord, as_of) == verdict
    assert f"taxi, batch {as_of}: Evidently could not draw its report" in caplog.text


def test_changed_code_is_asked_for_once_and_never_in_a_backfill(lived, monkeypatch):
    model, at, _ = lived
    changed = model.replace(
        model.config.model_copy(update={"training": model.config.training.model_copy(update={"window": 3})})
    )
    assert changed.code_version != model.code_version
    assert conclude(model, at, LAST, "code_changed").reasons == ()
    verdict = conclude(changed, at, LAST, "code_changed")
    assert (verdict.reasons, verdict.action, verdict.code) == (("code_changed",), "retrain", changed.code_version)
    assert conclude(changed, at, LAST - 1, "code_changed").reasons == ()
    # It needs no second look.
    held = PersistenceConfig(hits=3, of=3)
    assert conclude(changed, at, LAST, "code_changed", persistence=held).action == "retrain"


CODES = {
    "nobody has asked since": ([], True),
    "it was asked for": ([("code_changed", "new", None)], False),
    "it was tried for another reason": ([("decay", None, "new")], False),
    "other code was asked for": ([("code_changed", "other", "other")], True),
    "it was asked for, then something else": ([("code_changed", "new", None), ("due", None, "other")], False),
}


@pytest.mark.parametrize("case", CODES)
def test_code_that_was_asked_for_or_tried_is_not_asked_for_again(case, ledger, monkeypatch):
    from include.policies.situations import _is_code_changed

    asks, expected = CODES[case]
    model, stores = ledger
    model = under(model, "decay+code_changed")
    monkeypatch.setattr(type(model), "code_version", "new")
    name = model.config.calendar.name
    champion = PromotionRecord(
        as_of=name(1), number=1, version=1, attempt=f"{name(0)}.0-1", code="old", data="d",
        trained_on=(name(0), name(0)), effective_from=name(2), error=1.0,
    )  # fmt: skip
    # What was asked for before the promotion, with the same code, was answered by it.
    put_verdict(model, stores, 1, ("code_changed",), action="retrain", code="new", last_ask=f"{name(0)}.0")
    asked = f"{name(0)}.0"
    for i, (reason, code, tried) in enumerate(asks):
        number, before = 4 + 2 * i, asked
        asked = f"{name(number - 1)}.0"
        put_verdict(model, stores, number, (reason,), action="retrain", code=code, last_ask=asked, previous_ask=before)
        if tried:
            stores.ledger.put(
                AttemptRecord(
                    as_of=name(number), verdict=asked, number=1, trained_on=(name(0), name(0)), training_rows=1,
                    data="d", code=tried, holdout=(name(0),), against=1, judgement=None, outcome="refused", why="",
                )
            )  # fmt: skip
    assert _is_code_changed(model, stores, name(11), champion, asked) is expected
    assert not _is_code_changed(under(model, "decay"), stores, name(11), champion, asked)
    same = champion.model_copy(update={"code": "new"})
    assert not _is_code_changed(model, stores, name(11), same, asked)


def test_who_answered_early_is_challenged_once_more_when_its_window_is_full(tmp_path):
    window = 3
    gate = {"metric": "mae", "holdout": 2, "min_rows": 50, "confidence": "80%"}
    model = short_model(tmp_path, training={"window": window, "min_labels": 200}, gate=gate)
    model = under(model, "decay+refilled", attempts=4)
    at, calendar = Locations.under(tmp_path), model.config.calendar
    run(model, at, *range(1, 19), stream=replace(STREAM, trips=150, batches=18))
    ledger = open_stores(at, model.id).ledger
    verdicts = [ledger.get(VerdictRecord, calendar.name(i)) for i in range(18)]
    asked = [
        (calendar.index(one.as_of), one.reasons) for one in verdicts if one is not None and one.action == "retrain"
    ]
    answered = [n for n, reasons in asked if reasons == ("decay",)]
    assert len(answered) == 1, asked
    promoted = ledger.get(PromotionRecord, "champion", 1)
    assert calendar.index(promoted.as_of) >= answered[0]
    full = calendar.index(promoted.as_of) + window
    assert [n for n, reasons in asked if reasons == ("due",)] == [full], asked
