"""Tell of incidents."""

import itertools
import logging
from dataclasses import dataclass, replace
from typing import get_args

from evergreen.config.locations import Locations, deployment_alerts
from evergreen.config.model_folder import BrokenFolder, ModelFolder
from evergreen.config.tasks_config import AlertsConfig
from evergreen.errors import Outage, RecordUnreadable
from evergreen.incidents import Incident, incidents_of
from evergreen.records import Cause, IncidentRecord, NoticeRecord, ResolutionRecord, SightingRecord
from evergreen.sinks import HttpSink, LogSink, Message, Sink
from evergreen.storage.ledger import Ledger
from evergreen.storage.stores import open_stores

_logger = logging.getLogger(__name__)
# A sink that is new to an old model is not told of all that ever was.
_AT_MOST = 20


@dataclass(frozen=True)
class AlertsResult:
    """What was told.

    :param told: messages accepted.
    :param failed: messages that a sink did not accept; the next run tells them.
    """

    told: int
    failed: int


def send_alerts(
    model: ModelFolder | BrokenFolder,
    at: Locations,
    sinks: tuple[Sink, ...] | None = None,
    causes: tuple[Cause, ...] = get_args(Cause),
) -> AlertsResult:
    """Tell each sink what it has not been told yet: incidents that opened, were seen again, or are over.

    A sink that does not answer delays nothing, and a damaged record silences only incidents of its own cause. A message
    is repeated only where its acceptance was not noted: the process died, or the answer was lost.

    :param sinks: who is told; by default ``default_sinks``.
    :param causes: of which incidents; by default of all.
    :raises RecordUnreadable: when all else is told.
    """
    ledger = open_stores(at, model.id).ledger
    told = failed = 0
    damaged: list[RecordUnreadable] = []
    for sink in default_sinks(model) if sinks is None else sinks:
        messages = [one for incident in _untold(ledger, sink, causes, damaged) for one in _messages(model, incident)]
        left = [one for one in messages if ledger.get(NoticeRecord, f"{one[1].incident}.{one[0]}.{sink.name}") is None]
        for number, (event, message) in enumerate(left):
            first = ledger.get(NoticeRecord, f"{message.incident}.opened.{sink.name}")
            try:
                receipt = sink.tell(replace(message, receipt=first.meta.get("receipt", "") if first else ""))
            except Outage as error:
                # Whoever does not take one message is not made to refuse the others too.
                _logger.warning("%s: %s", sink.name, error)
                failed += len(left) - number
                break
            notice = NoticeRecord(as_of=message.as_of, incident=message.incident, event=event, sink=sink.name)
            ledger.put(notice.model_copy(update={"meta": {"receipt": receipt} if receipt else {}}))
            told += 1
    if damaged:
        raise damaged[0]
    return AlertsResult(told, failed)


def _untold(ledger: Ledger, sink: Sink, causes: tuple[Cause, ...], damaged: list[RecordUnreadable]) -> list[Incident]:
    """Incidents of which a sink may have something left to hear, oldest first.

    Of each cause: back to the newest that it has heard of, which may be over by now.

    :param damaged: takes what kept the incidents of a cause from being read.
    """
    incidents = []
    for cause in causes:
        try:
            for incident in itertools.islice(incidents_of(ledger, cause), _AT_MOST):
                incidents.append(incident)
                if ledger.get(NoticeRecord, f"{incident.opened.id}.opened.{sink.name}") is not None:
                    break
        except RecordUnreadable as error:
            damaged.append(error)
    return sorted(incidents, key=lambda incident: (incident.opened.as_of, incident.opened.meta.get("written_at", "")))


def own_alerts(model: ModelFolder | BrokenFolder) -> AlertsConfig | None:
    """Whom a model's config.yaml names; None where it names nobody, and those of the deployment are told."""
    alerts = model.config.alerts if isinstance(model, ModelFolder) else AlertsConfig()
    return alerts if alerts.http or alerts.slack else None


def default_sinks(model: ModelFolder | BrokenFolder) -> tuple[Sink, ...]:
    """The log, and the URL of ``alerts.http``, or of the deployment."""
    own = own_alerts(model)
    if own is None:
        return deployment_sinks()
    return (LogSink(), HttpSink(own.http)) if own.http else (LogSink(),)


def deployment_sinks() -> tuple[Sink, ...]:
    """The log, and the URL that is told of the whole deployment."""
    url = deployment_alerts().http
    return (LogSink(), HttpSink(url, "http-deployment")) if url else (LogSink(),)


def _messages(model: ModelFolder | BrokenFolder, incident: Incident) -> list[tuple[str, Message]]:
    """What there is to tell of an incident, oldest first; good news is told once."""
    opened, seen, over, story = incident.opened, incident.seen, incident.resolved, incident.story
    title = model.config.title if isinstance(model, ModelFolder) else model.id

    def message(event: str, of: IncidentRecord | SightingRecord | ResolutionRecord, anew: bool = False) -> Message:
        earlier = story[: story.index(of.text)]
        about = (model.id, opened.id, event, of.as_of, of.text, incident.sightings, title)
        return Message(*about, link=opened.meta.get("by", ""), earlier=earlier, anew=anew)

    messages = [("opened", message("opened", opened))]
    if seen is not None:
        messages.append((f"seen-{seen.n}", message("seen again", seen, seen.anew)))
    if over is not None and over.text != opened.text:
        messages.append(("resolved", message("resolved", over)))
    return messages
