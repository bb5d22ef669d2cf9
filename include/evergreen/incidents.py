"""Incidents: one cause, open until resolved. Steps report; ``send_alerts`` tells."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import get_args

from evergreen.records import Cause, Feed, IncidentRecord, ResolutionRecord, SightingRecord
from evergreen.storage.ledger import Ledger

FAULT: dict[Feed, Cause] = {"rows": "fault-rows", "labels": "fault-labels"}
STALE: dict[Feed, Cause] = {"rows": "stale-rows", "labels": "stale-labels"}


@dataclass(frozen=True)
class Incident:
    """An incident with all that was seen of it."""

    opened: IncidentRecord
    seen: SightingRecord | None
    resolved: ResolutionRecord | None

    @property
    def sightings(self) -> int:
        """How often it was reported."""
        return 1 + (self.seen.n + 1 if self.seen else 0)

    @property
    def newest(self) -> str:
        """The last batch for which it was reported."""
        return self.seen.as_of if self.seen else self.opened.as_of


def last_incident(ledger: Ledger, cause: Cause) -> Incident | None:
    """The newest incident of a cause."""
    opened = ledger.last(IncidentRecord, cause)
    if opened is None:
        return None
    return Incident(opened, ledger.last(SightingRecord, opened.id), ledger.get(ResolutionRecord, opened.id))


def report(ledger: Ledger, cause: Cause, as_of: str, text: str, again: bool = False) -> None:
    """Open an incident, or add a sighting to the open one. Reporting the same batch again changes nothing.

    :param text: what happened, where, with its numbers, and what to do.
    :param again: open a new one even for a batch whose incident is over: a task that fails anew has not failed before.
    """
    last = last_incident(ledger, cause)
    if last is not None and last.resolved is None:
        if as_of > last.newest:
            n = last.seen.n + 1 if last.seen else 0
            ledger.put(SightingRecord(as_of=as_of, incident=last.opened.id, n=n, text=text))
        return
    if last is not None and as_of <= last.newest and not again:
        return
    ledger.put(IncidentRecord(as_of=as_of, cause=cause, n=last.opened.n + 1 if last else 0, text=text))


def resolve(ledger: Ledger, cause: Cause, as_of: str, text: str) -> None:
    """Close the open incident of a cause, if there is one that is not newer than this."""
    last = last_incident(ledger, cause)
    if last is not None and last.resolved is None and as_of >= last.newest:
        ledger.put(ResolutionRecord(as_of=as_of, incident=last.opened.id, text=text))


def resolve_mended(ledger: Ledger, cause: Cause, as_of: str, text: str, mended: Callable[[str], bool]) -> None:
    """Close the open incident of a cause once every batch for which it was reported is mended."""
    last = last_incident(ledger, cause)
    if last is None or last.resolved is not None:
        return
    batches = [last.opened.as_of, *(seen.as_of for seen in ledger.all(SightingRecord, last.opened.id))]
    if all(mended(batch) for batch in batches):
        ledger.put(ResolutionRecord(as_of=max(as_of, last.newest), incident=last.opened.id, text=text))


def announce(ledger: Ledger, cause: Cause, as_of: str, text: str) -> None:
    """Tell good news: an incident that is over as it is told."""
    report(ledger, cause, as_of, text)
    resolve(ledger, cause, as_of, text)


def incidents_of(ledger: Ledger, cause: Cause) -> Iterator[Incident]:
    """The incidents of a cause, newest first."""
    newest = last_incident(ledger, cause)
    for n in range(newest.opened.n if newest else -1, -1, -1):
        opened = ledger.get(IncidentRecord, cause, n)
        assert opened is not None
        yield Incident(opened, ledger.last(SightingRecord, opened.id), ledger.get(ResolutionRecord, opened.id))


def newest_incidents(ledger: Ledger) -> list[Incident]:
    """The newest incident of every cause."""
    newest = [last_incident(ledger, cause) for cause in get_args(Cause)]
    return [incident for incident in newest if incident is not None]
