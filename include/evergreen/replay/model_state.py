"""The state of a model now, read from its records: for the list of models and for metrics."""

import sys
from dataclasses import dataclass, replace
from threading import Lock
from typing import NamedTuple

from cachetools import LRUCache

from evergreen.config.gate_config import MetricName
from evergreen.config.model_folder import ModelFolder
from evergreen.incidents import HEADINGS, Incident, newest_incidents
from evergreen.records import AttemptRecord, BatchRecord, ClaimRecord, ClosingRecord, PromotionRecord, VerdictRecord
from evergreen.storage.ledger import Ledger

# Batches of which the list of models draws the error and counts the quarantine.
RECENT = 30


class _Batch(NamedTuple):
    """What stays of a batch once it was checked, for the list's sums and lines."""

    checked: bool
    errors: dict[str, float]
    rows_in: int
    quarantined: int


# Of 2,000 models, some tens of MB: whoever draws the list each minute reads the records of a batch once.
_BATCHES: LRUCache[tuple[Ledger, str], _Batch] = LRUCache(RECENT * 2048)
_LOCK = Lock()


@dataclass(frozen=True)
class ModelState:
    """What a list of models tells of one of them.

    :param batch: the newest batch that was claimed; None before the first one.
    :param claim: who scored it, or why nobody did.
    :param promotion: the newest promotion, which scores the next batch.
    :param verdict: the newest verdict.
    :param waiting: the attempt that waits for a person's word.
    :param incidents: that are open, oldest first.
    :param errors: the live error by batch scored, as the newest checks saw it, oldest first.
    :param rows_in: rows of the recent batches.
    :param quarantined: those of them in quarantine.
    """

    model: str
    title: str
    owner: str
    metric: MetricName
    batch: str | None = None
    claim: ClaimRecord | None = None
    promotion: PromotionRecord | None = None
    verdict: VerdictRecord | None = None
    waiting: AttemptRecord | None = None
    incidents: tuple[Incident, ...] = ()
    errors: tuple[tuple[str, float], ...] = ()
    rows_in: int = 0
    quarantined: int = 0

    @property
    def error(self) -> float | None:
        """The error on the labels that have come last."""
        return self.verdict.outcomes.numbers.get("error") if self.verdict is not None else None

    @property
    def error_at_first(self) -> float | None:
        """The error on the first labels of the version that was judged."""
        return self.verdict.outcomes.numbers.get("at_first") if self.verdict is not None else None

    @property
    def needs(self) -> tuple[str, ...]:
        """What a person should look at, the most pressing first."""
        found = []
        if self.waiting is not None:
            found.append("waits for approval")
        if self.claim is not None and self.claim.version is None:
            found.append(f"not scored: {self.claim.unscored or 'nobody serves'}")
        found += [HEADINGS[incident.opened.cause] for incident in self.incidents]
        return tuple(found)

    @property
    def urgency(self) -> tuple[int, int, str]:
        """Sorts models by what needs a person: the larger needs first, then by name."""
        pressing = 2 * (self.waiting is not None) + (self.claim is not None and self.claim.version is None)
        return -pressing, -len(self.incidents), self.model


def read_state(model: ModelFolder, ledger: Ledger) -> ModelState:
    """The state of a model; it costs as much after years of batches as after months.

    :raises RecordUnreadable: naming the record.
    """
    config, calendar = model.config, model.config.calendar
    still = (one for one in newest_incidents(ledger) if one.resolved is None)
    incidents = tuple(sorted(still, key=lambda one: one.opened.as_of))
    # A model whose first batch never came has open incidents, too.
    state = ModelState(model.id, config.title, config.owner, config.gate.metric, incidents=incidents)
    batch = ledger.last_batch(ClaimRecord, calendar)
    if batch is None:
        return state
    recent = [calendar.name(i) for i in range(max(0, calendar.index(batch) - RECENT + 1), calendar.index(batch) + 1)]
    told = {name: _read_batch(ledger, name) for name in recent}
    errors: dict[str, float] = {}
    for one in told.values():
        errors.update(one.errors)
    checked = [name for name, one in told.items() if one.checked]
    newest = ledger.last(VerdictRecord, checked[-1]) if checked else None
    return replace(
        state,
        batch=batch,
        claim=ledger.last(ClaimRecord, batch),
        promotion=ledger.last(PromotionRecord, "champion"),
        verdict=newest,
        waiting=_find_waiting(ledger, newest),
        errors=tuple(sorted(errors.items())),
        rows_in=sum(one.rows_in for one in told.values()),
        quarantined=sum(one.quarantined for one in told.values()),
    )


def _read_batch(ledger: Ledger, batch: str) -> _Batch:
    """What the first records of a batch tell; they never change, so what was checked is kept."""
    with _LOCK:
        kept = _BATCHES.get((ledger, batch))
    if kept is not None:
        return kept
    verdict, rows = ledger.get(VerdictRecord, batch), ledger.get(BatchRecord, f"rows.{batch}")
    scored = verdict.outcomes.numbers.get("by_batch_scored", {}) if verdict is not None else {}
    found = _Batch(
        checked=verdict is not None,
        errors={sys.intern(name): error for name, error in scored.items()},
        rows_in=rows.rows_in if rows is not None else 0,
        quarantined=rows.quarantined if rows is not None else 0,
    )
    if verdict is not None and rows is not None:
        with _LOCK:
            _BATCHES[ledger, batch] = found
    return found


def _find_waiting(ledger: Ledger, newest: VerdictRecord | None) -> AttemptRecord | None:
    """The attempt of the open verdict, where it waits for a person."""
    if newest is None or newest.last_ask is None or ledger.get(ClosingRecord, newest.last_ask) is not None:
        return None
    attempt = ledger.get(AttemptRecord, newest.last_ask)
    return attempt if attempt is not None and attempt.outcome == "needs approval" else None
