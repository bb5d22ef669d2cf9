"""Feature views online: their newest values are written from the lake, and read for the rows of a request."""

import functools
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from evergreen.config.data_schema import DataSchema
from evergreen.errors import EvergreenError, FeaturesInvalid, ModelIncompatible, NotReady, Outage
from evergreen.features.view_values import calendar_of, get_view, last_ended, read_values
from evergreen.features.views import Views, join_values, known_values, list_values, oldest_time, require_key
from evergreen.records import Partition, ViewRecord
from evergreen.storage.frames import to_frame
from evergreen.storage.online import OnlineValue, open_online, stamp_of
from evergreen.storage.stores import Stores

_logger = logging.getLogger(__name__)
_open = functools.lru_cache(maxsize=8)(open_online)
_PLAIN: dict[str, Callable[[Any], Any]] = {"integer": int, "float": float, "boolean": bool, "string": str}


def write_online(view: ViewRecord, stores: Stores, last: int) -> None:
    """Write what the online store lacks of a view, batch by batch in order; nothing where there is no such store.

    :param last: index of the last batch of its source that was computed; negative for none.
    :raises Outage: if the store does not answer.
    """
    if not stores.at.online or last < 0:
        return
    online, name = _open(stores.at.online), _name(view, stores)
    end, written = calendar_of(view).end(calendar_of(view).name(last)), online.written(name)
    for record in known_values(stores, view, end):
        if written is not None and record.as_of <= written:
            continue
        values = _as_online(view, to_frame(read_values(view, stores, record)), record.as_of) if record.values else []
        online.write(name, record.as_of, values, stamp_of(oldest_time(view, end)))


def prepare_views(
    views: Views, declared: Views, stores: Stores, begins: datetime, ends: datetime
) -> tuple[list[Partition], str]:
    """What a champion reads of feature views; and why they could not be computed.

    Where config.yaml declares another version by now, no other task writes them to the online store.

    :param views: that it reads.
    :param declared: that config.yaml declares.
    :param begins: start of the batch that is to be scored; ``ends`` is its end.
    :raises NotReady: if their source is not sealed as far as the batch needs it.
    """
    try:
        for name, version in views.items():
            view = get_view(stores, name, version)
            if declared.get(name) != version:
                _write_online(view, stores, last_ended(view, ends))
        return list_values(stores, views, begins), ""
    except (FeaturesInvalid, ModelIncompatible) as error:
        return [], str(error)


def _write_online(view: ViewRecord, stores: Stores, last: int) -> None:
    try:
        write_online(view, stores, last)
    except EvergreenError:
        # The service tells what it lacks, and the next batch what cannot be computed; this one does not wait for it.
        _logger.warning("%s was not written to the online store", view.title, exc_info=True)


def delete_online(view: ViewRecord, stores: Stores, values: pd.DataFrame) -> None:
    """Delete what the online store holds for the keys of some values; nothing where there is no such store.

    :raises Outage: if the store does not answer.
    """
    if stores.at.online:
        keys = {json.dumps(list(key)) for key in _keys(view, values)}
        _open(stores.at.online).delete(_name(view, stores), keys)


def _as_online(view: ViewRecord, values: pd.DataFrame, batch: str) -> list[OnlineValue]:
    held = zip(*(_plain(values[name], kind) for name, kind in view.columns.items()), strict=True)
    return [
        OnlineValue.of(key, moment, batch, columns)
        for key, moment, columns in zip(_keys(view, values), values[view.event_time], held, strict=True)
    ]


@dataclass(frozen=True)
class OnlineViews:
    """The views that a version reads for requests.

    :param views: none for most versions, which ask no store.
    :param moment: the start of the batch that the rows are taken to belong to.
    """

    stores: Stores
    views: tuple[ViewRecord, ...]
    moment: datetime

    @classmethod
    def open(cls, stores: Stores, views: Views, schema: DataSchema, batch: str) -> "OnlineViews":
        """Look whether the store has what a batch reads.

        :param schema: of the version's rows.
        :raises NotReady: naming the view and the batch that it lacks.
        """
        found = tuple(get_view(stores, name, version) for name, version in views.items())
        moment = schema.calendar.moment(batch)
        for view in found:
            require_key(view, schema)
            _require_written(view, stores, moment)
        return cls(stores, found, moment)

    def join(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows with the values of their keys, as those of a batch have them.

        :raises Outage: if the store does not answer.
        """
        for view in self.views:
            try:
                rows = join_values(rows, view, self._read(view, rows))
            except (ValueError, TypeError) as error:
                problem = f"the online store holds what are no values of {', '.join(view.columns)}: {error}"
                raise Outage(f"{view.title}: {problem}; delete it there, compute_views writes it anew") from error
        return rows

    def _read(self, view: ViewRecord, rows: pd.DataFrame) -> pd.DataFrame:
        keys = {json.dumps(key) for key in _keys(view, rows) if None not in key}
        oldest = stamp_of(oldest_time(view, self.moment))
        found = _open(self.stores.at.online).read(_name(view, self.stores), keys)
        values = [(*json.loads(one.key), *json.loads(one.content)) for one in found if one.stamp >= oldest]
        return pd.DataFrame(values, columns=[*view.key, *view.columns])


def written_online(view: ViewRecord, stores: Stores) -> str | None:
    """The last batch of a view that the online store has.

    :raises Outage: if the store does not answer.
    """
    return _open(stores.at.online).written(_name(view, stores))


def _require_written(view: ViewRecord, stores: Stores, moment: datetime) -> None:
    last = last_ended(view, moment)
    if last < 0:
        return
    if not stores.at.online:
        raise NotReady(f"{view.title} is read from an online store, and EVERGREEN_ONLINE is empty; let it name one")
    written, wanted = written_online(view, stores), calendar_of(view).name(last)
    if written is None or written < wanted:
        raise NotReady(
            f"{view.title}: the online store has it up to {f'batch {written}' if written else 'no batch'}, expected "
            f"{wanted}; let compute_views run with the same EVERGREEN_ONLINE as the service"
        )


def _name(view: ViewRecord, stores: Stores) -> str:
    return f"{stores.at.env}/{view.view}.v{view.version}"


def _keys(view: ViewRecord, rows: pd.DataFrame) -> list[tuple[Any, ...]]:
    """The key of each row; None for what is missing."""
    return list(zip(*(_plain(rows[name], view.needed[name]) for name in view.key), strict=True))


def _plain(values: pd.Series, kind: str) -> list[Any]:
    """Values as JSON has them; moments as they are."""
    plain = _PLAIN.get(kind, lambda moment: moment)
    return [None if missing else plain(value) for value, missing in zip(values, values.isna(), strict=True)]
