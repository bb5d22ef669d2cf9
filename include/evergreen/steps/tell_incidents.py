"""Tell of the incidents of one model, or of what several have in common."""

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from evergreen.config.locations import Locations
from evergreen.errors import NotReady, Outage, RecordUnreadable
from evergreen.incidents import HEADINGS, Incident, incidents_of
from evergreen.records import Cause, IncidentRecord, NoticeRecord, Shared, TellingRecord, Told
from evergreen.sinks import LogSink, Message, Sink
from evergreen.storage.lease import hold_lease
from evergreen.storage.ledger import Ledger
from evergreen.storage.stores import open_stores

_logger = logging.getLogger(__name__)
# A sink that is new to an old model is not told of all that ever was.
_AT_MOST = 20
# Seconds: how long one waits for another that tells of the same model.
_PATIENCE = 30
# Where the documents tell of each kind of incident.
RUNBOOK = "docs/runbook.md"
# Events by which it is noted that they were told, and the message that tells of all of them.
Untold = tuple[tuple[str, ...], Message]


@dataclass(frozen=True)
class AlertsResult:
    """What was told.

    :param told: messages accepted.
    :param failed: messages that a sink did not accept; the next run tells them.
    :param damaged: what kept incidents of some causes from being read.
    """

    told: int
    failed: int
    damaged: Sequence[RecordUnreadable] = ()


@dataclass(frozen=True)
class Subject:
    """Whose incidents are told.

    :param id: under which they are on record.
    :param title: its name for people.
    :param page: address of its page; empty where that is unknown.
    :param runbook: address of the page that tells what to do; empty where there is nothing to do.
    """

    id: str
    title: str
    page: str = ""
    runbook: str = RUNBOOK


def tell(
    subject: Subject, at: Locations, sinks: tuple[Sink, ...], causes: tuple[Cause | Shared, ...], now: datetime
) -> AlertsResult:
    """Tell each sink what it has not been told yet of one subject. Parameters: as ``send_alerts``."""
    ledger, told, failed = open_stores(at, subject.id).ledger, 0, 0
    damaged: list[RecordUnreadable] = []
    if not any(find_untold(subject, ledger, sink.name, causes, now, damaged) for sink in sinks):
        return AlertsResult(0, 0, damaged)
    try:
        with _in_turn(at, subject.id):
            for sink in sinks:
                # Only now: another run may have told it meanwhile.
                left = find_untold(subject, ledger, sink.name, causes, now, damaged)
                accepted = sum(1 for _ in itertools.takewhile(partial(_is_told, ledger, sink), left))
                told, failed = told + accepted, failed + len(left) - accepted
    except NotReady as error:
        _logger.warning("%s", error)
        failed += 1
    return AlertsResult(told, failed, damaged)


@contextmanager
def _in_turn(at: Locations, subject_id: str) -> Iterator[None]:
    """Be the only one who tells of a subject: of two at once each would begin a message of its own.

    :raises NotReady: if another has not ended in time.
    """
    with ExitStack() as turn:
        for left in range(_PATIENCE, -1, -1):
            try:
                turn.enter_context(hold_lease(at, subject_id, "alerts"))
                break
            except NotReady:
                if not left:
                    raise
                time.sleep(1)
        yield


def _is_told(ledger: Ledger, sink: Sink, untold: Untold) -> bool:
    """Tell one message and note it; whoever does not take one is not made to refuse the others too."""
    events, message = untold
    first = ledger.get(NoticeRecord, f"{message.incident}.opened.{sink.name}")
    notes = [{"as_of": message.as_of, "incident": message.incident, "event": one, "sink": sink.name} for one in events]
    before = ledger.get(TellingRecord, f"{message.incident}.{events[0]}.{sink.name}")
    if not isinstance(sink, LogSink):
        ledger.put(TellingRecord.model_validate(notes[0]))
    receipt = first.meta.get("receipt", "") if first else ""
    known = replace(message, receipt=receipt, tried=before.meta["written_at"] if before else "")
    try:
        accepted = sink.tell(known)
    except Outage as error:
        _logger.warning("%s: %s", sink.name, error)
        return False
    for note in notes:
        ledger.put(NoticeRecord.model_validate(note | {"meta": {"receipt": accepted} if accepted else {}}))
    return True


def find_untold(
    subject: Subject,
    ledger: Ledger,
    sink: str,
    causes: tuple[Cause | Shared, ...],
    now: datetime,
    damaged: list[RecordUnreadable],
) -> list[Untold]:
    """What a sink has left to hear, oldest first.

    Of each cause: back to the newest incident that it has heard of, which may be over by now.

    :param damaged: takes what kept the incidents of a cause from being read.
    """
    incidents, risen = [], ledger.ids(IncidentRecord)
    for cause in (one for one in causes if one in risen):
        try:
            for incident in itertools.islice(incidents_of(ledger, cause), _AT_MOST):
                incidents.append(incident)
                if ledger.get(NoticeRecord, f"{incident.opened.id}.opened.{sink}") is not None:
                    break
        except RecordUnreadable as error:
            damaged.append(error)
    incidents.sort(key=lambda incident: (incident.opened.as_of, incident.opened.meta.get("written_at", "")))

    def is_new(incident: Incident, event: str) -> bool:
        return ledger.get(NoticeRecord, f"{incident.opened.id}.{event}.{sink}") is None

    return [one for incident in incidents for one in _messages(subject, incident, now, is_new)]


def _messages(
    subject: Subject, incident: Incident, now: datetime, is_new: Callable[[Incident, str], bool]
) -> list[Untold]:
    """What there is left to tell of an incident, oldest first; good news is told once."""
    opened, seen, over, snoozed = incident.opened, incident.seen, incident.resolved, incident.snoozed
    if incident.places or (snoozed is not None and now.date().isoformat() < snoozed.until):
        return []
    texts = list(dict.fromkeys([opened.text, *([seen.text] if seen is not None else [])]))

    def message(event: str, of: Told, name: str, anew: bool = False) -> Message:
        return Message(
            model=subject.id,
            incident=opened.id,
            event=event,
            as_of=of.as_of,
            text=of.text,
            sightings=incident.sightings,
            title=subject.title,
            link=opened.meta.get("by", ""),
            earlier=tuple(one for one in texts[: None if of is over else texts.index(of.text)] if one != of.text),
            anew=anew,
            done=of.done,
            todo=of.todo,
            heading=HEADINGS[opened.cause],
            since=opened.as_of,
            page=subject.page,
            runbook=f"{subject.runbook}#{opened.cause}" if subject.runbook else "",
            id=f"{subject.id}.{opened.id}.{name}",
        )

    found: list[Untold] = [(("opened",), message("news" if opened.cause == "digest" else "opened", opened, "opened"))]
    noted = [f"seen-{seen.n}"] if seen is not None else []
    woken = f"woken-{snoozed.n}" if snoozed is not None else ""
    if over is None and woken and is_new(incident, woken):
        found.append(((woken, *noted), message("still open", seen or opened, woken, True)))
    elif seen is not None:
        found.append((tuple(noted), message("seen again", seen, noted[0], seen.anew)))
    if over is not None and over.text != opened.told:
        found.append((("resolved",), message("resolved", over, "resolved")))
    return [one for one in found if is_new(incident, one[0][0])]
