"""Report what several models wait for as one incident, which counts and names them."""

import hashlib
from datetime import datetime
from functools import partial

from evergreen.config.locations import Locations
from evergreen.incidents import FAILED, Incident, last_incident, report, resolve
from evergreen.records import Words
from evergreen.storage.stores import open_stores


def outage_id(place: str) -> str:
    """Under what the outages of a place are on record; no model folder can be called so."""
    return f"@outage-{hashlib.sha256(place.encode()).hexdigest()[:12]}"


def report_outages(model_id: str, at: Locations, now: datetime) -> tuple[str, ...]:
    """Put a model's failed tasks under the place that did not answer; close its outage once no model waits for it.

    Called again it changes nothing. Models may do so at the same moment.

    :param now: the moment, in UTC.
    :returns: the places, of which somebody may have to be told.
    """
    incidents, places = _failed(at, model_id), places_of(model_id, at)
    for place in places:
        shared, moment = open_stores(at, outage_id(place)).ledger, now.strftime("%Y-%m-%dT%H:%M:%S")
        waits = next((one for one in incidents if one.resolved is None and place in one.places), None)
        last = last_incident(shared, "outage")
        if waits is not None and (last is None or last.resolved is not None or model_id not in last.lost):
            report(shared, "outage", moment, _word(place, waits, last), again=True, lost=model_id)
        elif last is not None and last.resolved is None:
            text = f"{place}: no failed task of these {len(last.lost)} waits for it any more: {', '.join(last.lost)}."
            resolve(shared, "outage", max(moment, last.newest), text, partial(_is_over, at, place))
    return places


def places_of(model_id: str, at: Locations) -> tuple[str, ...]:
    """What did not answer a model's failed tasks."""
    return tuple(dict.fromkeys(place for one in _failed(at, model_id) for place in one.places))


def _word(place: str, waits: Incident, last: Incident | None) -> Words:
    is_first = last is None or last.resolved is not None
    return Words(
        f"{place} does not answer.{f' First seen: {waits.opened.text}' if is_first else ''}",
        "The tasks were retried, then failed; what was done before stands. Models that do not need it go on.",
        "Bring it back, then clear the failed tasks of these models; nothing is done twice.",
    )


def _is_over(at: Locations, place: str, model_id: str) -> bool:
    return all(one.resolved is not None for one in _failed(at, model_id) if place in one.places)


def _failed(at: Locations, model_id: str) -> list[Incident]:
    ledger = open_stores(at, model_id).ledger
    return [one for cause in FAILED if (one := last_incident(ledger, cause)) is not None]
