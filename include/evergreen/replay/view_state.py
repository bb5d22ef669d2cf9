"""What a deployment has of feature views: each version's state, read from its records."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from evergreen.batches import tell_duration
from evergreen.config.locations import Locations
from evergreen.config.model_folder import BrokenFolder, ModelFolder
from evergreen.config.view_folder import ViewConfig, read_view
from evergreen.errors import ConfigInvalid, Outage
from evergreen.features.online import written_online
from evergreen.features.view_values import calendar_of, newest_moment
from evergreen.records import VIEWS, BatchRecord, ValuesRecord, ViewRecord
from evergreen.storage.stores import Stores, open_stores


@dataclass(frozen=True)
class ViewState:
    """One version of a view.

    :param owner: who answers for it; empty where the folder is gone, or has gone on to another version.
    :param readers: the models whose config.yaml declares it.
    :param sealed: the last batch of its source that is sealed.
    :param computed: the last batch that it is computed for.
    :param values: of that batch.
    :param newest: event time of its newest value that may still be used, in UTC.
    :param online: the last batch that the online store has; in words why that is not known.
    """

    view: ViewRecord
    owner: str
    readers: tuple[str, ...]
    sealed: str | None
    computed: str | None
    values: int
    newest: datetime | None
    online: str

    @property
    def age(self) -> timedelta | None:
        """How old the newest value is as the batch after the last sealed one begins."""
        if self.newest is None or self.sealed is None:
            return None
        return calendar_of(self.view).end(self.sealed) - self.newest

    @property
    def trouble(self) -> str:
        """Why the next batch finds nothing, or not all; empty where it does."""
        if self.sealed is not None and (self.computed is None or self.computed < self.sealed):
            behind = f"{self.view.source} is sealed up to {self.sealed}; let compute_views run"
            return f"behind: {behind}" if self.readers else "computed for nobody any more"
        if self.age is None or self.age > self.view.ttl:
            ttl = tell_duration(self.view.ttl)
            return f"stale: the next batch finds nothing but nulls, for no value is younger than {ttl}"
        return ""


def list_views(at: Locations, models: Mapping[str, ModelFolder | BrokenFolder]) -> list[ViewState]:
    """The state of each version of a view that was ever computed, by name and version.

    :param models: the folders of the deployment, for who reads what.
    """
    stores = open_stores(at, VIEWS)
    records = [stores.ledger.require(ViewRecord, one) for one in stores.ledger.ids(ViewRecord)]
    return [_read_state(view, stores, models) for view in sorted(records, key=lambda one: (one.view, one.version))]


def describe_views(at: Locations, models: Mapping[str, ModelFolder | BrokenFolder]) -> Iterator[str]:
    """Say of each version of a view whose it is, who reads it, and how new it is."""
    states = list_views(at, models)
    if not states:
        yield "no view was computed yet; a model declares one under features.views of its config.yaml"
    for state in states:
        view = state.view
        yield f"{view.title}: {', '.join(view.columns)} by {', '.join(view.key)}, from {view.source}"
        owner = f"owner {state.owner}" if state.owner else "its folder is gone, or has another version"
        yield f"  {owner}; read by {', '.join(state.readers) or 'no model that there is'}"
        ttl = tell_duration(view.ttl)
        age = f"{state.newest:%Y-%m-%d %H:%M} UTC, of which the next batch uses {ttl}" if state.newest else "none"
        yield f"  computed up to {state.computed or 'no batch'}, {state.values} values; the newest {age}"
        yield f"  online: {state.online}"
        if state.trouble:
            yield f"  {state.trouble}"


def _read_state(view: ViewRecord, stores: Stores, models: Mapping[str, ModelFolder | BrokenFolder]) -> ViewState:
    calendar, prefix = calendar_of(view), f"{view.view}.v{view.version}."
    computed = stores.ledger.last_batch(ValuesRecord, calendar, prefix)
    last = stores.ledger.get(ValuesRecord, prefix + computed) if computed is not None else None
    config = _find_config(view)
    whole = [folder for folder in models.values() if isinstance(folder, ModelFolder)]
    return ViewState(
        view=view,
        owner=config.owner if config is not None else "",
        readers=tuple(one.id for one in whole if one.config.features.views.get(view.view) == view.version),
        sealed=open_stores(stores.at, view.source).ledger.last_batch(BatchRecord, calendar, "rows."),
        computed=computed,
        values=last.values if last is not None else 0,
        newest=newest_moment(view, stores, computed) if computed is not None else None,
        online=_tell_online(view, stores),
    )


def _find_config(view: ViewRecord) -> ViewConfig | None:
    try:
        config = read_view(view.view)
    except ConfigInvalid:
        return None
    return config if config is not None and config.version == view.version else None


def _tell_online(view: ViewRecord, stores: Stores) -> str:
    if not stores.at.online:
        return "no store, EVERGREEN_ONLINE is empty"
    try:
        return f"up to {written_online(view, stores) or 'no batch'}"
    except Outage as error:
        return str(error)
