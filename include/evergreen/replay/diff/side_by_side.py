"""Two states of one model folder over the same files, in two processes at once."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime

from evergreen.config.contract import ModelConfig
from evergreen.config.fields import ColumnType
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import NotComparable
from evergreen.replay.diff.comparison import Comparison, Side, compare_replays, key_of
from evergreen.replay.measured_history import as_table
from evergreen.replay.report import write_report
from evergreen.replay.runner import try_replay
from evergreen.sources.intake import last_arrived
from evergreen.storage.columns import kinds_of, lacking

# By default a span holds so many windows: one to begin with, and some to go on in.
_WINDOWS = 4


def choose_span(
    model: ModelFolder, at: Locations, first: str | None, last: str | None, now: datetime
) -> tuple[str, str]:
    """The batches to replay: up to the last one with files, four times the (recent) window long.

    :param first: the first one, if it is said.
    :param last: the last one, if it is said.
    :param now: where rows are queried, the moment up to which batches have ended.
    :raises NotComparable: if the last comes before the first.
    """
    config, calendar = model.config, model.config.calendar
    last = last or last_arrived(model, at, now)
    recent = max((window for window in config.windows if window != "all"), default=calendar.index(last) + 1)
    length = _WINDOWS * recent
    first = first or calendar.name(max(0, calendar.index(last) - length + 1))
    if calendar.index(first) > calendar.index(last):
        raise NotComparable(f"model {model.id}: --from {first} comes after the last batch, {last}")
    return first, last


def require_comparable(base: ModelFolder, change: ModelFolder) -> None:
    """Refuse two folders whose predictions are not of the same rows and the same target.

    :raises NotComparable: saying what differs.
    """
    old, new = base.config, change.config
    problem = None
    if new.labels is None or old.labels is None:
        problem = "labels: none leaves nothing to judge by"
    elif lacking(new.labels.target, kinds_of(old.labels.target)):
        problem = f"the target is {_names(new.labels.target)} and was {_names(old.labels.target)}"
    elif old.model.task != new.model.task:
        problem = f"model.task is {new.model.task} and was {old.model.task}"
    elif len(old.rows.key) != len(new.rows.key) or lacking(key_of(new), kinds_of(key_of(old))):
        problem = f"rows.key is {_names(key_of(new))} and was {_names(key_of(old))}"
    elif _beat(old) != _beat(new):
        problem = f"batches are by {' '.join(_beat(new))} and were by {' '.join(_beat(old))}"
    if problem is not None:
        raise NotComparable(f"model {change.id}: {problem}; a replay cannot compare the two, a person has to")


def replay_side_by_side(
    base: Side,
    change: Side,
    span: tuple[str, str],
    set_up: Callable[[], None],
    after_each: Callable[[str], None] | None = None,
) -> Comparison:
    """Replay both, write a report and a table of each, and compare them.

    The base runs in a process of its own, spawned: the stores do not survive a fork.

    :param span: the first and the last batch.
    :param set_up: called in that process before it begins, such as for its log.
    :param after_each: called with each batch that the change has done.
    :raises NotComparable: if one of them does not come to the end.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=set_up) as pool:
        running = pool.submit(try_replay, base.model, base.at, *span)
        failures = {change.name: try_replay(change.model, change.at, *span, after_each), base.name: running.result()}
    problems = [
        f"model {change.model.id}, {name}: its replay ended early: {why}" for name, why in failures.items() if why
    ]
    if problems:
        raise NotComparable("\n".join(problems))
    comparison = compare_replays(base, change, *span)
    for history, side in ((comparison.base, base), (comparison.change, change)):
        write_report(history, side.report)
        as_table(history).to_csv(side.report.with_suffix(".csv"), index=False)
    return comparison


def _names(columns: dict[str, ColumnType]) -> str:
    return ", ".join(f"{name} ({column.type})" for name, column in columns.items())


def _beat(config: ModelConfig) -> tuple[str, ...]:
    """By what batches are told apart: their length, and of weeks the day on which they begin."""
    schedule = config.schedule
    return (schedule.every, f"from {schedule.start:%A}") if schedule.every == "week" else (schedule.every,)
