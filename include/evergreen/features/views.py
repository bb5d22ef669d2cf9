"""What a batch reads of feature views: of each key the newest value that was known before the batch began."""

from collections.abc import Mapping
from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa

from evergreen.config.data_schema import DataSchema
from evergreen.errors import ModelIncompatible
from evergreen.features.reading import key_objects
from evergreen.features.view_values import advance_view, calendar_of, get_view, last_ended, read_values, view_stores
from evergreen.records import Partition, ValuesRecord, ViewRecord
from evergreen.storage.frames import to_frame
from evergreen.storage.stores import Stores

_NUMBERS, _MOMENTS = ("float", "integer"), ("timestamp", "date")
Views = Mapping[str, int]


def list_values(stores: Stores, views: Views, moment: datetime) -> list[Partition]:
    """The partitions that a batch reads of views.

    :param moment: the start of the batch.
    """
    known = [known_values(stores, get_view(stores, name, version), moment) for name, version in views.items()]
    return [one.partition for records in known for one in records if one.values]


def known_values(stores: Stores, view: ViewRecord, moment: datetime) -> list[ValuesRecord]:
    """What is known of a view before a moment and may not be too old for it; what was not computed yet is.

    :raises NotReady: if the rows of its source are not sealed.
    :raises FeaturesInvalid: if its own code fails.
    """
    ledger, calendar, last = view_stores(stores).ledger, calendar_of(view), last_ended(view, moment)
    if last < 0:
        return []
    ids = [
        f"{view.view}.v{view.version}.{calendar.name(i)}"
        for i in range(max(0, calendar.index(calendar.containing(moment - view.ttl))), last + 1)
    ]
    if ledger.get(ValuesRecord, ids[-1]) is None:
        advance_view(view, stores, last)
    return [ledger.require(ValuesRecord, one) for one in ids]


def read_latest(stores: Stores, view: ViewRecord, moment: datetime) -> pd.DataFrame:
    """Of each key the newest value known before a moment, unless it is too old by then.

    Of values with one event time, that of the later batch holds: it knew of rows that arrived late.

    :returns: (keys, key + event time + columns).
    """
    tables = [read_values(view, stores, one) for one in known_values(stores, view, moment) if one.values]
    if not tables:
        names = (*view.key, view.event_time, *view.columns)
        return pd.DataFrame({name: pd.Series(dtype=object) for name in names})
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
