"""Compute the feature views that a model reads."""

from collections.abc import Mapping

from evergreen.batches import tell_duration
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.config.view_folder import ViewFolder
from evergreen.errors import ConfigInvalid, NotReady
from evergreen.features.online import write_online
from evergreen.features.view_values import advance_view, calendar_of, last_ended, newest_moment, view_stores
from evergreen.features.views import require_key
from evergreen.incidents import report, resolve
from evergreen.records import ViewRecord, Words
from evergreen.storage.columns import kinds_of
from evergreen.storage.stores import Stores, stores_of

# What people call the parts of a definition that they can change.
_PARTS = {
    **{name: name for name in ("source", "lookback", "key", "event_time", "columns", "ttl")},
    "needed": "reads, or the types of the source's columns",
    "code": "view.py",
}


def compute_views(
    model: ModelFolder, at: Locations, batch: str, folders: Mapping[str, ViewFolder]
) -> dict[str, str | None]:
    """Compute each view that config.yaml declares, by the batches of its source that have ended with this one.

    The newest values are written to the online store, if there is one. A view of which the next batch finds nothing
    young enough is told of.

    What had ended before this batch is needed to score it. A view that is new is computed for all the past, each batch
    as known at it.

    :param folders: of the views, by name, as ``load_views`` finds them.
    :returns: by view, the last batch that it is computed for; None where none has ended yet.
    :raises NotReady: if its source is not sealed as far as the batch needs it.
    :raises Outage: if the online store does not answer; the values are in the lake by then.
    :raises ConfigInvalid: if there is no such version, or it is not any more what was computed under its number.
    """
    stores, calendar = stores_of(model, at), model.config.calendar
    computed: dict[str, str | None] = {}
    old = list[ViewRecord]()
    for name, version in model.config.features.views.items():
        view = _require_version(model, stores, name, version, folders.get(name))
        require_key(view, model.config.data_schema)
        last = last_ended(view, calendar.moment(batch))
        advance_view(view, stores, last)
        try:
            advance_view(view, stores, last := last_ended(view, calendar.end(batch)))
        except NotReady:
            # Another model's rows, which the next batch needs; this one is scored without.
            last = last_ended(view, calendar.moment(batch))
        write_online(view, stores, last)
        known = calendar_of(view).name(last) if last >= 0 else None
        computed[f"{name}.v{version}"] = known
        newest = newest_moment(view, stores, known) if known is not None else None
        if known is not None and (newest is None or newest < calendar.end(batch) - view.ttl):
            old.append(view)
    _tell_old(model, stores, batch, old)
    return computed


def _tell_old(model: ModelFolder, stores: Stores, batch: str, old: list[ViewRecord]) -> None:
    """Open, or close, the incident of views that have no value that is young enough."""
    if not old:
        text = f"{model.id}, batch {batch}: its feature views have values that are young enough"
        resolve(stores.ledger, "stale-views", batch, text)
        return
    each = "; ".join(
        f"{view.title} from {view.source}: no value is younger than {tell_duration(view.ttl)}" for view in old
    )
    sources = ", ".join(sorted({view.source for view in old}))
    words = Words(
        f"{model.id}: as batch {batch} ends, {each}.",
        "The next batch finds nulls in their place, and is scored with them.",
        f"Look whether rows of {sources} come and are sealed: `evergreen views`.",
    )
    report(stores.ledger, "stale-views", batch, words, before=model.config.calendar.shift(batch, -1))


def _require_version(
    model: ModelFolder, stores: Stores, name: str, version: int, folder: ViewFolder | None
) -> ViewRecord:
    """What a version is by its record, or by its folder where it was not computed yet."""
    ledger = view_stores(stores).ledger
    standing = ledger.get(ViewRecord, f"{name}.v{version}")
    if folder is None or folder.config.version != version:
        if standing is None:
            there = "no such view" if folder is None else f"version {folder.config.version}"
            found = f"features.views.{name}: found version {version}, which was never computed"
            where = f"{folder.path if folder else 'the folders that EVERGREEN_FEATURES names'} has {there}"
            raise ConfigInvalid(str(model.path / "config.yaml"), [f"{found}; {where}; valid: a version that is there"])
        return standing
    mine = _describe(folder)
    standing = standing or mine
    differing = [part for field, part in _PARTS.items() if getattr(standing, field) != getattr(mine, field)]
    if differing:
        problem = f"version: found {version}, which was computed with another {' and another '.join(differing)}"
        raise ConfigInvalid(
            str(folder.path / "view.yaml"), [f"{problem}; valid: version {version + 1}, or the files as they were"]
        )
    return standing


def _describe(folder: ViewFolder) -> ViewRecord:
    config, source = folder.config, folder.source
    calendar, declared = source.calendar, source.rows.columns
    return ViewRecord(
        as_of=calendar.name(0),
        view=folder.name,
        version=config.version,
        source=config.source,
        every=calendar.every,
        start=calendar.start,
        lookback=config.lookback,
        key=config.key,
        event_time=config.event_time,
        needed=kinds_of({name: declared[name] for name in config.needed}),
        columns=kinds_of(config.columns),
        ttl=config.ttl,
        time_limit=config.time_limit,
        code=folder.code,
    )
