"""What the list of models shows: the state of each, read from its records."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from evergreen.config.locations import Locations
from evergreen.config.model_folder import BrokenFolder, ModelFolder
from evergreen.errors import EvergreenError
from evergreen.incidents import HEADINGS
from evergreen.replay.model_state import ModelState, read_state
from evergreen.replay.view_state import ViewState, list_views
from evergreen.steps.report_outages import common_of
from evergreen.storage.stores import Stores, stores_of

# Models whose records are read at once.
_ASKING = 8
# After that the watch does not watch any more.
_WATCHED = timedelta(hours=2)
# Width and height of the small time line, in pixels.
_LINE = (120, 28)


class ModelRow(NamedTuple):
    """One model in the list: its state, or why there is none."""

    model: str
    title: str
    state: ModelState | None
    problem: str = ""

    @property
    def needs_a_person(self) -> bool:
        """Whether a person should look at it."""
        return self.state is None or bool(self.state.needs)

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


def list_common(rows: Iterable[ModelRow]) -> dict[str, list[str]]:
    """What the open incidents of several models have in common, in words, with the models; the most first."""
    found: dict[str, list[str]] = {}
    for row in rows:
        incidents = row.state.incidents if row.state is not None else ()
        for place, cause in {common for one in incidents for common in common_of(one)}:
            found.setdefault(f"{place}: {HEADINGS[cause]}", []).append(row.model)
    return dict(sorted(found.items(), key=lambda one: (-len(one[1]), one[0])))


def list_readable_views(models: Mapping[str, ModelFolder | BrokenFolder]) -> list[ViewState]:
    """The state of each version of a view whose source is among the models, what is wrong first."""
    states = [one for one in list_views(Locations.from_environment(), models) if one.view.source in models]
    return sorted(states, key=lambda one: not one.trouble)


def _what_needs_a_person_first(row: ModelRow) -> tuple[bool, tuple[int, int, str]]:
    return row.state is not None, row.state.urgency if row.state is not None else (0, 0, row.model)


def _tell_row(name: str, folder: ModelFolder | BrokenFolder) -> ModelRow:
    if isinstance(folder, BrokenFolder):
        return ModelRow(name, name, None, str(folder.error))
    try:
        return ModelRow(name, folder.config.title, read_state(folder, open_records(folder).ledger))
    except EvergreenError as error:
        return ModelRow(name, folder.config.title, None, str(error))


def tell_moment(moment: datetime | None) -> str:
    """A moment to the minute, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M") if moment is not None else "none"


def list_ages(
    rows: Iterable[ModelRow], models: Mapping[str, ModelFolder | BrokenFolder], now: datetime
) -> dict[str, str]:
    """How long ago the newest batch of each model ended, which shows that a loop stands still though all is well."""
    return {
        row.model: tell_age(folder.config.calendar.end(row.state.batch), now)
        for row in rows
        if row.state is not None and row.state.batch and isinstance(folder := models[row.model], ModelFolder)
    }


def tell_age(moment: datetime, now: datetime) -> str:
    """How long ago a moment is, in the unit that tells it."""
    minutes = max(0, int((now - moment).total_seconds()) // 60)
    if minutes < 120:
        return f"{minutes} min ago"
    return f"{minutes // 60} h ago" if minutes < 48 * 60 else f"{minutes // 1440} days ago"


def tell_watch(paused: bool, seen: datetime | None, now: datetime) -> str:
    """What is wrong with the watch, on which all retrainings hang and which tells of models that stand still.

    :param paused: whether its DAG is.
    :param seen: when a run of it last succeeded; before the first has, when it was queued.
    :returns: empty if nothing is: each run ends within an hour.
    """
    if paused:
        return "is paused. Unpause it"
    if seen is not None and now - seen > _WATCHED:
        last = tell_age(seen, now)
        return f"has not ended a run since {tell_moment(seen)} UTC, {last}. Look whether scheduler and triggerer run"
    return ""


def open_records(folder: ModelFolder) -> Stores:
    """The stores of a model, of which no more than records and tables is read."""
    return stores_of(folder, Locations.from_environment())
