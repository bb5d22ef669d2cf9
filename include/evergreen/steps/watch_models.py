"""Watch over the model folders: one that does not load or is refused, and one whose batches nobody works on."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from evergreen.config.locations import Locations
from evergreen.config.model_folder import BrokenFolder, ModelFolder
from evergreen.errors import EvergreenError, IdentityChanged, RecordUnreadable
from evergreen.incidents import last_incident, report, resolve
from evergreen.judging.attempts import find_due_attempt, newest_verdict
from evergreen.records import Cause, ClaimRecord, Record, Words
from evergreen.sources.intake import source_of
from evergreen.steps.report_outages import MANY, all_models, is_hit
from evergreen.storage.ledger import Ledger
from evergreen.storage.stores import Stores, open_stores, stores_of

Folder = ModelFolder | BrokenFolder

WATCHED: tuple[Cause, ...] = ("broken", "late")
# How long a batch may be past its time while nothing is done for its model.
_STANDSTILL = timedelta(hours=1)
# Who waits for longer than that waits for ever.
_LONGEST = timedelta(days=3650)
_MISSING = "Its DAGs are missing until it loads; nothing of its state is touched."
_MEND = "Mend what it names; the model goes on where it was, within a minute or two."


@dataclass(frozen=True)
class Change:
    """What a folder's ledger does not say yet.

    :param as_of: the batch, or of a broken folder the moment.
    :param words: what happened, and what to do; of an incident that is over, by what.
    :param over: whether it is over.
    """

    cause: Cause
    as_of: str
    words: Words
    over: bool = False


def find_changes(folder: Folder, at: Locations, now: datetime) -> list[Change]:
    """What is to be reported of a folder by now. Nothing is written: who asks again before it is gets the same answer.

    :param now: the moment, in UTC.
    """
    stores, moment = open_stores(at, folder.id), now.strftime("%Y-%m-%dT%H:%M:%S")
    if isinstance(folder, BrokenFolder):
        words = Words(f"{folder.id}: the folder does not load: {folder.error}", _MISSING, _MEND)
        changes = [Change("broken", moment, words)]
    else:
        try:
            # Asked as the watch and each step ask: who they refuse stands still, and no run may say so.
            find_due_attempt(folder.config, stores_of(folder, at))
            words = Words(f"{folder.id}: the folder loads again, and its DAGs go on")
            changes = [Change("broken", moment, words, over=True), *_find_standstill(folder, stores, now)]
        except (IdentityChanged, RecordUnreadable) as error:
            done = "Every run is refused." if isinstance(error, IdentityChanged) else "What reads it stands still."
            changes = [Change("broken", moment, Words(f"{folder.id}: {error}", done, _MEND))]
    return [change for change in changes if _is_news(stores.ledger, change)]


def find_common(folders: Iterable[Folder], at: Locations, now: datetime) -> dict[Cause, str]:
    """What so many folders have to report by now that it has one cause: where, for ``report_changes``.

    A model that is late while many are is one of them.

    :param now: the moment, in UTC.
    """
    counts: Counter[Cause] = Counter()
    for folder in folders:
        # What cannot be read is told when it is reported.
        with suppress(EvergreenError, OSError):
            counts.update(change.cause for change in find_changes(folder, at, now) if not change.over)
    place = all_models(at)
    return {
        cause: place for cause, n in counts.items() if n >= MANY or (cause == "late" and is_hit(at, (place, cause)))
    }


def report_changes(
    folder: Folder, at: Locations, now: datetime, common: Mapping[Cause, str] = MappingProxyType({})
) -> bool:
    """Report what is to be reported of a folder by now.

    :param common: what ``find_common`` has found.
    :returns: whether somebody may have to be told: of what changed, or of what is open.
    """
    ledger, changes = open_stores(at, folder.id).ledger, find_changes(folder, at, now)
    for change in changes:
        if change.over:
            resolve(ledger, change.cause, change.as_of, change.words.told)
        else:
            place = common.get(change.cause, "")
            report(ledger, change.cause, change.as_of, change.words, again=True, place=place)
    return bool(changes) or any(_is_open(ledger, cause) for cause in WATCHED)


def _is_open(ledger: Ledger, cause: Cause) -> bool:
    last = last_incident(ledger, cause)
    return last is not None and last.resolved is None


def _is_news(ledger: Ledger, change: Change) -> bool:
    """Whether reporting a change would put a record."""
    last = last_incident(ledger, change.cause)
    if last is None or last.resolved is not None:
        return not change.over
    told = last.seen.text if last.seen else last.opened.text
    return change.as_of >= last.newest if change.over else change.as_of > last.newest and change.words.text != told


def _find_standstill(model: ModelFolder, stores: Stores, now: datetime) -> Iterator[Change]:
    """That a batch is past its time and nothing is done for it, or that none is.

    A model that is behind and catches up is neither.
    """
    claimed = stores.ledger.last_batch(ClaimRecord, model.config.calendar)
    checked = newest_verdict(model.config, stores)
    claim = stores.ledger.get(ClaimRecord, claimed) if claimed is not None else None
    came = datetime.fromtimestamp((model.path / "config.yaml").stat().st_ctime, UTC)
    steps: tuple[tuple[str, str, bool, Record | None], ...] = (
        ("scored", "batch", False, claim),
        ("checked", "drift", True, checked),
    )
    for done, kind, checks, newest in steps:
        expected = _find_expected(model, now, checks)
        if expected is None or (newest is not None and newest.as_of >= expected):
            continue
        # A folder that has come with a past is not late before a batch has fallen due here.
        due_here = newest is not None or expected != _find_expected(model, came, checks)
        if due_here and now - max(came, _written_at(newest) or came) >= _STANDSTILL:
            yield Change("late", newest.as_of if newest else expected, _tell_standstill(model, done, kind, newest))
        return
    if claim is not None:
        words = Words(f"{model.id}: batch {claim.as_of} is scored, and no batch is late")
        yield Change("late", claim.as_of, words, over=True)


def _tell_standstill(model: ModelFolder, done: str, kind: str, newest: Record | None) -> Words:
    since = f"none was {done} since {newest.as_of}" if newest is not None else f"none was {done} so far"
    return Words(
        f"{model.id}: batches are past their time, and {since}; for an hour nobody has worked on it.",
        "Nothing is lost: batches are caught up with by themselves.",
        f"Look whether {model.id}__{kind} is paused, waits or fails, and whether Airflow's scheduler, triggerer and "
        "workers run.",
    )


def _find_expected(model: ModelFolder, now: datetime, checks: bool) -> str | None:
    """The last batch that has to be scored or checked by now, if one has: its run began and its files were waited for.

    :param checks: asks for checks, which wait for labels and for the check before.
    """
    schedule, calendar = model.config.schedule, model.config.calendar
    sources = (source_of(model, "rows"), source_of(model, "labels") if checks else None)
    wait = max(source.wait for source in sources if source is not None)
    if wait > _LONGEST:
        return None
    due = now - _STANDSTILL * (2 if checks else 1)
    expected = min(schedule.last_ended(schedule.last_fire(due)), schedule.last_ended(due - wait))
    if schedule.end is not None:
        expected = min(expected, calendar.containing(schedule.end))
    index = calendar.index(expected)
    if checks:
        index -= (index + 1) % model.config.check.every
    return calendar.name(index) if index >= 0 else None


def _written_at(record: Record | None) -> datetime | None:
    written = record.meta.get("written_at") if record is not None else None
    return datetime.fromisoformat(written) if written else None
