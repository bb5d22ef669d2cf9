"""Report what several models have in common as one incident, which counts and names them."""

import hashlib
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import get_args

from evergreen.config.locations import Locations
from evergreen.errors import EvergreenError
from evergreen.incidents import FAILED, STALE, Incident, last_incident, report, resolve
from evergreen.records import Cause, Shared, SnoozeRecord, Words
from evergreen.storage.ledger import Ledger
from evergreen.storage.stores import models_on_record, open_stores

# Of what the place is on record: what did not answer, or those who are hit at the same moment.
_COMMON: tuple[Cause, ...] = (*FAILED, *STALE.values(), "broken", "late")
# Who is hit so long after the last one is news, and no longer the same moment.
_APART = timedelta(hours=3)
# Of so many at once it is told in one message: they hardly have each a cause of its own.
MANY = 3
_MOMENT = "%Y-%m-%dT%H:%M:%S"
# What several models have in common: where, and what it is.
Common = tuple[str, Cause | Shared]


def outage_id(common: Common) -> str:
    """Under what incidents of several models are on record; no model folder can be called so."""
    place, cause = common
    named = place if cause == "outage" else f"{cause} {place}"
    return f"@outage-{hashlib.sha256(named.encode()).hexdigest()[:12]}"


def report_outages(
    model_id: str, at: Locations, now: datetime, causes: Collection[Cause] = get_args(Cause)
) -> tuple[Common, ...]:
    """Put a model's incidents under what it has in common with others; close that once no model waits for it.

    It is quiet for as long as each of these incidents is. Called again it changes nothing. Models may do so at the same
    moment.

    :param now: the moment, in UTC.
    :param causes: of which incidents.
    :returns: what they have in common, of which somebody may have to be told.
    """
    found = places_of(model_id, at, causes)
    for common in found:
        (place, cause), shared = common, open_stores(at, outage_id(common)).ledger
        last, moment, before = last_incident(shared, cause), now.strftime(_MOMENT), (now - _APART).strftime(_MOMENT)
        waits = next(iter(_waiting(at, common, model_id)), None)
        if waits is not None and _is_news(model_id, waits, last):
            report(shared, cause, moment, _word(common, waits, last), again=True, lost=model_id, before=before)
        elif last is not None and last.resolved is None:
            text = f"{place}: none of these {len(last.lost)} waits for it any more: {', '.join(last.lost)}."
            resolve(shared, cause, max(moment, last.newest), text, partial(_is_over, at, common))
        _follow_snoozes(at, common, shared, now)
    return found


def places_of(model_id: str, at: Locations, causes: Collection[Cause] = get_args(Cause)) -> tuple[Common, ...]:
    """What a model's incidents have in common with those of others."""
    found = [one for one in _newest(at, model_id) if one.opened.cause in causes]
    return tuple(dict.fromkeys(common for one in found for common in common_of(one)))


def common_of(incident: Incident) -> tuple[Common, ...]:
    """What an incident may have in common with those of other models."""
    cause = "outage" if incident.opened.cause in FAILED else incident.opened.cause
    return tuple((place, cause) for place in incident.places)


def is_hit(at: Locations, common: Common) -> bool:
    """Whether an incident of several models is open."""
    last = last_incident(open_stores(at, outage_id(common)).ledger, common[1])
    return last is not None and last.resolved is None


def place_of_many(model_id: str, at: Locations, cause: Cause, now: datetime) -> str:
    """Where a model's trouble is, if so many have had the same by now that it has one cause; else nothing.

    :param now: the moment, in UTC.
    """
    place, hit = all_models(at), 1
    if is_hit(at, (place, cause)):
        return place
    for other in models_on_record(at) - {model_id}:
        # What cannot be read is told of that model.
        with suppress(EvergreenError):
            last = last_incident(open_stores(at, other).ledger, cause)
            if last is not None and last.resolved is None:
                written = datetime.fromisoformat(str((last.seen or last.opened).meta["written_at"]))
                hit += now - written < _APART
    return place if hit >= MANY else ""


def all_models(at: Locations) -> str:
    """The place of what many models of a deployment have in common, and no service or store."""
    return f"Models of {at.env}"


def _is_news(model_id: str, waits: Incident, last: Incident | None) -> bool:
    """Whether a model is hit for the first time, or anew: it was over for this one, while others still waited."""
    if last is None or last.resolved is not None or model_id not in last.lost:
        return True
    return str(waits.opened.meta.get("written_at", ""))[: len(last.newest)] > last.newest


def _word(common: Common, waits: Incident, last: Incident | None) -> Words:
    place, cause = common
    first = f" First seen: {waits.opened.text}" if last is None or last.resolved is not None else ""
    if cause == "outage":
        return Words(
            f"{place} does not answer.{first}",
            "The tasks were retried, then failed; what was done before stands. Models that do not need it go on.",
            "Bring it back, then clear the failed tasks of these models; nothing is done twice.",
        )
    what, look = {
        "late": (
            "batches of several are past their time, and nobody works on them.",
            "Look whether Airflow's scheduler, triggerer and workers run; then at each model's page.",
        ),
        "broken": (
            "several folders are refused at once.",
            "`evergreen status MODEL` and the list of models tell what each lacks; mend that.",
        ),
    }.get(cause, ("the files of several never came.", "Look whether what delivers them runs."))
    return Words(f"{place}: {what}{first}", waits.opened.done, look)


def _follow_snoozes(at: Locations, common: Common, shared: Ledger, now: datetime) -> None:
    """Be quiet until the first of its models is to be told of again, or until another is hit that is not quiet."""
    last, today = last_incident(shared, common[1]), now.date().isoformat()
    if last is None or last.resolved is not None:
        return
    quiet = [one.snoozed for model_id in last.lost for one in _waiting(at, common, model_id)]
    first = min((one for one in quiet if one is not None), key=lambda one: one.until, default=None)
    until = first.until if first is not None and all(quiet) else today
    stands = last.snoozed.until if last.snoozed is not None else today
    if max(until, today) != max(stands, today):
        by, why = (first.by, first.why) if first is not None and until > today else ("evergreen", "others are hit, too")
        n = last.snoozed.n + 1 if last.snoozed is not None else 0
        shared.put(SnoozeRecord(as_of=last.newest, incident=last.opened.id, n=n, until=until, by=by, why=why))


def _waiting(at: Locations, common: Common, model_id: str) -> list[Incident]:
    """A model's open incidents that have it in common."""
    return [one for one in _newest(at, model_id) if one.resolved is None and common in common_of(one)]


def _is_over(at: Locations, common: Common, model_id: str) -> bool:
    return not _waiting(at, common, model_id)


def _newest(at: Locations, model_id: str) -> list[Incident]:
    ledger = open_stores(at, model_id).ledger
    return [one for cause in _COMMON if (one := last_incident(ledger, cause)) is not None]
