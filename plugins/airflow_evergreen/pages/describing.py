"""What the pages of a model show: plain values, read from records, tables and MLflow."""

import csv
import functools
import io
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from airflow_evergreen.hooks.tracking import MlflowHook
from airflow_evergreen.pages.listing import open_records, tell_age
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import Refused
from evergreen.features.explanation import EXPLANATION, Explanation
from evergreen.foreign_text import for_chart
from evergreen.incidents import HEADINGS
from evergreen.judging.promotions import require_promoted
from evergreen.records import (
    AttemptRecord,
    BatchRecord,
    ClaimRecord,
    ClosingRecord,
    Feed,
    PromotionRecord,
    RescoreRecord,
    VerdictRecord,
    WishRecord,
)
from evergreen.replay.batch_profile import profile_batch
from evergreen.replay.compare_versions import compare_versions, diff_code, lay_side_by_side
from evergreen.replay.history import read_history
from evergreen.replay.model_state import read_state
from evergreen.replay.outcome import tell_batch, tell_check, tell_when
from evergreen.replay.report import TEMPLATES, lay_out
from evergreen.replay.status import describe_arms
from evergreen.replay.trace import trace_prediction
from evergreen.steps.send_alerts import runbook_of
from evergreen.storage.stores import Stores, stores_of
from evergreen.storage.version_evidence import read_packed_file

# What a spreadsheet would take for a formula at the beginning of a cell.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
# Versions that a model's page lists.
_VERSIONS = 50


def describe_model(folder: ModelFolder, last: str | None, batches: int) -> dict[str, Any]:
    """What the page of a model shows.

    :param last: the newest batch to show; by default the newest there is.
    :param batches: how many.
    :raises Refused: if no batch is called so.
    """
    stores, calendar = open_records(folder), folder.config.calendar
    if last:
        _require_batch(folder, last)
    state = read_state(folder, stores.ledger)
    newest = state.batch or calendar.name(0)
    end = min(calendar.index(last) if last else calendar.index(newest), calendar.index(newest))
    first = max(0, end - batches + 1)
    history = read_history(folder, stores.ledger, calendar.name(first), calendar.name(max(end, first)))
    promotions = list(stores.ledger.all(PromotionRecord, "champion"))[::-1]
    return {
        "model": folder.id,
        "config": folder.config,
        "state": state,
        "headings": HEADINGS,
        "versions": [(one, stores.ledger.get(AttemptRecord, one.attempt)) for one in promotions[:_VERSIONS]],
        "more_versions": max(0, len(promotions) - _VERSIONS),
        "mlflow": MlflowHook().page(_locate(), f"#/models/{stores.at.env}.{folder.id}/versions"),
        "runbook": runbook_of(folder),
        "online": list(describe_arms(folder, _locate())) if folder.config.serving.experiments else [],
        "explained": state.promotion is not None and EXPLANATION in state.promotion.hashes,
        "earlier": calendar.name(first - 1) if first > 0 else None,
        "newest": newest,
        "age": tell_age(calendar.end(state.batch), datetime.now(UTC)) if state.batch else "",
        "shown": batches,
        "is_newest": end == calendar.index(newest),
        **lay_out(history),
    }


def describe_explanation(folder: ModelFolder, version: int) -> dict[str, Any]:
    """What a promoted version goes by, as it was measured when it was made, for the script that draws it.

    :raises Refused: if there is no such version, or it has none.
    """
    stores = stores_of(folder, _locate())
    promotion = require_promoted(stores, version)
    if EXPLANATION not in promotion.hashes:
        raise Refused(f"Nothing was measured of version {version}: it is the baseline, or an earlier release made it.")
    told = Explanation.model_validate_json(read_packed_file(stores, promotion, EXPLANATION))
    features = [
        one.model_dump(include={"importance", "spread", "shares", "dependence"})
        | {"name": for_chart(name), "values": [for_chart(v) if isinstance(v, str) else v for v in one.values]}
        for name, one in told.features.items()
    ]
    return {"metric": told.metric, "value": told.value, "features": features, "trouble": told.trouble}


def describe_versions(folder: ModelFolder, chosen: list[int]) -> dict[str, Any]:
    """What the page of versions shows: some of them side by side.

    :param chosen: those to compare; by default the champion and the one that it replaced.
    """
    stores, metric = stores_of(folder, _locate()), folder.config.gate.metric
    promotions = list(stores.ledger.all(PromotionRecord, "champion"))
    judged = [one.version for one in promotions if one.refreshes is None]
    newest = [promotions[-1].version] if promotions else []
    compared = compare_versions(folder, stores, promotions, chosen or newest + judged[-2:])
    return {
        "model": folder.id,
        "config": folder.config,
        "promotions": promotions[::-1][:_VERSIONS],
        "compared": compared,
        "groups": lay_side_by_side(compared, metric),
        "diffs": [(pair, list(diff_code(*pair))) for pair in pairwise(compared)],
    }


