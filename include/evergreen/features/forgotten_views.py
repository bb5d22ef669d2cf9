"""Feature views without the rows of who was forgotten."""

import pyarrow as pa

from evergreen.features.online import delete_online
from evergreen.features.view_values import view_stores
from evergreen.records import VIEWS, ForgettingRecord, ViewRecord
from evergreen.storage.frames import to_frame
from evergreen.storage.removals import put_forgetting
from evergreen.storage.remover import Remover
from evergreen.storage.stores import Stores


def tables_of_views(stores: Stores) -> list[str]:
    """The tables of feature views that are made of a model's rows."""
    ledger, names = view_stores(stores).ledger, Remover(stores.at, VIEWS).tables()
    views = {name: ledger.get(ViewRecord, name) for name in names}
    return [f"{VIEWS}/{name}" for name, view in views.items() if view is not None and view.source == stores.model_id]


def leave_view(stores: Stores, record: ForgettingRecord, table: str, rows: pa.Table) -> None:
    """Where a table is a view's, put beside it on record what is to be removed, and take the keys off the online store.

    :param rows: that are to be removed from it.
    """
    if table.startswith(VIEWS):
        ledger = view_stores(stores).ledger
        put_forgetting(ledger, record)
        delete_online(ledger.require(ViewRecord, table.partition("/")[2]), stores, to_frame(rows))
