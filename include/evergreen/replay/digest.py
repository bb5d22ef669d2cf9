"""The digest: once a day, how each model does."""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta

from evergreen.config.locations import Locations, digest_time
from evergreen.config.model_folder import BrokenFolder, ModelFolder
from evergreen.errors import EvergreenError
from evergreen.incidents import announce, last_incident
from evergreen.records import ClaimRecord, PromotionRecord, Record, Words
from evergreen.replay.model_state import ModelState, read_state
from evergreen.storage.ledger import Ledger
from evergreen.storage.stores import open_stores

# Under what digests are on record; no model folder can be called so.
DIGEST = "@digest"
# Batches of a day that are counted: of minutes there are more.
_COUNTED = 100
Folder = ModelFolder | BrokenFolder


def is_digest_due(at: Locations, now: datetime) -> bool:
    """Whether today's digest is wanted by now and not on record.

    :param now: the moment, in UTC.
    """
    wanted, last = digest_time(), last_incident(open_stores(at, DIGEST).ledger, "digest")
    if wanted is None or now.time() < wanted:
        return False
    return last is None or last.opened.as_of < now.date().isoformat()


def announce_digest(folders: Iterable[Folder], at: Locations, now: datetime) -> None:
    """Put today's digest on record if it is due; whoever comes second changes nothing."""
    if is_digest_due(at, now):
        text = "\n".join(describe_day(folders, at, now.date()))
        announce(open_stores(at, DIGEST).ledger, "digest", now.date().isoformat(), Words(text))


def describe_day(folders: Iterable[Folder], at: Locations, today: date) -> Iterator[str]:
    """Tell of the day before ``today`` in a line that counts and one a model, what needs a person first."""
    told = sorted(_tell_model(folder, at, today) for folder in folders)
    needy = sum(1 for urgency, _ in told if urgency[:2] < (0, 0))
    day, models = today - timedelta(days=1), "1 model" if len(told) == 1 else f"{len(told)} models"
    yield f"{models}, {needy or 'none'} with something open, on {day} (UTC):"
    yield from (line for _, line in told)


def _tell_model(folder: Folder, at: Locations, today: date) -> tuple[tuple[int, int, str], str]:
    if isinstance(folder, BrokenFolder):
        return (-9, 0, folder.id), f"• {folder.id}: the folder does not load"
    ledger = open_stores(at, folder.id).ledger
    try:
        state = read_state(folder, ledger)
        return state.urgency, f"• {folder.id}: {', '.join(_tell_state(folder, state, ledger, today))}"
    except EvergreenError as error:
        return (-9, 0, folder.id), f"• {folder.id}: {' '.join(str(error).split())[:200]}"


def _tell_state(model: ModelFolder, state: ModelState, ledger: Ledger, today: date) -> Iterator[str]:
    if state.promotion is None:
        yield "nobody serves yet"
    else:
        yield f"version {state.promotion.version} since {state.promotion.effective_from}"
    if state.error is not None:
        first = f" ({state.error_at_first:.4g} on its first labels)" if state.error_at_first is not None else ""
        yield f"{state.metric} {state.error:.4g}{first}"
    claims = list(_claims(model, state, ledger, today))
    scored = sum(1 for one in claims if one.version is not None)
    more = " or more" if len(claims) == _COUNTED else ""
    yield f"{scored} of {len(claims)}{more} batches scored" if claims else "no batch was scored"
    promoted = [str(one.version) for one in _promotions(state, ledger, today)]
    if promoted:
        yield f"promoted: version {', '.join(reversed(promoted))}"
    yield f"open: {', '.join(state.needs)}" if state.needs else "nothing open"


def _claims(model: ModelFolder, state: ModelState, ledger: Ledger, today: date) -> Iterator[ClaimRecord]:
    """Claims of the day before, newest first."""
    calendar = model.config.calendar
    last = calendar.index(state.batch) if state.batch is not None else -1
    for index in range(last, max(last - _COUNTED, -1), -1):
        claim = ledger.last(ClaimRecord, calendar.name(index))
        if claim is None or _day_of(claim) < today - timedelta(days=1):
            return
        if _day_of(claim) < today:
            yield claim


def _promotions(state: ModelState, ledger: Ledger, today: date) -> Iterator[PromotionRecord]:
    """Promotions of the day before, newest first."""
    for n in range(state.promotion.number - 1 if state.promotion is not None else -1, -1, -1):
        promotion = ledger.require(PromotionRecord, "champion", n)
        if _day_of(promotion) < today - timedelta(days=1):
            return
        if _day_of(promotion) < today:
            yield promotion


def _day_of(record: Record) -> date:
    written = record.meta.get("written_at")
    return datetime.fromisoformat(written).astimezone(UTC).date() if written else date.min
