"""What happened over a span of batches, read back from ledger and lake."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from evergreen.config.contract import ModelConfig
from evergreen.config.gate_config import MetricName
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import NotReady
from evergreen.features.labelled import match_labels
from evergreen.incidents import Incident, newest_incidents
from evergreen.judging.champion import read_losses
from evergreen.losses import METRICS
from evergreen.records import (
    AttemptRecord,
    BatchRecord,
    Cause,
    ClaimRecord,
    ClosingRecord,
    IncidentRecord,
    PromotionRecord,
    ResolutionRecord,
    SightingRecord,
    VerdictRecord,
)
from evergreen.storage.ledger import Ledger
from evergreen.storage.revisions import sealed_batches
from evergreen.storage.stores import Stores, open_stores


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


def collect_history(model: ModelFolder, at: Locations, first: str, last: str, known_by: str | None = None) -> History:
    """Read back what happened from one batch to another; batches that are not sealed yet are left out.

    :param known_by: labels that became known up to this batch count; by default up to ``last``.
    """
    config, metric = model.config, METRICS[model.config.gate.metric]
    stores = open_stores(at, model.id)
    span = [b for b in config.calendar.between(first, last) if stores.ledger.get(BatchRecord, f"rows.{b}") is not None]
    losses = _losses(config, stores, span, known_by or last)
    promotions = list(stores.ledger.all(PromotionRecord, "champion"))
    decided = _decisions(stores.ledger, span, promotions)
    batches = []
    sealed = {record.batch: record for record in sealed_batches(stores.ledger, "rows", span, last)}
    labels = {record.batch: record for record in sealed_batches(stores.ledger, "labels", span, last)}
    for batch, rows in sealed.items():
        own = losses.get(batch, np.array([]))
        attempts, closings = decided.get(batch, ([], []))
        batches.append(
            BatchHistory(
                batch=batch,
                rows=rows,
                labels=labels.get(batch),
                claim=stores.ledger.last(ClaimRecord, batch),
                verdict=stores.ledger.last(VerdictRecord, batch),
                attempts=tuple(attempts),
                closings=tuple(closings),
                promotions=tuple(one for one in promotions if one.as_of == batch),
                error=metric.of(own) if len(own) else None,
                labelled=len(own),
            )
        )
    every = np.concatenate(list(losses.values())) if losses else np.array([])
    return History(
        model=model.id,
        title=config.title,
        metric=metric.name,
        batches=tuple(batches),
        incidents=tuple(_incidents(stores.ledger, span)),
        overall=metric.of(every) if len(every) else None,
    )


def as_table(history: History) -> pd.DataFrame:
    """One row a batch, for the CSV and for whoever wants to plot it.

    :returns: (batches, columns).
    """
    rows = []
    for one in history.batches:
        verdict = one.verdict
        rows.append(
            {
                "batch": one.batch,
                "state": one.rows.state,
                "rows_in": one.rows.rows_in,
                "clean": one.rows.clean,
                "quarantined": one.rows.quarantined,
                "labels_known": one.labels.clean if one.labels else 0,
                "version": one.claim.version if one.claim else None,
                history.metric: one.error,
                "labelled_rows": one.labelled,
                "inputs": verdict.inputs.state if verdict else "",
                "outcomes": verdict.outcomes.state if verdict else "",
                "error_by_label_arrival": verdict.outcomes.numbers.get("error") if verdict else None,
                "reasons": " ".join(verdict.reasons) if verdict else "",
                "action": verdict.action if verdict else "",
                "attempts": " ".join(f"{attempt.id}:{attempt.outcome}" for attempt in one.attempts),
                "closed": " ".join(f"{closing.verdict}:{closing.outcome}" for closing in one.closings),
                "promoted_version": one.promotions[-1].version if one.promotions else None,
                "incidents": " ".join(i.opened.cause for i in history.incidents if i.opened.as_of == one.batch),
            }
        )
    table = pd.DataFrame(rows)
    whole = [name for name in ("version", "promoted_version") if name in table]
    return table.astype(dict.fromkeys(whole, "Int64"))


def _losses(config: ModelConfig, stores: Stores, span: list[str], known_by: str) -> dict[str, np.ndarray]:
    """Losses of the predictions that were made, by batch scored."""
    if config.labels is None or not span:
        return {}
    # What was predicted counts, whatever of its rows the schema of today could still read.
    schema = replace(config.data_schema, columns=config.data_schema.key_columns)
    labelled = match_labels(schema, stores, span[0], known_by).rows
    losses = {}
    for batch in span:
        claim = stores.ledger.last(ClaimRecord, batch)
        if claim is None or claim.version is None:
            continue
        try:
            scored = read_losses(schema, METRICS[config.gate.metric], stores, [claim], labelled)
        except NotReady:
            continue
        if len(scored):
            losses[batch] = scored["loss"].to_numpy()
    return losses


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
    causes: list[Cause] = [newest.opened.cause for newest in newest_incidents(ledger)]
    for cause in causes:
        for opened in ledger.all(IncidentRecord, cause):
            if span and span[0] <= opened.as_of <= span[-1]:
                seen = ledger.last(SightingRecord, opened.id)
                found.append(Incident(opened, seen, ledger.get(ResolutionRecord, opened.id)))
    return sorted(found, key=lambda incident: (incident.opened.as_of, incident.opened.cause))
