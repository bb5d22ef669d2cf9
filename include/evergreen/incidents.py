"""Incidents: one cause, open until resolved. Steps report; ``send_alerts`` tells."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import get_args

from evergreen.errors import Refused
from evergreen.records import (
    Cause,
    Feed,
    IncidentRecord,
    ResolutionRecord,
    Shared,
    SightingRecord,
    SnoozeRecord,
    Words,
)
from evergreen.storage.ledger import Ledger

FAULT: dict[Feed, Cause] = {"rows": "fault-rows", "labels": "fault-labels"}
STALE: dict[Feed, Cause] = {"rows": "stale-rows", "labels": "stale-labels"}
FAILED: tuple[Cause, ...] = ("failed-batch", "failed-drift", "failed-retrain")
HEADINGS: dict[Cause | Shared, str] = {
    "fault-rows": "rows failed validation",
    "fault-labels": "labels failed validation",
    "stale-rows": "rows did not come",
    "stale-labels": "labels did not come",
    "stale-views": "a feature view has grown too old",
    "unmatched": "labels match no rows",
    "drift": "inputs drifted",
    "decay": "the error has grown",
    "unscored": "a batch has no predictions",
    "unfit": "its own code failed in a retraining",
    "approval": "a challenger waits for an answer",
    "moved": "the alias champion was moved by hand",
    "overdue": "a retraining is overdue",
    "paused": "a retraining waits for a paused DAG",
    "failed-batch": "a batch run failed",
    "failed-drift": "a check failed",
    "failed-retrain": "a retraining failed",
    "broken": "the model folder is refused",
    "late": "batches are late",
    "taken-back": "a challenger was taken back from online traffic",
    "outage": "does not answer",
    "digest": "the day's digest",
}
# Of each `unfit`: the message has file, error and rows.
MEND_CODE = "Mend the code; the next retraining takes it up."
_ID = re.compile(r"[a-z-]+\.[0-9]+")
# More than this are counted, not named.
_NAMED = 50


@dataclass(frozen=True)
class Incident:
    """An incident with all that was seen of it."""

    opened: IncidentRecord
    seen: SightingRecord | None
    resolved: ResolutionRecord | None
    snoozed: SnoozeRecord | None = None

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
    def places(self) -> tuple[str, ...]:
        """What did not answer, if that is all there is to it; else nothing."""
        places = tuple(dict.fromkeys(one.place for one in (self.opened, self.seen) if one is not None))
        return places if all(places) else ()

    @property
    def story(self) -> tuple[str, ...]:
        """What is to be said of it: how it began, how it was seen last, how it ended."""
        texts = [one.told for one in (self.opened, self.seen, self.resolved) if one is not None]
        return tuple(dict.fromkeys(texts))


def last_incident(ledger: Ledger, cause: Cause | Shared) -> Incident | None:
    """The newest incident of a cause."""
    opened = ledger.last(IncidentRecord, cause)
    return _gather(ledger, opened) if opened is not None else None


def _gather(ledger: Ledger, opened: IncidentRecord) -> Incident:
    resolved = ledger.get(ResolutionRecord, opened.id)
    return Incident(opened, ledger.last(SightingRecord, opened.id), resolved, ledger.last(SnoozeRecord, opened.id))


def report(
    ledger: Ledger,
    cause: Cause | Shared,
    as_of: str,
    words: Words | str,
    again: bool = False,
    lost: str = "",
    before: str = "",
    place: str = "",
) -> None:
    """Open an incident, or add a sighting to the open one. Reporting the same again changes nothing.

    :param words: what happened, what was done about it, and what to do.
    :param again: open a new one even for a batch whose incident is over: a task that fails anew has not failed before.
    :param lost: what is not there because of it, a batch or a run: the incident is not over before it is.
    :param before: the batch before; an open incident that was not seen there is told as news.
    :param place: what did not answer, if it is that.
    """
    last, own = last_incident(ledger, cause), (lost,) if lost else ()
    words = Words(words) if isinstance(words, str) else words
    told = [last] if again and last else incidents_of(ledger, cause)
    is_new = last is None or as_of > last.newest or not all(any(one in it.lost for it in told) for one in own)
    record: IncidentRecord | SightingRecord
    if last is None or (last.resolved is not None and (is_new or again)):
        n = last.opened.n + 1 if last else 0
        record = IncidentRecord(as_of=as_of, cause=cause, n=n, lost=own, place=place, **words._asdict())
    elif last.resolved is None and is_new:
        lost_by_now, n = tuple(dict.fromkeys((*last.lost, *own))), last.seen.n + 1 if last.seen else 0
        shown = words
        if len(lost_by_now) > 1:
            shown = words._replace(text=f"{words.text} {_tell_lost(lost_by_now)}")
        record = SightingRecord(
            as_of=max(as_of, last.newest),
            incident=last.opened.id,
            n=n,
            lost=lost_by_now,
            anew=bool(before) and last.newest < before,
            place=place,
            **shown._asdict(),
        )
    else:
        return
    if ledger.put(record) != record:
        # Somebody else has reported at the same moment.
        report(ledger, cause, as_of, words, again, lost, before, place)


def resolve(
    ledger: Ledger, cause: Cause | Shared, as_of: str, text: str, mended: Callable[[str], bool] = lambda _: False
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
    over = ledger.get(ResolutionRecord, incident) if _ID.fullmatch(incident) else None
    if over is not None:
        return over
    text = f"acknowledged by {by}: {why}"
    as_of = _require_open(ledger, incident).newest
    return ledger.put(ResolutionRecord(as_of=as_of, incident=incident, text=text, by=by))


def snooze(ledger: Ledger, incident: str, by: str, why: str, until: str, today: date) -> SnoozeRecord:
    """Tell nothing of an open incident before a day.

    :param until: that day, such as ``2024-02-01``; it begins at midnight UTC.
    :param today: the day in UTC.
    :returns: the snooze that stands; the same wish twice is one.
    :raises Refused: if there is no open incident of that id, or the day is none, or is over.
    """
    found, newest = _require_open(ledger, incident), ledger.last(SnoozeRecord, incident)
    wish = SnoozeRecord(
        as_of=found.newest, incident=incident, n=newest.n + 1 if newest else 0, until=until, by=by, why=why
    )
    if newest is not None and (newest.until, newest.by, newest.why) == (until, by, why):
        return newest
    try:
        day = date.fromisoformat(until)
    except ValueError:
        raise Refused(f"until: found {until!r}; valid: a day such as {today.isoformat()}") from None
    if day <= today:
        raise Refused(f"until: found {until}, which is not after today, {today}; without it the incident is closed")
    return ledger.put(wish.model_copy(update={"until": day.isoformat()}))


def _require_open(ledger: Ledger, incident: str) -> Incident:
    still = {one.opened.id: one for one in newest_incidents(ledger) if one.resolved is None}
    if incident not in still:
        raise Refused(f"incident {incident}: is not open; open incidents: {', '.join(still) or 'none'}")
    return still[incident]


def _tell_lost(lost: tuple[str, ...]) -> str:
    named = lost if len(lost) <= _NAMED else (*lost[: _NAMED - 1], "…", lost[-1])
    return f"This far it has hit {len(lost)}: {', '.join(named)}."


def announce(ledger: Ledger, cause: Cause | Shared, as_of: str, words: Words | str) -> None:
    """Tell news that calls for nothing more: an incident that is over as it is told."""
    report(ledger, cause, as_of, words)
    resolve(ledger, cause, as_of, words if isinstance(words, str) else words.told)


def incidents_of(ledger: Ledger, cause: Cause | Shared) -> Iterator[Incident]:
    """The incidents of a cause, newest first."""
    newest = last_incident(ledger, cause)
    for n in range(newest.opened.n if newest else -1, -1, -1):
        yield _gather(ledger, ledger.require(IncidentRecord, cause, n))


def newest_incidents(ledger: Ledger) -> list[Incident]:
    """The newest incident of every cause."""
    risen = ledger.ids(IncidentRecord)
    newest = [last_incident(ledger, cause) for cause in get_args(Cause) if cause in risen]
    return [incident for incident in newest if incident is not None]
