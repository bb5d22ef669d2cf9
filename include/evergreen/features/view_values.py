"""Feature views computed batch by batch, from the rows of their source that had arrived by then."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from evergreen.batches import Calendar, Every
from evergreen.config.data_schema import DataSchema
from evergreen.config.fields import ColumnType
from evergreen.errors import FeaturesInvalid, ModelIncompatible, NotReady, Refused, SourceChanged
from evergreen.features.reading import is_readable, partition_of, read_rows
from evergreen.records import VIEWS, BatchRecord, Partition, ValuesRecord, ViewRecord
from evergreen.storage.columns import arrow_type, lacking
from evergreen.storage.content import content_hash
from evergreen.storage.lake import describe
from evergreen.storage.limit_own_code import own_code
from evergreen.storage.model_from_code import load_module
from evergreen.storage.removals import tell_removed
from evergreen.storage.revisions import sealed_batches
from evergreen.storage.stores import Stores, open_stores


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


def advance_view(view: ViewRecord, stores: Stores, last: int) -> None:
    """Compute the batches of a view that are not computed yet, in order.

    The record is put first and decides from which rows; who was killed before the values were written is made up for.

    :param last: index of the last batch of the source; negative for none.
    :raises NotReady: if its rows are not sealed.
    :raises FeaturesInvalid: if the view's own code raises, or returns other values than view.yaml says.
    :raises ModelIncompatible: if the rows have no longer what it reads.
    """
    computed = view_stores(stores).ledger.last_batch(ValuesRecord, calendar_of(view), f"{view.view}.v{view.version}.")
    first = calendar_of(view).index(computed) if computed is not None else 0
    for i in range(first, last + 1):
        _settle(view, stores, calendar_of(view).name(i))


def newest_moment(view: ViewRecord, stores: Stores, computed: str) -> datetime | None:
    """The event time, in UTC, of the newest value that a batch after this one may use; None for none. Computes nothing.

    :param computed: a batch of the source that the view is computed for.
    """
    calendar = calendar_of(view)
    first = calendar.containing(calendar.end(computed) - view.ttl)
    for batch in reversed(calendar.between(max(first, calendar.name(0)), computed)):
        record = view_stores(stores).ledger.get(ValuesRecord, f"{view.view}.v{view.version}.{batch}")
        if record is None or not record.values:
            continue
        rows = view_stores(stores).lake.read_any(record.partition.table, batch, 0)
        if rows.num_rows:
            moment = pc.max(rows[view.event_time]).as_py()
            return moment if moment.tzinfo else datetime.combine(moment, datetime.min.time()).replace(tzinfo=UTC)
    return None


def read_values(view: ViewRecord, stores: Stores, record: ValuesRecord) -> pa.Table:
    """The values of a batch, by key and event time; no columns where there are none.

    :raises SourceChanged: if they are not those of the record.
    """
    lake, order = view_stores(stores).lake, (*view.key, view.event_time)
    if not record.values:
        return pa.table({})
    try:
        return lake.read(record.partition, order)
    except SourceChanged:
        # Whoever put the record has not written them yet, or was killed before.
        _settle(view, stores, record.as_of)
        return lake.read(record.partition, order)


def _settle(view: ViewRecord, stores: Stores, batch: str) -> None:
    own, values = view_stores(stores), None
    record = own.ledger.get(ValuesRecord, f"{view.view}.v{view.version}.{batch}")
    if record is None:
        read = _list_rows(view, stores, batch)
        values = _compute(view, stores, read, batch)
        # With its first values, not before: until then view.py may be mended under the same number.
        if own.ledger.put(view) != view:
            raise Refused(f"{view.title}: another process computes it with other files; count version up in view.yaml")
        facts = {"values": values.num_rows, "content": content_hash(values)}
        record = own.ledger.put(
            ValuesRecord(as_of=batch, view=view.view, version=view.version, read=tuple(read), **facts)
        )
    elif (
        not record.values
        or own.lake.read_any(record.partition.table, batch, 0, most=1).num_rows
        or tell_removed(own.ledger, [record.partition])
    ):
        return
    if values is None or content_hash(values) != record.content:
        values = _compute(view, stores, record.read, batch)
        if content_hash(values) != record.content:
            raise FeaturesInvalid(
                f"{view.title}, view.py: computes other values of batch {batch} than before, from the same rows; "
                "expected a plain function of the rows, without a clock or chance. Mend it in a new version"
            )
    own.lake.replace(record.partition.table, batch, 0, values, describe(view=view.view, version=view.version))


def _list_rows(view: ViewRecord, stores: Stores, batch: str) -> list[Partition]:
    """The partitions of the source that a batch is computed from, as known at it."""
    ledger, columns = _source(view, stores).ledger, _schema(view).columns
    first = max(0, calendar_of(view).index(batch) - view.lookback)
    sealed = sealed_batches(ledger, "rows", calendar_of(view).between(calendar_of(view).name(first), batch), batch)
    newest = sealed[-1] if sealed and sealed[-1].batch == batch else None
    if newest is None:
        raise NotReady(f"{view.title}: the rows of batch {batch} of model {view.source} are not sealed yet")
    with_rows = [record for record in sealed if record.has_rows]
    readable = [record for record in with_rows if is_readable(record, columns)]
    if newest.has_rows and newest not in readable and readable:
        _refuse_rows(view, newest)
    return [partition_of(record) for record in readable]


def _source(view: ViewRecord, stores: Stores) -> Stores:
    """Stores of its own: the others keep rows in memory in the order in which they were first asked for."""
    return Stores(stores.at, view.source)


def _schema(view: ViewRecord) -> DataSchema:
    """What it reads of a row; rows are sorted by all of it."""
    columns = {name: ColumnType.model_validate({"type": kind}) for name, kind in view.needed.items()}
    return DataSchema(calendar_of(view), tuple(columns), view.event_time, columns, None)


def _refuse_rows(view: ViewRecord, record: BatchRecord) -> None:
    lost = ", ".join(lacking(_schema(view).columns, record.columns))
    raise ModelIncompatible(
        f"{view.title}: the rows of batch {record.batch} of model {view.source} have no column {lost} any more; make a "
        "new version of the view that does without, and let models read that"
    )


def _compute(view: ViewRecord, stores: Stores, read: Sequence[Partition], batch: str) -> pa.Table:
    rows = read_rows(_schema(view), _source(view, stores), list(read))
    end = pd.Timestamp(calendar_of(view).end(batch).replace(tzinfo=None))
    rows = rows[pd.to_datetime(rows[view.event_time]) < end].reset_index(drop=True)
    if rows.empty:
        return pa.table({})
    where = f"{view.title}, view.py, build_view on batch {batch}"
    with own_code(where, view.time_limit, "time_limit in view.yaml, in a new version"):
        module = load_module(Path("view.py"), "view", view.code.encode())
        values = module.build_view(rows)
    return _as_declared(view, values, end, where)


def _as_declared(view: ViewRecord, values: object, end: pd.Timestamp, where: str) -> pa.Table:
    """Values in the types that view.yaml declares."""
    wanted = {name: view.needed[name] for name in (*view.key, view.event_time)} | view.columns
    if not isinstance(values, pd.DataFrame):
        raise FeaturesInvalid(f"{where}: returned {type(values).__name__}; expected a DataFrame")
    if sorted(map(str, values.columns)) != sorted(wanted):
        found = ", ".join(map(str, values.columns))
        raise FeaturesInvalid(f"{where}: returned columns {found}; expected {', '.join(wanted)}")
    named = [*view.key, view.event_time]
    for name in named:
        if values[name].isna().any():
            raise FeaturesInvalid(f"{where}, column {name}: found a null; expected none in key and event time")
    # Before they are compared: what is of no column's type, such as a list, may not be comparable.
    table = pa.table({name: _cast(values[name], name, kind, where) for name, kind in wanted.items()})
    if values.duplicated(named).any():
        twice = values.loc[values.duplicated(named), named].iloc[0].to_dict()
        raise FeaturesInvalid(f"{where}: returned two values of {twice}; expected one of each key and event time")
    latest = pd.Timestamp(pc.max(table[view.event_time].cast(pa.timestamp("us"))).as_py()) if len(values) else end
    if len(values) and latest >= end:
        raise FeaturesInvalid(
            f"{where}, column {view.event_time}: found {latest}; expected a time before the batch's end {end}, such as "
            "the newest of the rows that the value is made of"
        )
    return table


def _cast(values: pd.Series, name: str, kind: str, where: str) -> pa.Array:
    wanted = arrow_type(ColumnType.model_validate({"type": kind}))
    try:
        if isinstance(values.dtype, pd.CategoricalDtype):
            values = values.astype(object)
        if pa.types.is_timestamp(wanted):
            moments = pd.to_datetime(values, utc=True).dt.tz_localize(None)
            return pc.assume_timezone(pa.Array.from_pandas(moments, type=pa.timestamp("us"), safe=False), "UTC")
        cast = pa.Array.from_pandas(values, type=wanted)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, ValueError, TypeError) as error:
        problem = f"found {values.dtype}: {error}; expected {kind}, as view.yaml declares it"
        raise FeaturesInvalid(f"{where}, column {name}: {problem}") from error
    if pa.types.is_floating(wanted) and pc.any(pc.is_inf(cast)).as_py():
        raise FeaturesInvalid(f"{where}, column {name}: found inf; expected finite numbers, NaN where there is none")
    return cast
