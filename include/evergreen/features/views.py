"""What a batch reads of feature views: of each key the newest value that was known before the batch began."""

from collections.abc import Mapping
from datetime import datetime
from typing import cast

import numpy as np
import pandas as pd
import pyarrow as pa

from evergreen.batches import Calendar, Every
from evergreen.config.data_schema import DataSchema
from evergreen.errors import ModelIncompatible, NotReady
from evergreen.features.reading import key_objects
from evergreen.records import VIEWS, Partition, ValuesRecord, ViewRecord
from evergreen.storage.lake import to_frame
from evergreen.storage.stores import Stores, open_stores

_NUMBERS, _MOMENTS = ("float", "integer"), ("timestamp", "date")
Views = Mapping[str, int]


def get_view(stores: Stores, name: str, version: int) -> ViewRecord:
    """A version of a view, as it was first computed.

    :raises NotReady: if it never was.
    """
    view = view_stores(stores).ledger.get(ViewRecord, f"{name}.v{version}")
    if view is None:
        raise NotReady(
            f"view {name} version {version} was not computed yet; declare it under features.views of config.yaml, and "
            "let compute_views run"
        )
    return view


def view_stores(stores: Stores) -> Stores:
    """Where a deployment keeps its views."""
    return open_stores(stores.at, VIEWS)


def calendar_of(view: ViewRecord) -> Calendar:
    """The batches of a view's source."""
    return Calendar(cast("Every", view.every), view.start)


def last_ended(view: ViewRecord, moment: datetime) -> int:
    """Index of the last batch of a view's source that had ended at a moment; negative where none had."""
    return calendar_of(view).index(calendar_of(view).containing(moment)) - 1


def list_values(stores: Stores, views: Views, moment: datetime) -> list[Partition]:
    """The partitions that a batch reads of views.

    :param moment: the start of the batch.
    """
    known = [known_values(stores, get_view(stores, name, version), moment) for name, version in views.items()]
    return [one.partition for records in known for one in records if one.values]


def known_values(stores: Stores, view: ViewRecord, moment: datetime) -> list[ValuesRecord]:
    """What had been computed before a moment and may not be too old for it.

    :raises NotReady: naming the batch that is not computed yet.
    """
    ledger, calendar = view_stores(stores).ledger, calendar_of(view)
    oldest, found = calendar.index(calendar.containing(moment - view.ttl)), []
    for i in range(max(0, oldest), last_ended(view, moment) + 1):
        record = ledger.get(ValuesRecord, f"{view.view}.v{view.version}.{calendar.name(i)}")
        if record is None:
            raise NotReady(f"{view.title}: batch {calendar.name(i)} is not computed yet; compute_views does so")
        found.append(record)
    return found


def read_latest(stores: Stores, view: ViewRecord, moment: datetime) -> pd.DataFrame:
    """Of each key the newest value known before a moment, unless it is too old by then.

    Of values with one event time, that of the later batch holds: it knew of rows that arrived late.

    :returns: (keys, key + event time + columns).
    """
    lake, order = view_stores(stores).lake, (*view.key, view.event_time)
    tables = [lake.read(one.partition, order) for one in known_values(stores, view, moment) if one.values]
    if not tables:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in (*order, *view.columns)})
    values = to_frame(pa.concat_tables(tables)).sort_values(view.event_time, kind="stable")
    newest = values.drop_duplicates(list(view.key), keep="last")
    return newest[newest[view.event_time] >= oldest_time(view, moment)]


def oldest_time(view: ViewRecord, moment: datetime) -> datetime:
    """The oldest event time of a value that is used for a batch, in UTC without a zone.

    :param moment: the start of the batch.
    """
    return (moment - view.ttl).replace(tzinfo=None)


def join_views(rows: pd.DataFrame, schema: DataSchema, stores: Stores, views: Views, batch: str) -> pd.DataFrame:
    """Rows of a batch with the values that views had for them before it.

    :param schema: of the rows.
    :returns: the rows, with a column ``VIEW.COLUMN`` for each value.
    """
    moment = schema.calendar.moment(batch)
    for name, version in views.items():
        view = get_view(stores, name, version)
        require_key(view, schema)
        rows = join_values(rows, view, read_latest(stores, view, moment))
    return rows


def require_key(view: ViewRecord, schema: DataSchema) -> None:
    """Refuse rows that lack a column of a view's key.

    :raises ModelIncompatible: naming the column, and what was expected.
    """
    for name in view.key:
        found = schema.columns[name].kind if name in schema.columns else "no such column"
        if found != view.needed[name]:
            raise ModelIncompatible(
                f"{view.title} is keyed by {', '.join(view.key)}; rows.columns of config.yaml: {name}: found {found}, "
                f"expected {view.needed[name]}. Declare it so, or leave the view out of features.views"
            )


def join_values(rows: pd.DataFrame, view: ViewRecord, latest: pd.DataFrame) -> pd.DataFrame:
    """Rows with a view's columns: numbers as floats, missing ones as NaN; of other types None, of moments NaT.

    :param latest: (keys, key + columns) one value a key.
    """
    key = list(view.key)
    place = {one: i for i, one in enumerate(key_objects(latest, key))}
    positions = np.fromiter((place.get(one, -1) for one in key_objects(rows, key)), np.int64, len(rows))
    joined = {
        f"{view.view}.{name}": pd.Series(_take(latest[name], positions, kind), index=rows.index)
        for name, kind in view.columns.items()
    }
    return rows.assign(**joined)


def _take(values: pd.Series, positions: np.ndarray, kind: str) -> np.ndarray:
    """Values by their positions; -1 stands for none. The type is the same whatever is missing."""
    found, size = positions >= 0, len(positions)
    if kind in _NUMBERS:
        taken, held = np.full(size, np.nan), pd.to_numeric(values).to_numpy(dtype=float, na_value=np.nan)
    elif kind in _MOMENTS:
        taken, held = np.full(size, "NaT", "datetime64[us]"), values.to_numpy(dtype="datetime64[us]")
    else:
        taken, held = np.full(size, None, object), values.astype(object).to_numpy(copy=True)
        held[pd.isna(held)] = None
    taken[found] = held[positions[found]]
    return taken
