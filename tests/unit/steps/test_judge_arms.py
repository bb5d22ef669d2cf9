"""A challenger on live traffic: begun where one waits, judged on the labels of its answers, taken back if worse."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest

from evergreen.errors import FeaturesInvalid, ModelNotFound, Refused
from evergreen.features.answers import read_answers
from evergreen.incidents import newest_incidents
from evergreen.records import AnswersRecord, ArmsRecord
from evergreen.replay.status import describe_arms
from evergreen.serving.answer_log import AnswerLog
from evergreen.serving.app import build_app
from evergreen.serving.champions import Champion
from evergreen.serving.service import Limits
from evergreen.steps import judge_arms as module
from evergreen.steps.apply_retention import apply_retention
from evergreen.steps.approve_model import approve_model
from evergreen.steps.forget_rows import describe_forgotten, forget_rows
from evergreen.steps.ingest_answers import ingest_answers
from evergreen.steps.judge_arms import begin_arms, end_arms, judge_arms
from evergreen.storage.spool import Spool
from tests.serving_server import serving
from tests.unit.small_loop import ROWS, SmallLoop, day, doubled, make_rows

GATE = {"metric": "mae", "min_rows": 30}
CANARY = {"canary": {"steps": [50, 100]}}


@contextmanager
def served(loop: SmallLoop) -> Iterator[tuple[httpx.Client, Champion, AnswerLog]]:
    champion, log = Champion(loop.model, loop.at), AnswerLog(loop.model, loop.at)
    champion.follow()
    with serving(build_app({"small": champion}, Limits(), logs={"small": log})) as client:
        yield client, champion, log


def asked(number: int) -> dict[str, Any]:
    """A day's rows, asked before they come as a batch."""
    rows = make_rows(number, doubled).drop(columns="y")
    return {"rows": rows.assign(at=rows["at"].map(lambda moment: moment.isoformat())).to_dict(orient="records")}


