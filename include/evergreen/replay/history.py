"""What happened over a span of batches, read back from the records."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from evergreen.config.gate_config import MetricName
from evergreen.config.model_folder import ModelFolder
from evergreen.incidents import Incident, newest_incidents
from evergreen.records import (
    AttemptRecord,
    BatchRecord,
    Cause,
    ClaimRecord,
    ClosingRecord,
    IncidentRecord,
    PromotionRecord,
    ResolutionRecord,
    Shared,
    SightingRecord,
    VerdictRecord,
)
from evergreen.storage.ledger import Ledger
from evergreen.storage.revisions import sealed_batches


@dataclass(frozen=True)
class LiveError:
    """How well a batch was scored.

    :param error: the metric of the predictions that were made for it; None where none of its labels is known.
    :param labelled: scored rows of it whose label is known.
    """

    error: float | None
    labelled: int


@dataclass(frozen=True)
class BatchHistory:
    """One batch: what arrived, who scored it, how well, and what was decided at it.

    :param error: the metric of the predictions that were made for it, on all labels known by the end; None
        where nobody scored it or none of its labels is known.
    :param labelled: scored rows of it whose label is known by then.
    """

    batch: str
    rows: BatchRecord
    labels: BatchRecord | None
    claim: ClaimRecord | None
    verdict: VerdictRecord | None
    attempts: tuple[AttemptRecord, ...]
    closings: tuple[ClosingRecord, ...]
    promotions: tuple[PromotionRecord, ...]
    error: float | None
    labelled: int


@dataclass(frozen=True)
class History:
    """A span of batches of one model, with the incidents that opened in it.

    :param metric: name of the error.
    :param overall: the metric over all scored rows with a known label; None if there are none.
    """

    model: str
    title: str
    metric: MetricName
    batches: tuple[BatchHistory, ...]
    incidents: tuple[Incident, ...]
    overall: float | None

    @property
    def attempts(self) -> list[AttemptRecord]:
        """All attempts, oldest first."""
        return [attempt for batch in self.batches for attempt in batch.attempts]

    @property
    def promotions(self) -> list[PromotionRecord]:
        """All promotions, oldest first."""
        return [promotion for batch in self.batches for promotion in batch.promotions]

    @property
    def judged_versions(self) -> dict[int, int]:
        """By promoted version the one whose recipe it refreshes, or itself where it was judged."""
        versions = {promotion.number: promotion.version for promotion in self.promotions}
        return {one.version: versions.get(one.refreshes or one.number, one.version) for one in self.promotions}

    @property
    def closed(self) -> bool:
        """Whether the loop closed: a champion was replaced by a better one, and that one has scored a batch."""
        begun = next((promotion.number for promotion in self.promotions if not promotion.baseline), 0)
        later = [promotion.version for promotion in self.promotions if promotion.number > begun > 0]
        scored = {batch.claim.version for batch in self.batches if batch.claim is not None}
        return any(version in scored for version in later)


def read_history(
    model: ModelFolder, ledger: Ledger, first: str, last: str, live: Mapping[str, LiveError] | None = None
) -> History:
    """Read back what happened from one batch to another; batches that are not sealed yet are left out.

    :param live: by batch how well it was scored; by default what the checks have seen of it.
    """
    span = [b for b in model.config.calendar.between(first, last) if ledger.get(BatchRecord, f"rows.{b}") is not None]
    promotions = list(ledger.all(PromotionRecord, "champion"))
    decided = _decisions(ledger, span, promotions)
    batches = []
    sealed = {record.batch: record for record in sealed_batches(ledger, "rows", span, last)}
    labels = {record.batch: record for record in sealed_batches(ledger, "labels", span, last)}
    verdicts = {batch: ledger.last(VerdictRecord, batch) for batch in span}
    if live is None:
        live = _seen_by_checks(verdicts.values(), sealed)
    for batch, rows in sealed.items():
        attempts, closings = decided.get(batch, ([], []))
        known = live.get(batch, LiveError(None, 0))
        batches.append(
            BatchHistory(
                batch=batch,
                rows=rows,
                labels=labels.get(batch),
                claim=ledger.last(ClaimRecord, batch),
                verdict=verdicts[batch],
                attempts=tuple(attempts),
                closings=tuple(closings),
                promotions=tuple(one for one in promotions if one.as_of == batch),
                error=known.error,
                labelled=known.labelled,
            )
        )
    return History(
        model=model.id,
        title=model.config.title,
        metric=model.config.gate.metric,
        batches=tuple(batches),
        incidents=tuple(_incidents(ledger, span)),
        overall=None,
    )


def _seen_by_checks(
    verdicts: Iterable[VerdictRecord | None], sealed: Mapping[str, BatchRecord]
) -> dict[str, LiveError]:
    """How well batches were scored, by the newest check that has looked at each."""
    live = {}
    for verdict in verdicts:
        if verdict is not None:
            numbers = verdict.outcomes.numbers
            for batch, error in numbers.get("by_batch_scored", {}).items():
                clean = sealed[batch].clean if batch in sealed else 0
                live[batch] = LiveError(error, round(clean * numbers["share_labelled"].get(batch, 0.0)))
    return live


def _decisions(
    ledger: Ledger, span: list[str], promotions: list[PromotionRecord]
) -> dict[str, tuple[list[AttemptRecord], list[ClosingRecord]]]:
    """Attempts and closings by the batch at which they were made."""
    found: dict[str, tuple[list[AttemptRecord], list[ClosingRecord]]] = {}
    for batch in span:
        for verdict in ledger.all(VerdictRecord, batch):
            if verdict.action != "retrain":
                continue
            attempt = ledger.get(AttemptRecord, verdict.id)
            if attempt is not None:
                found.setdefault(attempt.as_of, ([], []))[0].append(attempt)
            closing = ledger.get(ClosingRecord, verdict.id)
            if closing is not None:
                found.setdefault(closing.as_of, ([], []))[1].append(closing)
    for one in promotions:
        # A rollback has an attempt that no verdict asked for.
        attempt = ledger.get(AttemptRecord, one.attempt)
        if attempt is not None and attempt.version is not None:
            found.setdefault(attempt.as_of, ([], []))[0].append(attempt)
    return found


def _incidents(ledger: Ledger, span: list[str]) -> list[Incident]:
    """Incidents that opened in a span, oldest first."""
    found = []
    causes: list[Cause | Shared] = [newest.opened.cause for newest in newest_incidents(ledger)]
    for cause in causes:
        for opened in ledger.all(IncidentRecord, cause):
            if span and span[0] <= opened.as_of <= span[-1]:
                seen = ledger.last(SightingRecord, opened.id)
                found.append(Incident(opened, seen, ledger.get(ResolutionRecord, opened.id)))
    return sorted(found, key=lambda incident: (incident.opened.as_of, incident.opened.cause))
