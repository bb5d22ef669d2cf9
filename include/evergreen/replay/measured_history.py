"""What happened over a span of batches, with the error of each batch on all labels known by the end."""

from dataclasses import replace

import numpy as np
import pandas as pd

from evergreen.config.contract import ModelConfig
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import NotReady
from evergreen.features.labelled import match_labels
from evergreen.judging.champion import read_losses
from evergreen.losses import METRICS
from evergreen.records import BatchRecord, ClaimRecord
from evergreen.replay.history import History, LiveError, read_history
from evergreen.storage.stores import Stores, stores_of


def collect_history(model: ModelFolder, at: Locations, first: str, last: str, known_by: str | None = None) -> History:
    """Read back what happened from one batch to another; batches that are not sealed yet are left out.

    :param known_by: labels that became known up to this batch count; by default up to ``last``.
    """
    config, metric = model.config, METRICS[model.config.gate.metric]
    stores = stores_of(model, at)
    span = [b for b in config.calendar.between(first, last) if stores.ledger.get(BatchRecord, f"rows.{b}") is not None]
    losses = _losses(config, stores, span, known_by or last)
    live = {batch: LiveError(metric.of(own), len(own)) for batch, own in losses.items()}
    every = np.concatenate(list(losses.values())) if losses else np.array([])
    history = read_history(model, stores.ledger, first, last, live)
    return replace(history, overall=metric.of(every) if len(every) else None)


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
