"""What the loop reads of the ledger for a batch does not grow with the batches before it.

Three years of daily records, of the quieter histories some sixteen months, of the kinds and in the numbers that the
loop puts, written through the ledger by their real classes; then each reader begins in a new process, as a task on
Airflow does, and its requests to the store are counted. No model is fitted and no row is read: predictions and
references cost no record.
"""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import obstore
import pyarrow as pa
import pytest

from evergreen.config.model_folder import load_model_folder
from evergreen.config.model_spec import ModelSpec
from evergreen.incidents import announce, report, resolve
from evergreen.judging.attempts import find_due_attempt
from evergreen.records import (
    ArrivalRecord,
    AttemptRecord,
    BatchRecord,
    ClaimRecord,
    ClosingRecord,
    DataRecord,
    PromotionRecord,
    SectionVerdict,
    VerdictRecord,
)
from evergreen.replay.model_state import read_state
from evergreen.replay.status import describe_status
from evergreen.sinks import LogSink
from evergreen.sources.waiting import probe_batch, unordered, unsettled
from evergreen.steps.check_drift import _conclude
from evergreen.steps.ingest_batch import ingest_batch
from evergreen.steps.score_batch import score_batch
from evergreen.steps.send_alerts import send_alerts
from evergreen.steps.wait_for_batch import wait_for_batch
from evergreen.storage import ledger as ledger_module
from evergreen.storage.content import content_hash
from evergreen.storage.model_store import ModelStore
from evergreen.storage.stores import open_stores

EARLY, LATE = 100, 1100
# Whoever gallops to the newest of eleven times as many looks some seven times more; a reader does so a few times.
MORE = 45
# The same of five times as many.
SOONER, FEWER = 500, 30
OK = SectionVerdict(state="ok", why="")
LABELS = pa.table({"id": [1], "minutes": [2.5]})


@dataclass
class History:
    """What a model has lived through.

    :param labels: whether labels came; else their feed was missing each night.
    :param labels_until: the last batch that brought any.
    :param first: the batch of the first promotion; None for no champion.
    :param every: batches between two retrainings; None for none after the first.
    :param open_from: a verdict that asks from this batch on and is never answered.
    :param grows: what still grows in it: the check matches rows with the last labels there were, up to its own batch.
    :param late: the later of the two batches that are compared.
    :param more: requests that it may take more than the earlier one.
    """

    labels: bool = True
    labels_until: int = 10_000
    first: int | None = 20
    every: int | None = None
    open_from: int | None = None
    grows: str = ""
    late: int = SOONER
    more: int = FEWER


HISTORIES = {
    "retrained every four weeks": History(every=28, late=LATE, more=MORE),
    "one champion all the time": History(),
    "no label and no champion ever": History(labels=False, first=None),
    "labels stopped, a verdict waits for them": History(labels_until=30, open_from=40, grows="check"),
}


@dataclass
class Loop:
    """Puts what the loop puts."""

    model: object
    at: object
    history: History
    promotions: int = 0
    asked: str | None = None
    before: str | None = None

    def live(self, n):
        """One batch, from its files to its check."""
        stores, calendar, history = open_stores(self.at, self.model.id), self.model.config.calendar, self.history
        batch, ledger = calendar.name(n), stores.ledger
        came = history.labels and n <= history.labels_until
        for feed in ("rows", "labels"):
            if feed == "labels" and not came:
                wait_for_batch(self.model, self.at, batch, calendar.end(calendar.shift(batch, 9)), None, "labels")
                continue
            ledger.put(ArrivalRecord(as_of=batch, feed=feed, revision=0, files=()))
            # Rows that were all quarantined: nobody has to read them.
            clean = (
                {"clean": 1, "content": content_hash(LABELS), "brought": batch} if feed == "labels" else {"brought": ""}
            )
            ledger.put(BatchRecord(as_of=batch, feed=feed, revision=0, state="published", **clean))
            if feed == "labels" and min(abs(n - EARLY), abs(n - history.late)) < 40:
                stores.lake.replace("labels", batch, 0, LABELS, {})
        data = ledger.put(DataRecord.listing([]))
        claim = {"version": None, "promotion": None, "why": "batch without a clean row"}
        ledger.put(ClaimRecord(as_of=batch, revision=0, data=data.id, label_cut=None, **claim))
        due = history.first is not None and (
            n == history.first or (history.every and n > history.first and (n - history.first) % history.every == 0)
        )
        self.check(ledger, batch, asks=due or n == history.open_from)
        if due:
            self.promote(ledger, batch)
        if n % 50 == 7:
            report(ledger, "drift", batch, "drifted")
            send_alerts(self.model, self.at, (LogSink(),))
        if n % 50 == 9:
            resolve(ledger, "drift", batch, "as before")
            send_alerts(self.model, self.at, (LogSink(),))

    def check(self, ledger, batch, asks):
        if asks:
            self.before, self.asked = self.asked, f"{batch}.0"
        ledger.put(
            VerdictRecord(
                as_of=batch, n=0, covers=(batch,), promotion=self.promotions or None, version=self.promotions or None,
                freshness=OK, inputs=OK, predictions=OK, outcomes=OK, reasons=("due",) if asks else (),
                action="retrain" if asks else "none", last_ask=self.asked, previous_ask=self.before,
            )
        )  # fmt: skip

    def promote(self, ledger, batch):
        span = (batch, batch)
        attempt = AttemptRecord(
            as_of=batch, verdict=f"{batch}.0", trained_on=span, training_rows=1, data="d", code="c",
            holdout=(batch,), against=self.promotions, judgement=None, outcome="passed", why="better",
        )  # fmt: skip
        ledger.put(attempt)
        self.promotions += 1
        ledger.put(
            PromotionRecord(
                as_of=batch, number=self.promotions, version=self.promotions, attempt=attempt.id, code="c", data="d",
                trained_on=span, effective_from=self.model.config.calendar.shift(batch, 1), error=None,
            )
        )  # fmt: skip
        announce(ledger, "moved", batch, f"version {self.promotions}")
        ledger.put(ClosingRecord(as_of=batch, verdict=f"{batch}.0", outcome="promoted", why=""))


