"""Tell of incidents."""

from datetime import UTC, datetime
from typing import get_args

from evergreen.config.locations import Locations, deployment_alerts
from evergreen.config.model_folder import BrokenFolder, ModelFolder
from evergreen.config.tasks_config import AlertsConfig
from evergreen.records import Cause, Shared
from evergreen.sinks import HttpSink, LogSink, Sink
from evergreen.steps import tell_incidents
from evergreen.steps.report_outages import outage_id, places_of, report_outages
from evergreen.steps.tell_incidents import RUNBOOK, AlertsResult, Subject, tell
from evergreen.storage.stores import open_stores


def send_alerts(
    model: ModelFolder | BrokenFolder,
    at: Locations,
    sinks: tuple[Sink, ...] | None = None,
    causes: tuple[Cause, ...] = get_args(Cause),
    page: str = "",
    overview: str = "",
    now: datetime | None = None,
) -> AlertsResult:
    """Tell each sink what it has not been told yet: incidents that opened, were seen again, or are over.

    What failed because something does not answer that other models use, too, is told as one incident of all of them.
    A sink that does not answer delays nothing, and a damaged record silences only incidents of its own cause. A message
    is repeated only where its acceptance was not noted, the process having died or the answer been lost, and the sink
    cannot look whether it is there.

    :param sinks: who is told; by default ``default_sinks``.
    :param causes: of which incidents; by default of all.
    :param page: address of the model's page.
    :param overview: address of the page of all models.
    :param now: the moment, in UTC, by which a snooze is over; by default that of the call.
    :raises RecordUnreadable: when all else is told.
    """
    title = model.config.title if isinstance(model, ModelFolder) else model.id
    subject, now = Subject(model.id, title, page, runbook_of(model)), now or datetime.now(UTC)
    sinks = default_sinks(model) if sinks is None else sinks
    results = [tell(subject, at, sinks, causes, now)]
    results += tell_common(model.id, at, sinks, now, causes, overview, subject.runbook)
    for damaged in (error for one in results for error in one.damaged):
        raise damaged
    return AlertsResult(sum(one.told for one in results), sum(one.failed for one in results))


def tell_common(
    model_id: str,
    at: Locations,
    sinks: tuple[Sink, ...],
    now: datetime,
    causes: tuple[Cause, ...] = get_args(Cause),
    overview: str = "",
    runbook: str = RUNBOOK,
) -> list[AlertsResult]:
    """Tell what a model has in common with others, also one whose folder is gone. Parameters: as ``send_alerts``."""
    return [
        tell(Subject(outage_id(common), common[0], overview, runbook), at, sinks, common[1:], now)
        for common in report_outages(model_id, at, now, causes)
    ]


def find_untold(model: ModelFolder, at: Locations, now: datetime) -> list[str]:
    """What somebody whom config.yaml or the environment names has not been told yet: the name and the incidents."""
    alerts = own_alerts(model) or deployment_alerts()
    names = [sink.name for sink in default_sinks(model)[1:]] + ([f"slack-{alerts.slack}"] if alerts.slack else [])
    subjects: list[tuple[Subject, tuple[Cause | Shared, ...]]] = [
        (Subject(model.id, model.config.title), get_args(Cause))
    ]
    subjects += [(Subject(outage_id(common), common[0]), common[1:]) for common in places_of(model.id, at)]
    found = []
    for name in (*names, *name_notifiers(alerts)):
        left = [
            f"{message.incident} {message.event}"
            for subject, causes in subjects
            for _, message in tell_incidents.find_untold(
                subject, open_stores(at, subject.id).ledger, name, causes, now, []
            )
        ]
        found += [f"{name}: {', '.join(left)}"] if left else []
    return found


def runbook_of(model: ModelFolder | BrokenFolder) -> str:
    """The page that tells what to do: the model's own, the deployment's, or the documents'."""
    own = model.config.alerts.runbook if isinstance(model, ModelFolder) else None
    return own or deployment_alerts().runbook or RUNBOOK


def own_alerts(model: ModelFolder | BrokenFolder) -> AlertsConfig | None:
    """Whom a model's config.yaml names; None where it names nobody, and those of the deployment are told."""
    alerts = model.config.alerts if isinstance(model, ModelFolder) else AlertsConfig()
    return alerts if alerts.http or alerts.slack or alerts.notifiers else None


def name_notifiers(alerts: AlertsConfig) -> list[str]:
    """Under which names it is noted what notifiers have taken: the class, and which of several."""
    classes = [path.rpartition(".")[2] for one in alerts.notifiers for path in one]
    return [f"notifier-{name}-{classes[:n].count(name)}" for n, name in enumerate(classes)]


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
