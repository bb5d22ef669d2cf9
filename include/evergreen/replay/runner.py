"""The in-process runner: the steps, and only the steps, in the order the DAGs call them."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from evergreen.config.feeds_config import FilesConfig, QueryConfig
from evergreen.config.locations import Locations, model_roots, view_roots
from evergreen.config.model_folder import ModelFolder, get_model_folder, parse_policies
from evergreen.config.serving_config import ServingConfig
from evergreen.config.view_folder import load_views
from evergreen.errors import EvergreenError, NotReady
from evergreen.judging.attempts import DueAttempt, find_due_attempt
from evergreen.records import ApprovalRecord, BatchRecord, Feed
from evergreen.sinks import Sink
from evergreen.sources.intake import source_of
from evergreen.steps.apply_retention import apply_retention
from evergreen.steps.check_drift import check_drift
from evergreen.steps.close_verdict import close_verdict
from evergreen.steps.compute_views import compute_views
from evergreen.steps.ingest_answers import ingest_answers
from evergreen.steps.ingest_batch import ingest_batch
from evergreen.steps.judge_arms import judge_arms
from evergreen.steps.judge_model import judge_model
from evergreen.steps.promote_model import promote_model
from evergreen.steps.register_model import register_model
from evergreen.steps.score_batch import score_batch
from evergreen.steps.send_alerts import send_alerts
from evergreen.steps.train_model import train_model
from evergreen.steps.validate_batch import validate_batch
from evergreen.steps.wait_for_batch import wait_for_batch
from evergreen.storage.stores import stores_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Runner:
    """Drives one model's batches through the loop in this process.

    :param model: the model folder.
    :param at: where its state is.
    :param sinks: who is told of incidents; None takes the log and what config.yaml names.
    """

    model: ModelFolder
    at: Locations
    sinks: tuple[Sink, ...] | None = None

    def run_batch(self, batch: str, now: datetime | None = None) -> None:
        """Take one batch from its files to its alerts, and make the attempt that is due after it.

        :param now: the moment that waiting is measured by; by default the batch's end, past which nothing more comes.
        :raises NotReady: if its files are not complete and may still come.
        """
        moment = now or self.model.config.calendar.end(batch)
        self._take(batch, moment, "rows")
        if self.model.config.features.views:
            compute_views(self.model, self.at, batch, load_views(self.model, view_roots(), model_roots()))
        score_batch(self.model, self.at, batch)
        self._take(batch, moment, "labels")
        if self.model.config.serving.keeps:
            ingest_answers(self.model, self.at, batch)
            judge_arms(self.model, self.at, batch)
        if (self.model.config.calendar.index(batch) + 1) % self.model.config.check.every == 0:
            check_drift(self.model, self.at, batch)
            self.retrain()
        if self.model.config.retention.ages:
            apply_retention(self.model, self.at, batch)
        send_alerts(self.model, self.at, self.sinks)

    def take_in(self, batch: str) -> None:
        """Only seal what came: rows and labels, which depend on no decision of the loop."""
        end = self.model.config.calendar.end(batch)
        self._take(batch, end, "rows")
        self._take(batch, end, "labels")

    def take_in_until(self, moment: datetime) -> None:
        """Only seal what came in the batches that have ended at a moment, as far as they are not sealed."""
        calendar = self.model.config.calendar
        sealed = stores_of(self.model, self.at).ledger.last_batch(BatchRecord, calendar, "rows.")
        ended = calendar.index(calendar.containing(moment))
        for i in range(calendar.index(sealed) + 1 if sealed is not None else 0, ended):
            self.take_in(calendar.name(i))

    def retrain(self) -> None:
        """Make the attempt that is due, or finish one that was left half-way."""
        stores = stores_of(self.model, self.at)
        attempt = find_due_attempt(self.model.config, stores)
        if attempt is None:
            return
        judged = judge_model(self.model, self.at, attempt, train_model(self.model, self.at, attempt))
        approval = stores.ledger.get(ApprovalRecord, attempt.verdict)
        approved = judged.outcome == "needs approval" and approval is not None and approval.approved
        if judged.outcome == "passed" or approved:
            self._promote(attempt)
        close_verdict(self.model, self.at, attempt)

    def _take(self, batch: str, now: datetime, feed: Feed) -> None:
        if feed == "labels" and self.model.config.labels is None:
            return
        if self._await(batch, now, feed):
            ingest_batch(self.model, self.at, batch, feed)
            validate_batch(self.model, self.at, batch, feed)

    def _promote(self, attempt: DueAttempt) -> None:
        version = register_model(self.model, self.at, attempt).version
        if version is not None:
            promote_model(self.model, self.at, attempt, version)

    def _await(self, batch: str, now: datetime, feed: Feed) -> bool:
        """Whether a batch came; two probes, for files whose sizes must stay the same."""
        result = wait_for_batch(self.model, self.at, batch, now, None, feed)
        if result.state == "waiting" and result.probe is not None and result.probe.sizes:
            time.sleep(self._pause(feed))
            result = wait_for_batch(self.model, self.at, batch, now, result.probe, feed)
        if result.state == "waiting":
            raise NotReady(f"model {self.model.id}: {feed} of batch {batch} are not complete: {result.why}")
        return result.state == "complete"

    def _pause(self, feed: Feed) -> float:
        """Seconds between two probes; none where a marker or a count tells that the files are complete."""
        source = source_of(self.model, feed)
        if not isinstance(source, FilesConfig) or source.complete.marker or source.complete.count:
            return 0
        return source.complete.stable.total_seconds()


def replay(
    model: ModelFolder, at: Locations, first: str, last: str, after_each: Callable[[str], None] | None = None
) -> None:
    """Run a span of batches on the virtual clock of their dates.

    :param model: the model folder; see ``for_replay``.
    :param at: scratch locations, never the live one.
    :param after_each: called with each batch when it is done.
    """
    runner, sources = Runner(model, at, sinks=()), _find_sources(model, at)
    for batch in model.config.calendar.between(first, last):
        for source in sources:
            source.take_in_until(model.config.calendar.end(batch))
        runner.run_batch(batch)
        if after_each is not None:
            after_each(batch)


def _find_sources(model: ModelFolder, at: Locations) -> list[Runner]:
    """The other models whose rows a model's views are computed from; a scratch place has none of them."""
    views = load_views(model, view_roots(), model_roots())
    others = sorted({view.config.source for view in views.values()} - {model.id})
    folders = (get_model_folder(name, model_roots()) for name in others)
    return [Runner(for_replay(folder, None, None, html=False), at, sinks=()) for folder in folders]


