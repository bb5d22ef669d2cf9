"""What the pages show: plain values, read from records and tables."""

import csv
import functools
import io
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, NamedTuple

from evergreen.config.locations import Locations
from evergreen.config.model_folder import BrokenFolder, ModelFolder
from evergreen.errors import EvergreenError, Refused
from evergreen.records import (
    AttemptRecord,
    BatchRecord,
    ClaimRecord,
    ClosingRecord,
    Feed,
    PromotionRecord,
    VerdictRecord,
    WishRecord,
)
from evergreen.replay.history import read_history
from evergreen.replay.model_state import ModelState, read_state
from evergreen.replay.report import TEMPLATES, lay_out
from evergreen.storage.stores import Stores, stores_of

# What a spreadsheet would take for a formula at the beginning of a cell.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
# Models whose records are read at once.
_ASKING = 8
# Versions that a model's page lists.
_VERSIONS = 50
# Width and height of the small time line, in pixels.
_LINE = (120, 28)


class ModelRow(NamedTuple):
    """One model in the list: its state, or why there is none."""

    model: str
    title: str
    state: ModelState | None
    problem: str = ""

    @property
    def points(self) -> str:
        """The live error as the points of a line in SVG, from 0 up; empty with fewer than two batches."""
        errors = [error for _, error in self.state.errors] if self.state else []
        highest = max(errors, default=0.0)
        if len(errors) < 2 or not highest > 0:
            return ""
        width, height = _LINE
        step = (width - 4) / (len(errors) - 1)
        return " ".join(
            f"{2 + i * step:.1f},{height - 2 - (height - 4) * e / highest:.1f}" for i, e in enumerate(errors)
        )


def list_models(models: Mapping[str, ModelFolder | BrokenFolder]) -> list[ModelRow]:
    """The state of each model, what needs a person first; one that cannot be told harms no other."""
    # A lake on S3 answers in hundredths of a second, and each model asks it some dozens of times.
    with ThreadPoolExecutor(_ASKING) as asking:
        return sorted(asking.map(_tell_row, models, models.values()), key=_what_needs_a_person_first)


def _what_needs_a_person_first(row: ModelRow) -> tuple[bool, tuple[int, int, str]]:
    return row.state is not None, row.state.urgency if row.state is not None else (0, 0, row.model)


def _tell_row(name: str, folder: ModelFolder | BrokenFolder) -> ModelRow:
    if isinstance(folder, BrokenFolder):
        return ModelRow(name, name, None, str(folder.error))
    try:
        return ModelRow(name, folder.config.title, read_state(folder, _open(folder).ledger))
    except EvergreenError as error:
        return ModelRow(name, folder.config.title, None, str(error))


def describe_model(folder: ModelFolder, last: str | None, batches: int) -> dict[str, Any]:
    """What the page of a model shows.

    :param last: the newest batch to show; by default the newest there is.
    :param batches: how many.
    :raises Refused: if no batch is called so.
    """
    stores, calendar = _open(folder), folder.config.calendar
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
        "versions": [(one, stores.ledger.get(AttemptRecord, one.attempt)) for one in promotions[:_VERSIONS]],
        "more_versions": max(0, len(promotions) - _VERSIONS),
        "mlflow": _mlflow_models(folder.id),
        "earlier": calendar.name(first - 1) if first > 0 else None,
        "newest": newest,
        "shown": batches,
        "is_newest": end == calendar.index(newest),
        **lay_out(history),
    }


def describe_run(folder: ModelFolder, batch: str | None, verdict: str | None, run_id: str) -> dict[str, Any]:
    """What the page of a run shows: its batch, or the attempt that it made.

    :param batch: that the run was for; None where it was for none.
    :param verdict: that the run answers, where the watch has started it.
    :param run_id: by which a person's wish to retrain is found.
    """
    stores = _open(folder)
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
        "sealed": {feed: record for feed, record in found.items() if record is not None},
        "claim": stores.ledger.last(ClaimRecord, batch) if batch else None,
        "verdict": stores.ledger.get(VerdictRecord, batch) if batch else None,
        "asked": asked,
        "attempt": attempt,
        "closing": closing,
    }


def read_drift_page(folder: ModelFolder, batch: str) -> str | None:
    """Evidently's page of a check, if one was drawn."""
    _require_batch(folder, batch)
    return _open(folder).lake.get_report(f"drift-{batch}.html")


def read_quarantine(folder: ModelFolder, feed: Feed, batch: str) -> str:
    """The rows of a batch in quarantine as CSV; what a spreadsheet would run as a formula begins with an apostrophe."""
    _require_batch(folder, batch)
    stores = _open(folder)
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


def tell_moment(moment: datetime | None) -> str:
    """A moment to the minute, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M") if moment is not None else "none"


@functools.cache
def plotly_js() -> str:
    """The library that draws, as its package brings it."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


@functools.cache
def chart_js() -> str:
    """The script of the chart, which the report has inside."""
    return (TEMPLATES / "chart.js").read_text(encoding="utf-8")


def _open(folder: ModelFolder) -> Stores:
    return stores_of(folder, Locations.from_environment())


def _mlflow_models(model: str) -> str:
    """Where the model's versions stand in MLflow's pages; empty where MLflow is no server."""
    at = Locations.from_environment()
    return (
        f"{at.tracking_uri.rstrip('/')}/#/models/{at.env}.{model}/versions"
        if at.tracking_uri.startswith("http")
        else ""
    )


def _require_batch(folder: ModelFolder, batch: str) -> None:
    """A name from an address goes into no path before it is known for a batch's.

    :raises Refused: if no batch is called so.
    """
    try:
        folder.config.calendar.moment(batch)
    except ValueError as error:
        raise Refused(f"model {folder.id}: {error}") from error
