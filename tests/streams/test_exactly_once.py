"""Exactly once: killed anywhere, raced by many, the same state is reached."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from evergreen.config.locations import Locations
from evergreen.errors import ApprovalMissing
from evergreen.judging.attempts import DueAttempt
from evergreen.records import AttemptRecord, ClaimRecord, PromotionRecord
from evergreen.replay.runner import Runner
from evergreen.steps.close_verdict import close_verdict
from evergreen.steps.promote_model import promote_model, sync_alias
from evergreen.storage.stores import open_stores
from tests.s3 import s3, speaking_to
from tests.short_loop import begun, registry, run

ROOT = Path(__file__).parent.parent.parent
RACERS = 16


def test_killed_after_any_write_the_next_run_ends_in_the_same_state(tmp_path: Path) -> None:
    """The batch that bootstraps: it ingests, validates, scores, trains, judges, registers, promotes and closes."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.killed_runs", str(tmp_path), "4"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["end"]["alias"] == "1 by promotion 1"
    outcomes = told["outcomes"]
    for write in ("Lake.replace", "create_model_version", "set_registered_model_alias", "log_model", "Ledger.put"):
        assert any(write in outcome["after"] for outcome in outcomes), f"{write} was never reached"
    assert [outcome["died"] for outcome in outcomes if outcome["died"]] == [-signal.SIGKILL] * 3
    assert [outcome for outcome in outcomes if outcome["again"] or outcome["differs"]] == []


RACER = """
import json, sys, time
from evergreen.records import ClaimRecord, PromotionRecord
from evergreen.storage.ledger import Ledger
lake, me, rounds, apart = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
ledger = Ledger(lake, "dev", "taxi")
print("ready", flush=True)
start = float(sys.stdin.readline())
won = []
for n in range(rounds):
    time.sleep(max(0, start + n * apart - time.time()))
    claim = ledger.put(ClaimRecord(as_of=f"2024-{n:03d}", revision=0, version=me, promotion=me, why="race", data="d",
                                   label_cut=None))
    promotion = ledger.put(PromotionRecord(as_of="2024-001", number=n + 1, version=me, attempt=f"a-{me}", code="c",
                                           data="d", trained_on=("a", "b"), effective_from="2024-002", error=None))
    won.append((claim.version, promotion.version))
print(json.dumps(won))
"""


@pytest.fixture(params=["folder", "s3"])
def shared_lake(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A lake that many processes write to."""
    if request.param == "folder":
        yield str(tmp_path)
        return
    with s3() as environment, speaking_to(environment):
        yield "s3://evergreen/lake"


def test_of_sixteen_racers_for_a_claim_and_a_promotion_one_wins(shared_lake: str) -> None:
    environment = dict(os.environ)
    command = [sys.executable, "-c", RACER, shared_lake]
    # The object store takes one request at a time: a round lasts as long as all racers need.
    rounds, apart = (8, 1.0) if shared_lake.startswith("s3://") else (25, 0.04)
    racers = [
        subprocess.Popen(
            [*command, str(me), str(rounds), str(apart)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for me in range(RACERS)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    start = time.time() + 0.5
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write(f"{start}\n")
        racer.stdin.flush()
    seen = [json.loads(racer.communicate(timeout=120)[0]) for racer in racers]
    assert all(one == seen[0] for one in seen), "every racer must be told the same winners"
    ledger = open_stores(Locations(env="dev", lake=shared_lake, landing="", tracking_uri="sqlite://"), "taxi").ledger
    standing = [ledger.get(ClaimRecord, f"2024-{n:03d}") for n in range(rounds)]
    assert [claim.version for claim in standing if claim] == [claim for claim, _ in seen[0]]
    assert len({claim for claim, _ in seen[0]}) > 1, "the racers must really have raced"


def test_who_is_too_late_to_promote_closes_as_superseded(tmp_path: Path) -> None:
    """Two attempts won against the same promotion; the second finds the next number taken."""
    model, at = begun(tmp_path, 4)
    stores = open_stores(at, model.id)
    first = stores.ledger.last(PromotionRecord, "champion")
    won = stores.ledger.get(AttemptRecord, "2024-01-04.0", 0)
    assert first is not None
    assert won is not None
    late = DueAttempt("2024-01-04.9", "2024-01-04")
    stores.ledger.put(won.model_copy(update={"verdict": late.verdict, "meta": {}}))
    assert promote_model(model, at, late, version=99) == first
    closing = close_verdict(model, at, late)
    assert closing is not None
    assert closing.outcome == "superseded"
    assert registry(model, at)["alias"] == "1 by promotion 1"


def test_a_refused_attempt_is_never_promoted(tmp_path: Path) -> None:
    model, at = begun(tmp_path, 4)
    ledger = open_stores(at, model.id).ledger
    won = ledger.get(AttemptRecord, "2024-01-04.0", 0)
    assert won is not None
    lost = DueAttempt("2024-01-04.9", "2024-01-04")
    ledger.put(won.model_copy(update={"verdict": lost.verdict, "outcome": "refused", "against": 1, "meta": {}}))
    with pytest.raises(ApprovalMissing, match="refused"):
        promote_model(model, at, lost, version=1)
    assert ledger.get(PromotionRecord, "champion", 1) is None


def test_an_alias_moved_by_hand_is_put_back_and_told(tmp_path: Path) -> None:
    model, at = begun(tmp_path, 4)
    stores = open_stores(at, model.id)
    promotion = stores.ledger.last(PromotionRecord, "champion")
    assert promotion is not None
    run_id = stores.models.find_run(promotion.attempt, "champion")
    assert run_id is not None
    other = stores.models.create_version(run_id, "by-hand", {}, "")
    stores.models.move_alias(other, promotion.number)
    run(model, at, 5)
    assert registry(model, at)["alias"] == "1 by promotion 1"
    from evergreen.incidents import last_incident

    moved = last_incident(stores.ledger, "moved")
    assert moved is not None
    assert "moved by hand to version 2" in moved.opened.told
    # A promotion that comes while a check looks at the ledger as it was is no hand: the alias is left alone.
    stores.models.move_alias(other, promotion.number + 1)
    sync_alias(model, stores, "2024-01-05")
    assert registry(model, at)["alias"] == "2 by promotion 2"
    stores.models.move_alias(1, promotion.number)
    Runner(model, at, sinks=()).retrain()
