"""Incidents: one cause, open until resolved. Steps report; ``send_alerts`` tells."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import get_args

from evergreen.errors import Refused
from evergreen.records import Cause, Feed, IncidentRecord, ResolutionRecord, SightingRecord
from evergreen.storage.ledger import Ledger

FAULT: dict[Feed, Cause] = {"rows": "fault-rows", "labels": "fault-labels"}
STALE: dict[Feed, Cause] = {"rows": "stale-rows", "labels": "stale-labels"}
# More than this are counted, not named.
_NAMED = 12


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
    def often(self) -> str:
        """The same in words."""
        return "once" if self.sightings == 1 else f"{self.sightings} times"

    @property
    def newest(self) -> str:
        """The last batch for which it was reported."""
        return self.seen.as_of if self.seen else self.opened.as_of

    @property
    def lost(self) -> tuple[str, ...]:
        """What was not there because of it when it was reported: batches, or runs of tasks that failed."""
        return (self.seen or self.opened).lost

    @property
    def story(self) -> tuple[str, ...]:
        """What is to be said of it: how it began, how it was seen last, how it ended."""
        texts = [self.opened.text, *(one.text for one in (self.seen, self.resolved) if one is not None)]
        return tuple(dict.fromkeys(texts))


def last_incident(ledger: Ledger, cause: Cause) -> Incident | None:
    """The newest incident of a cause."""
    opened = ledger.last(IncidentRecord, cause)
    if opened is None:
        return None
    return Incident(opened, ledger.last(SightingRecord, opened.id), ledger.get(ResolutionRecord, opened.id))


def report(
    ledger: Ledger, cause: Cause, as_of: str, text: str, again: bool = False, lost: str = "", before: str = ""
) -> None:
    """Open an incident, or add a sighting to the open one. Reporting the same again changes nothing.

    :param text: what happened, where, with its numbers, and what to do.
    :param again: open a new one even for a batch whose incident is over: a task that fails anew has not failed before.
    :param lost: what is not there because of it, a batch or a run: the incident is not over before it is.
    :param before: the batch before; an open incident that was not seen there is told as news.
    """
    last, own = last_incident(ledger, cause), (lost,) if lost else ()
    told = [last] if again and last else incidents_of(ledger, cause)
    is_new = last is None or as_of > last.newest or not all(any(one in it.lost for it in told) for one in own)
    if last is None or (last.resolved is not None and (is_new or again)):
        n = last.opened.n + 1 if last else 0
        ledger.put(IncidentRecord(as_of=as_of, cause=cause, n=n, text=text, lost=own))
    elif last.resolved is None and is_new:
        lost_by_now, n = tuple(dict.fromkeys((*last.lost, *own))), last.seen.n + 1 if last.seen else 0
        text = f"{text} {_tell_lost(lost_by_now)}" if len(lost_by_now) > 1 else text
        seen = SightingRecord(as_of=max(as_of, last.newest), incident=last.opened.id, n=n, text=text, lost=lost_by_now)
        ledger.put(seen.model_copy(update={"anew": bool(before) and last.newest < before}))


def resolve(
    ledger: Ledger, cause: Cause, as_of: str, text: str, mended: Callable[[str], bool] = lambda _: False
) -> None:
    """Close the open incident of a cause, if there is one that is not newer than this and nothing is lost any more.

    :param mended: whether something that was lost is there by now.
    """
    last = last_incident(ledger, cause)
    if last is not None and last.resolved is None and as_of >= last.newest and all(map(mended, last.lost)):
        ledger.put(ResolutionRecord(as_of=as_of, incident=last.opened.id, text=text))


def acknowledge(ledger: Ledger, incident: str, by: str, why: str) -> ResolutionRecord:
    """Close an open incident because a person says that it is over, whatever was lost.

    :param incident: its id, such as ``fault-rows.0``.
    :returns: the resolution that stands, also where it was over before.
    :raises Refused: if there is no incident of that id, naming those that are open.
    """
    over = ledger.get(ResolutionRecord, incident)
    if over is not None:
        return over
    still = {one.opened.id: one for one in newest_incidents(ledger) if one.resolved is None}
    if incident not in still:
        raise Refused(f"incident {incident}: is not open; open incidents: {', '.join(still) or 'none'}")
    text = f"acknowledged by {by}: {why}"
    return ledger.put(ResolutionRecord(as_of=still[incident].newest, incident=incident, text=text, by=by))


def _tell_lost(lost: tuple[str, ...]) -> str:
    named = lost if len(lost) <= _NAMED else (*lost[: _NAMED - 1], "…", lost[-1])
    return f"This far it has hit {len(lost)}: {', '.join(named)}."


def announce(ledger: Ledger, cause: Cause, as_of: str, text: str) -> None:
    """Tell good news: an incident that is over as it is told."""
    report(ledger, cause, as_of, text)
    resolve(ledger, cause, as_of, text)


def incidents_of(ledger: Ledger, cause: Cause) -> Iterator[Incident]:
    """The incidents of a cause, newest first."""
    newest = last_incident(ledger, cause)
    for n in range(newest.opened.n if newest else -1, -1, -1):
        opened = ledger.require(IncidentRecord, cause, n)
        yield Incident(opened, ledger.last(SightingRecord, opened.id), ledger.get(ResolutionRecord, opened.id))


def newest_incidents(ledger: Ledger) -> list[Incident]:
    """The newest incident of every cause."""
    newest = [last_incident(ledger, cause) for cause in get_args(Cause)]
    return [incident for incident in newest if incident is not None]