@pytest.fixture
def count(monkeypatch):
    """Count the requests to the ledger's store of something done in a new process."""
    requests = []
    monkeypatch.setattr(ledger_module, "obstore", Counted(requests))

    def run(work):
        open_stores.cache_clear()
        del requests[:]
        work()
        return len(requests)

    return run


class Counted:
    """The real store, with its requests noted."""

    def __init__(self, requests):
        self.requests = requests

    def __getattr__(self, name):
        def call(*args, **kwargs):
            self.requests.append(name)
            return getattr(obstore, name)(*args, **kwargs)

        return call


def readers(model, at, n):
    """What reads the ledger when batch n has been taken through the loop, and when the next one comes."""
    config, batch, following = model.config, model.config.calendar.name(n), model.config.calendar.name(n + 1)
    end = config.calendar.end(following)
    arrived = Path(at.landing, model.id, f"trips_{following}.csv")
    arrived.parent.mkdir(parents=True, exist_ok=True)
    arrived.write_text("id,at,distance,zone\n")

    def score():
        ledger = open_stores(at, model.id).ledger
        ledger.put(BatchRecord(as_of=following, feed="rows", revision=0, state="published", brought=""))
        score_batch(model, at, following)

    return {
        "status": lambda: list(describe_status(model, at)),
        "list": lambda: read_state(model, open_stores(at, model.id).ledger),
        "watch": lambda: find_due_attempt(config, open_stores(at, model.id)),
        "check": lambda: _conclude(model, open_stores(at, model.id), batch),
        "sensors": lambda: (
            probe_batch(model, at, following, end),
            probe_batch(model, at, following, end, None, "labels"),
            unsettled(model, at, batch),
            unordered(model, at, batch),
        ),
        "alerts": lambda: send_alerts(model, at, (LogSink(),)),
        "missing labels": lambda: wait_for_batch(
            model, at, following, config.calendar.end(config.calendar.shift(following, 9)), None, "labels"
        ),
        "ingest": lambda: ingest_batch(model, at, following),
        "score": score,
    }


@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES)
def test_three_years_cost_what_three_months_do(history, count, write_folder, edit_config, at, monkeypatch):
    config = edit_config("wait: 12h", "wait: 12h\n  max_delay: 1").replace("{every: 28}]", "{every: 28}], budget: 1h")
    model = load_model_folder(write_folder(config=config))
    # No version was fitted; of one, the check reads the spec that it was made with.
    packed = SimpleNamespace(spec=ModelSpec.of(model.id, model.config, "all"))
    monkeypatch.setattr(ModelStore, "load_promoted", lambda _, promotion: packed)
    monkeypatch.setattr(ModelStore, "has_version", lambda _, version: True)
    # No files come; an empty folder would have lost its mount.
    Path(at.landing, model.id, ".keep").touch()
    loop, seen = Loop(model, at, history), {}
    for n in range(history.late + 1):
        # The batches that the readers have begun themselves are found as they left them.
        loop.live(n)
        if n in (EARLY, history.late):
            seen[n] = {name: count(read) for name, read in readers(model, at, n).items() if name != history.grows}
    grown = {name: (seen[EARLY][name], seen[history.late][name]) for name in seen[EARLY]}
    assert all(late <= early + history.more for early, late in grown.values()), grown
    assert all(late < 250 for _, late in grown.values()), grown