def ask(client: httpx.Client, number: int, request: str | None = None) -> dict:
    headers = {"X-Request-ID": request} if request else {}
    answer = client.post("/models/small/predict", json=asked(number), headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def lived(tmp_path: Path) -> SmallLoop:
    """Version 1 is the baseline, version 2 learnt the line."""
    return SmallLoop.begun(tmp_path, 2)


def arms_of(loop: SmallLoop) -> list[ArmsRecord]:
    return list(loop.stores.ledger.all(ArmsRecord, "online"))


def test_answers_are_taken_in_once_as_a_batch_however_often_they_came(lived: SmallLoop) -> None:
    loop = lived.using(serving={"answers": True})
    with served(loop) as (client, _, log):
        told = ask(client, 3, "first")
        log.flush()
        # The caller did not hear the answer and asks again; the writer did not hear that the file is there.
        ask(client, 3, "first")
        log.flush()
        spool = Spool(loop.at, "small")
        assert len(spool.sizes()) == 2
        loop.run(doubled, 3)
    record = loop.stores.ledger.last(AnswersRecord, "batches")
    assert record is not None
    assert (record.as_of, record.rows, record.copies, record.torn) == (day(3), ROWS, ROWS, 0)
    assert spool.sizes() == {}
    answers = read_answers(loop.stores, day(3))
    assert answers["prediction"].tolist() == told["predictions"]
    assert set(answers["version"]) == {str(told["version"])}
    assert set(answers["arm"]) == {"champion"}
    # Online equals batch for the same rows, and the key is the batch's.
    scored = lived.predictions(3)
    assert answers["prediction"].tolist() == scored["prediction"].tolist()
    assert answers["key"].tolist() == [json.dumps([number]) for number in scored["id"]]
    # Again, and for a batch before: nothing moves, and what came since waits for the next one.
    row = '{"request_id": "%s", "row": %s, "key": "[1]", "at": "%s"}'
    spoilt = [
        "no JSON", "[" * 100_000, row % ("a", 10**30, "2024-01-04T00:00:00Z"),
        row % ("\\ud800", 0, "2024-01-04T00:00:00Z"), row % ("c", 0, "0001-01-01T00:00:00+20:00"),
    ]  # fmt: skip
    spool.write("later.jsonl", "".join(f"{line}\n" for line in spoilt).encode())
    assert ingest_answers(loop.model, loop.at, day(3)) == record
    assert ingest_answers(loop.model, loop.at, day(2)) == record
    loop.run(doubled, 4)
    after = loop.stores.ledger.last(AnswersRecord, "batches")
    assert after is not None
    assert (after.as_of, after.rows, after.torn) == (day(4), 0, len(spoilt))
    assert len(read_answers(loop.stores, day(4))) == ROWS
    assert arms_of(loop) == []


def test_a_persons_answers_are_forgotten_and_reach_their_age(lived: SmallLoop) -> None:
    loop = lived.using(serving={"answers": True}, retention={"answers": "1 day"})
    key = str(make_rows(3, doubled)["id"].iloc[7])
    with served(loop) as (client, _, log):
        ask(client, 3)
        log.flush()
        loop.run(doubled, 3)
        ask(client, 4)
        log.flush()
        result = forget_rows(loop.model, loop.at, (key,), (), date(2026, 12, 1), "ada: by her wish")
    assert (result.ended.rows["answers"], result.spooled) == (1, 1)
    assert "1 files of answers wait in the spool" in "\n".join(describe_forgotten("small", result))
    left = read_answers(loop.stores, day(3))
    assert len(left) == ROWS - 1
    assert f"[{key}]" not in set(left["key"])
    # What was taken in again by a run that was cleared brings nothing back.
    ingest_answers(loop.model, loop.at, day(3))
    assert len(read_answers(loop.stores, day(3))) == ROWS - 1
    loop.run(doubled, 4, 5)
    apply_retention(loop.model, loop.at, day(5))
    assert read_answers(loop.stores, day(5)).empty


def test_a_run_that_was_killed_after_its_record_is_completed(lived: SmallLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = lived.using(serving={"answers": True})
    with served(loop) as (client, _, log):
        # Two callers that name their requests alike.
        told, other = ask(client, 3, "one"), ask(client, 4, "one")
        log.flush()
    monkeypatch.setattr("evergreen.steps.ingest_answers._finish", lambda *_: None)
    ingest_answers(loop.model, loop.at, day(2))
    assert Spool(loop.at, "small").sizes()
    monkeypatch.undo()
    ingest_answers(loop.model, loop.at, day(2))
    assert Spool(loop.at, "small").sizes() == {}
    found = read_answers(loop.stores, day(2))
    by_key = dict(zip(found["key"], found["prediction"], strict=True))
    keys = [json.dumps([number]) for day_of in (3, 4) for number in make_rows(day_of, doubled)["id"]]
    assert [by_key[key] for key in keys] == told["predictions"] + other["predictions"]


def test_a_canary_that_is_worse_is_taken_back_and_told(lived: SmallLoop) -> None:
    loop = lived.using(serving=CANARY)
    begun = begin_arms(loop.model, loop.at, 1, "ada: is the baseline as good?")
    assert (begun.share, begun.state) == (50, "running")
    with served(loop) as (client, champion, log):
        told = ask(client, 3)
        by_arm = {
            arm: {v for a, v in zip(told["arms"], told["versions"], strict=True) if a == arm} for arm in told["arms"]
        }
        assert by_arm == {"champion": {2}, "challenger": {1}}
        # A key keeps its arm, in another process and as the share grows.
        with served(loop) as (another, other, _):
            assert ask(another, 3)["arms"] == told["arms"]
            assert other.arms is not None
        for number in (3, 4, 5):
            ask(client, number)
            log.flush()
            loop.run(doubled, number)
            champion.follow()
        alone = ask(client, 6)
        assert "arms" not in alone
        assert alone["version"] == loop.promotions[-1].version
    records = arms_of(loop)
    assert records[-1].state == "taken back"
    assert records[-1].why.startswith("it is worse: improvement -")
    worse, better = records[-1].arms[1], records[-1].arms[0]
    assert worse.error is not None
    assert better.error is not None
    assert worse.error > 2 * better.error
    assert min(worse.rows, better.rows) >= 30
    (incident,) = [one for one in newest_incidents(loop.stores.ledger) if one.opened.cause == "taken-back"]
    assert "challenger 1 was taken back from online traffic" in incident.opened.text
    # Judged once a batch, and nothing moves afterwards or for a batch before.
    assert judge_arms(loop.model, loop.at, day(5)) == records[-1]
    assert judge_arms(loop.model, loop.at, day(4)) == records[-1]
    assert arms_of(loop) == records
    lines = list(describe_arms(loop.model, loop.at))
    assert lines[0].startswith(f"online: the challenger version 1 taken back at {records[-1].as_of}: it is worse")
    assert lines[2].startswith("  challenger: ")


def test_a_challenger_that_waits_is_tried_unseen_and_then_step_by_step_until_its_answer(tmp_path: Path) -> None:
    loop = SmallLoop.begun(tmp_path, 1).using(gate=GATE | {"approval": "required"}, serving={"shadow": True})
    loop.run(doubled, 2, 3)
    (begun,) = arms_of(loop)
    assert begun.challenger == f"{day(2)}.0"
    assert begun.why == "its challenger waits for an answer"
    with served(loop) as (client, champion, log):
        assert champion.arms is not None
        challenger, computed = champion.arms.challenger, []
        assert challenger.version == f"{day(2)}.0"
        predict = challenger.predict
        object.__setattr__(challenger, "predict", lambda rows: computed.append(len(rows["id"])) or predict(rows))
        # Two requests were answered before either's shadow is computed, and then both are at once.
        told = ask(client, 4)
        ask(client, 4)
        assert "arms" not in told
        assert computed == []
        log.flush()
        assert computed == [2 * ROWS]
    loop.run(doubled, 4)
    seen = arms_of(loop)[-1]
    assert seen.why.startswith("it is better: improvement ")
    assert [arm.rows for arm in seen.arms] == [ROWS, ROWS]
    answers = read_answers(loop.stores, day(4))
    assert set(answers["version"]) == {"1"}
    assert answers["shadow"].notna().all()
    approve_model(loop.model, loop.at, loop.due(2), True, "ada")
    loop.run(doubled, 5)
    assert (arms_of(loop)[-1].state, arms_of(loop)[-1].why) == ("ended", "ada said yes")
    loop.run(doubled, 6)
    assert arms_of(loop)[-1].state == "ended"


def test_a_canaries_share_grows_while_it_is_not_worse(tmp_path: Path) -> None:
    loop = SmallLoop.begun(tmp_path, 1).using(gate=GATE | {"approval": "required"}, serving=CANARY)
    loop.run(doubled, 2, 3)
    with served(loop) as (client, champion, log):
        shares = []
        for number in (4, 5, 6):
            before = ask(client, number)
            assert set(before["versions"]) <= {1, f"{day(2)}.0"}
            log.flush()
            loop.run(doubled, number)
            champion.follow()
            shares.append(arms_of(loop)[-1].share)
        assert set(ask(client, 7)["arms"]) == {"challenger"}
    assert shares == [50, 100, 100]


@contextmanager
def failing(challenger: Any, on: set[int]) -> Iterator[None]:
    """The challenger fails on requests that hold one of some keys."""
    predict = challenger.predict

    def fails(rows: Any) -> Any:
        if on & set(rows["id"]):
            raise FeaturesInvalid("its code fails")
        return predict(rows)

    object.__setattr__(challenger, "predict", fails)
    try:
        yield
    finally:
        object.__setattr__(challenger, "predict", predict)


def test_a_challenger_that_fails_is_replaced_by_the_champion_and_taken_back(lived: SmallLoop) -> None:
    loop = lived.using(serving={"arms": {"champion": 50, "challenger": 50}})
    begin_arms(loop.model, loop.at, 1, "ada: a try")
    with served(loop) as (client, champion, log):
        failed = 0
        for number in (3, 4):
            assert champion.arms is not None
            with failing(champion.arms.challenger, set(make_rows(number, doubled)["id"])):
                told = ask(client, number)
            assert set(told["versions"]) == {lived.promotions[-1].version}
            failed += told["arms"].count("challenger")
            log.flush()
            loop.run(doubled, number)
            champion.follow()
        assert (
            f'evergreen_serving_answers_failed{{env="dev",model="small"}} {2 * ROWS}.0' in client.get("/metrics").text
        )
    # The first day had fewer rows of it than gate.min_rows.
    assert [one.state for one in arms_of(loop)] == ["running", "running", "taken back"]
    assert failed > GATE["min_rows"]
    assert arms_of(loop)[-1].why == f"it could not answer {failed} of {failed} rows"


def test_one_row_that_a_challenger_cannot_answer_decides_nothing(lived: SmallLoop) -> None:
    loop = lived.using(serving={"shadow": True})
    begin_arms(loop.model, loop.at, 1, "ada: a try")
    with served(loop) as (client, champion, log):
        assert champion.arms is not None
        unlucky = make_rows(3, doubled)["id"].iloc[0]
        with failing(champion.arms.challenger, {int(unlucky), 9_999}):
            # Rows one by one, a hundred of a key that never comes in a batch among them.
            rows = asked(3)["rows"]
            for row in [*rows, *[rows[0] | {"id": 9_999}] * 100]:
                assert client.post("/models/small/predict", json={"rows": [row]}).status_code == 200
            log.flush()
        loop.run(doubled, 3)
    last = arms_of(loop)[-1]
    assert (last.state, last.arms[1].rows) == ("taken back", ROWS - 1)
    assert last.why.startswith("it is worse"), "the baseline is, by what it answered"
    answers = read_answers(loop.stores, day(3))
    assert answers["failed"].sum() == 101


def test_blue_green_lets_the_challenger_answer_all_and_the_champion_when_it_is_over(lived: SmallLoop) -> None:
    loop = lived.using(serving={"arms": {"champion": 0, "challenger": 100}})
    begin_arms(loop.model, loop.at, 1, "ada: the old one again")
    with served(loop) as (client, champion, log):
        told = ask(client, 3)
        assert (set(told["arms"]), set(told["versions"])) == ({"challenger"}, {1})
        by_version = client.post("/models/small/versions/1/predict", json=asked(3)).json()
        assert told["predictions"] == by_version["predictions"]
        log.flush()
        loop.run(doubled, 3)
        # Nobody stands beside it: nothing is told of it but what it answered.
        last = arms_of(loop)[-1]
        assert (last.state, last.comparison) == ("running", None)
        assert [(arm.answered, arm.rows) for arm in last.arms] == [(0, 0), (ROWS, ROWS)]
        end_arms(loop.model, loop.at, "ada: back to the new one")
        champion.follow()
        after = ask(client, 4)
        assert "arms" not in after
        assert after["version"] == loop.promotions[-1].version


def test_a_person_ends_it_and_what_makes_no_sense_is_refused(lived: SmallLoop) -> None:
    with pytest.raises(Refused, match="says neither arms, canary nor shadow"):
        begin_arms(lived.model, lived.at, 1, "ada: a try")
    loop = lived.using(serving=CANARY)
    with pytest.raises(Refused, match="there is nothing to end"):
        end_arms(loop.model, loop.at, "ada: enough")
    with pytest.raises(ModelNotFound, match="no promoted version 9"):
        begin_arms(loop.model, loop.at, 9, "ada: a try")
    with pytest.raises(Refused, match="version 2 is the champion itself"):
        begin_arms(loop.model, loop.at, 2, "ada: a try")
    begun = begin_arms(loop.model, loop.at, 1, "ada: a try")
    assert begin_arms(loop.model, loop.at, 1, "ada: a try") == begun
    with pytest.raises(Refused, match="challenger 1 is tried; end that first"):
        begin_arms(loop.model, loop.at, 1, "bob: a try")
    ended = end_arms(loop.model, loop.at, "ada: enough")
    assert (ended.n, ended.state, ended.share, ended.why) == (1, "ended", 0, "ada: enough")
    assert end_arms(loop.model, loop.at, "ada: enough") == ended
    with served(loop) as (client, _, _):
        assert "arms" not in ask(client, 3)


def test_an_end_holds_though_a_check_judges_at_the_same_moment(
    lived: SmallLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = lived.using(serving=CANARY)
    ledger = loop.stores.ledger
    begun = begin_arms(loop.model, loop.at, 1, "ada: a try")
    find = module._newest

    def judged_meanwhile(*given: Any) -> str:
        ledger.put(begun.model_copy(update={"n": begun.n + 1, "why": "nothing is proven yet"}))
        return find(*given)

    monkeypatch.setattr(module, "_newest", judged_meanwhile)
    end_arms(loop.model, loop.at, "ada: enough")
    assert [one.state for one in arms_of(loop)] == ["running", "running", "ended"]
