"""The log of answers: bounded in memory and on disk, and what it loses is counted."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest

from evergreen.errors import FeaturesInvalid, Outage
from evergreen.serving import answer_log
from evergreen.serving.answer_log import AnswerLog, LoggedAnswer, keep_flushing
from evergreen.serving.arms import Answered, Arms
from evergreen.serving.champions import ServedVersion
from evergreen.storage.spool import Spool
from tests.unit.small_loop import SmallLoop


@pytest.fixture
def loop(tmp_path: Path) -> SmallLoop:
    return SmallLoop.under(tmp_path)


def served(loop: SmallLoop, version: int = 2) -> ServedVersion:
    """A version that is asked nothing."""
    return ServedVersion(loop.model, version, version, None, "2024-01-03", None, {}, None)  # type: ignore[arg-type]


def answer(loop: SmallLoop, request: str, rows: int = 2, arms: Arms | None = None) -> LoggedAnswer:
    values = {"id": list(range(rows)), "at": [datetime(2024, 1, 3)] * rows, "x": [0.5] * rows}
    answered = Answered(np.arange(rows, dtype=float), ["champion"] * rows, [2] * rows)
    return LoggedAnswer(request, datetime.now(UTC), served(loop), arms, values, answered)


def spooled(loop: SmallLoop) -> list[dict[str, Any]]:
    spool = Spool(loop.at, "small")
    lines = [line for name in spool.sizes() for line in (spool.read(name) or b"").splitlines()]
    return [json.loads(line) for line in lines]


def test_what_was_answered_is_written_by_row_every_so_often(loop: SmallLoop) -> None:
    log, ended = AnswerLog(loop.model, loop.at), Event()
    log.add(answer(loop, "r1"))
    writer = Thread(target=keep_flushing, args=([log], 0.01, ended))
    writer.start()
    end = time.monotonic() + 60
    while log.waiting and time.monotonic() < end:
        time.sleep(0.01)
    ended.set()
    writer.join(60)
    assert [(line["request_id"], line["row"], line["key"], line["prediction"]) for line in spooled(loop)] == [
        ("r1", 0, "[0]", 0.0),
        ("r1", 1, "[1]", 1.0),
    ]
    assert json.loads(spooled(loop)[0]["values"]) == {"id": 0, "at": "2024-01-03T00:00:00", "x": 0.5}
    assert (log.waiting, log.lost) == (0, 0)


def test_beyond_its_buffer_rows_are_lost_counted_and_told(loop: SmallLoop, caplog: pytest.LogCaptureFixture) -> None:
    log = AnswerLog(loop.model, loop.at, most_rows=3)
    log.add(answer(loop, "r1"))
    log.add(answer(loop, "r2"))
    assert (log.waiting, log.lost) == (2, 2)
    log.flush()
    assert {line["request_id"] for line in spooled(loop)} == {"r1"}
    assert "has lost 2 rows, 2 in all" in caplog.text
    log.add(answer(loop, "r3"))
    log.flush()
    assert (log.waiting, log.lost) == (0, 2)


def test_beyond_the_spools_bound_files_are_lost_and_counted(loop: SmallLoop) -> None:
    log = AnswerLog(loop.model, loop.at, spool_mb=1)
    Spool(loop.at, "small").write("old.jsonl", b" " * 999_900)
    log.add(answer(loop, "r1"))
    log.flush()
    assert (log.waiting, log.lost) == (0, 2)
    Spool(loop.at, "small").delete(["old.jsonl", "no such file"])
    log.add(answer(loop, "r2"))
    log.flush()
    assert {line["request_id"] for line in spooled(loop)} == {"r2"}


def test_while_the_store_does_not_answer_they_wait(
    loop: SmallLoop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log = AnswerLog(loop.model, loop.at)

    def unheard(self: Spool, name: str, content: bytes) -> None:
        write(self, name, content)
        raise Outage("the store did not answer")

    write = Spool.write
    monkeypatch.setattr(Spool, "write", unheard)
    log.add(answer(loop, "r1"))
    log.flush()
    log.flush()
    # What is the matter is told once, not at each attempt.
    assert (log.waiting, caplog.text.count("2 answers wait: the store did not answer")) == (2, 1)
    monkeypatch.undo()
    log.flush()
    # Under the same name: it was written, though nobody heard.
    assert len(spooled(loop)) == 2
    assert (log.waiting, log.lost) == (0, 0)


def test_shadows_beyond_a_bound_are_left_out_and_failures_are_told_apart(
    loop: SmallLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def predict(self: ServedVersion, rows: Any) -> np.ndarray:
        if 9 in rows["id"]:
            raise Outage("the store of a view")
        if 3 in rows["id"]:
            raise FeaturesInvalid("of its own code")
        return np.full(len(rows["id"]), 7.0)

    monkeypatch.setattr(ServedVersion, "predict", predict)
    monkeypatch.setattr(answer_log, "_SHADOWS", 8)
    monkeypatch.setattr(answer_log, "_AT_ONCE", 6)
    arms, log = Arms(4, 3, served(loop), served(loop, 1), 0), AnswerLog(loop.model, loop.at)
    for request, rows in (("r1", 2), ("r2", 4), ("r3", 5), ("r4", 1)):
        log.add(answer(loop, request, rows, arms))
    log.flush()
    found = {(line["request_id"], line["shadow"], line["failed"]) for line in spooled(loop)}
    assert found == {("r1", 7.0, False), ("r2", None, True), ("r3", None, False), ("r4", None, False)}
    assert (log.failed, log.unshadowed) == (4, 6)
    assert {line["decision"] for line in spooled(loop)} == {4}
    monkeypatch.setattr(answer_log, "_SHADOWS", 10)
    log.add(answer(loop, "r5", 10, arms))
    log.flush()
    assert {(line["shadow"], line["failed"]) for line in spooled(loop) if line["request_id"] == "r5"} == {(None, False)}
    assert (log.failed, log.unshadowed) == (4, 16)


def test_a_share_of_the_keys_is_the_challengers_and_stays_it_as_it_grows(loop: SmallLoop) -> None:
    keys = [f"[{n}]" for n in range(4_000)]
    small, large = (Arms(5, 2, served(loop), served(loop, 1), share).are_challengers(keys) for share in (10, 50))
    assert 0.08 < small.mean() < 0.12
    assert 0.47 < large.mean() < 0.53
    assert large[small].all()
    other = Arms(9, 9, served(loop), served(loop, 1), 10).are_challengers(keys)
    assert 0 < (other & small).mean() < 0.03
    everything = Arms(5, 2, served(loop), served(loop, 1), 100).are_challengers(keys)
    assert everything.all()