def describe_data(folder: ModelFolder, batch: str | None) -> dict[str, Any]:
    """What the page of a batch's data shows.

    :param batch: the batch; by default the newest.
    :raises Refused: if no batch is called so.
    """
    stores, calendar = stores_of(folder, _locate()), folder.config.calendar
    newest = stores.ledger.last_batch(ClaimRecord, calendar) or calendar.name(0)
    if batch:
        _require_batch(folder, batch)
    shown = batch or newest
    return {
        "model": folder.id,
        "config": folder.config,
        "batch": shown,
        "earlier": calendar.shift(shown, -1) if calendar.index(shown) > 0 else None,
        "later": calendar.shift(shown, 1) if shown < newest else None,
        "claim": stores.ledger.last(ClaimRecord, shown),
        "profile": profile_batch(folder, stores, shown),
    }


def describe_trace(folder: ModelFolder, batch: str, key: tuple[str, ...]) -> dict[str, Any]:
    """What the page of a trace shows; before a key was asked for, the form alone."""
    sections = trace_prediction(folder, _locate(), batch, key) if key else {}
    return {"model": folder.id, "config": folder.config, "batch": batch, "key": key, "sections": sections}


def describe_run(folder: ModelFolder, batch: str | None, verdict: str | None, run_id: str) -> dict[str, Any]:
    """What the page of a run shows: its batch, or the attempt that it made.

    :param batch: that the run was for; None where it was for none.
    :param verdict: that the run answers, where the watch has started it.
    :param run_id: by which a person's wish to retrain is found.
    """
    stores = open_records(folder)
    wish = stores.ledger.get(WishRecord, run_id) if verdict is None else None
    asked = verdict or (wish.verdict if wish is not None else None)
    attempt = stores.ledger.get(AttemptRecord, asked) if asked else None
    closing = stores.ledger.get(ClosingRecord, asked) if asked else None
    batch = None if asked else batch
    found: dict[Feed, BatchRecord | None] = {"rows": None, "labels": None}
    if batch is not None:
        found = {feed: stores.ledger.last(BatchRecord, f"{feed}.{batch}") for feed in found}
    return {
        "model": folder.id,
        "config": folder.config,
        "batch": batch,
        "when": tell_when(folder, batch) if batch else None,
        "told": _tell_run(folder, stores, batch) if batch else [],
        "sealed": {feed: record for feed, record in found.items() if record is not None},
        "claim": stores.ledger.last(ClaimRecord, batch) if batch else None,
        "rescored": [
            one for one in stores.ledger.all(RescoreRecord, "batches") if batch == one.batch or run_id == one.wish
        ],
        "verdict": stores.ledger.get(VerdictRecord, batch) if batch else None,
        "asked": asked,
        "attempt": attempt,
        "closing": closing,
    }


def _tell_run(folder: ModelFolder, stores: Stores, batch: str) -> list[str]:
    """What its notes say of a batch, which a heading names."""
    told, named = (tell_batch(folder, stores, batch), tell_check(folder, stores, batch)), tell_when(folder, batch)
    return [text.removeprefix(f"{named}: ") for text in told if text]


def read_drift_page(folder: ModelFolder, batch: str) -> str | None:
    """Evidently's page of a check, if one was drawn."""
    _require_batch(folder, batch)
    return open_records(folder).lake.get_report(f"drift-{batch}.html")


def read_quarantine(folder: ModelFolder, feed: Feed, batch: str) -> str:
    """The rows of a batch in quarantine as CSV; what a spreadsheet would run as a formula begins with an apostrophe."""
    _require_batch(folder, batch)
    stores = open_records(folder)
    record = stores.ledger.last(BatchRecord, f"{feed}.{batch}")
    rows = stores.lake.read_any(f"quarantine_{feed}", batch, record.revision if record else 0)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(rows.column_names)
    for row in rows.to_pylist():
        writer.writerow(
            f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value for value in row.values()
        )
    return text.getvalue()


@functools.cache
def plotly_js() -> str:
    """The library that draws, as its package brings it."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


@functools.cache
def chart_js() -> str:
    """The script of the chart, which the report has inside."""
    return (TEMPLATES / "chart.js").read_text(encoding="utf-8")


def _locate() -> Locations:
    """Where state is kept, with MLflow by its Airflow connection if there is one."""
    return MlflowHook().locate(Locations.from_environment())


def _require_batch(folder: ModelFolder, batch: str) -> None:
    """A name from an address goes into no path before it is known for a batch's.

    :raises Refused: if no batch is called so.
    """
    try:
        folder.config.calendar.moment(batch)
    except ValueError as error:
        raise Refused(f"model {folder.id}: {error}") from error