def try_replay(
    model: ModelFolder, at: Locations, first: str, last: str, after_each: Callable[[str], None] | None = None
) -> str | None:
    """Replay a span, and tell what ended it early instead of raising it: errors do not pass from process to process.

    :returns: the error, or None.
    """
    try:
        replay(model, at, first, last, after_each)
    except EvergreenError as error:
        return str(error)
    except Exception as error:
        _log.exception("model %s: its replay ended early", model.id)
        return f"{type(error).__name__}: {error}"
    return None


def for_replay(model: ModelFolder, first: str | None, policies: str | None, html: bool) -> ModelFolder:
    """A model folder as a replay needs it: its history begins at the span, nothing is waited for, nobody asks online.

    No cluster reaches its scratch place, and none would make other predictions.

    :param first: first batch of the span; None begins where the schedule does.
    :param policies: such as ``decay+every:4``; None keeps those of config.yaml.
    :param html: whether the checks may write HTML reports.
    """
    config = model.config
    changes: dict[str, object] = {"source": _at_once(config.source), "serving": ServingConfig(), "engine": "local"}
    if isinstance(config.labels, FilesConfig | QueryConfig):
        changes["labels"] = _at_once(config.labels)
    if first is not None:
        changes["schedule"] = config.schedule.model_copy(update={"start": config.calendar.moment(first)})
    if not html:
        changes["check"] = config.check.model_copy(update={"html": "never"})
    return with_policies(model.replace(config.model_copy(update=changes)), policies)


def _at_once(source: FilesConfig | QueryConfig) -> FilesConfig | QueryConfig:
    """The same source without anything to wait for."""
    changes: dict[str, object] = {"wait": timedelta(0)}
    if isinstance(source, FilesConfig):
        changes["complete"] = source.complete.model_copy(update={"stable": timedelta(0)})
    return source.model_copy(update=changes)


def with_policies(model: ModelFolder, policies: str | None) -> ModelFolder:
    """The same model under other policies."""
    if policies is None:
        return model
    retrain = model.config.retrain.model_copy(update={"any": parse_policies(policies).any})
    return model.replace(model.config.model_copy(update={"retrain": retrain}))
