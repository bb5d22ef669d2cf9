"""What a model has predicted, for programs that know no more of it than its name."""

from typing import Literal

import obstore
import pandas as pd
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from evergreen.config.locations import Locations
from evergreen.errors import ModelNotFound, NotReady
from evergreen.records import ClaimRecord, Partition
from evergreen.storage.damage import readable
from evergreen.storage.frames import to_frame
from evergreen.storage.lake import Lake
from evergreen.storage.objects import delta_options, open_store, reached
from evergreen.storage.removals import require_kept
from evergreen.storage.revisions import known_scores
from evergreen.storage.stores import Stores, open_stores, require_lake

_TABLE: Literal["predictions"] = "predictions"
# What stands beside the key.
_VALUES = ("prediction", "model_version", "data_version")


def read_predictions(
    model: str, batch: str, last: str | None = None, at: Locations | None = None, as_of: str | None = None
) -> pd.DataFrame:
    """The predictions of one batch, or of all batches from one to another, as they stand.

    The model folder is not needed. A batch that nobody scored has no row: the model had no champion yet, say.

    :param model: the model's id, which is the name of its folder.
    :param batch: the batch, such as ``2024-01-31``; the first one if there is a ``last``.
    :param last: the last batch, itself included; None for ``batch`` alone.
    :param at: where the deployment keeps its state; None for what the environment says.
    :param as_of: a batch: what was scored again later is read as it stood before; None for what stands now. A batch's
        own name is what was predicted when it came.
    :returns: (n, batch + key + prediction, model_version, data_version) one row a prediction, by batch and key; times
        in UTC without a zone.
    :raises Refused: if there is no such lake.
    :raises ModelNotFound: if there is no such model in it.
    :raises RowsRemoved: if the predictions of ``batch`` alone were removed since.
    :raises NotReady: if ``batch`` alone is asked for and its scoring has not ended; if it has ended without a model
        that could score, there are no rows.
    """
    at = at or Locations.from_environment()
    _require_model(model, at)
    stores = open_stores(at, model)
    names, again = [batch] if last is None else _scored(stores.lake, batch, last), known_scores(stores.ledger, as_of)
    claims = {name: again.get(name) or stores.ledger.last(ClaimRecord, name) for name in names}
    pieces = [_read_batch(model, name, stores, claim) for name, claim in claims.items()]
    columns = {name: pa.array([], pa.string()) for name in ("batch", *_VALUES)}
    frame = to_frame(pa.concat_tables(pieces, promote_options="default") if pieces else pa.table(columns))
    key = [name for name in frame.columns if name not in ("batch", *_VALUES)]
    return frame[["batch", *key, *_VALUES]].sort_values(["batch", *key], ignore_index=True)


def _require_model(model: str, at: Locations) -> None:
    """Refuse a lake or a model that is not there, and make neither: a mistyped location stays as it was."""
    require_lake(at)
    uri = f"{at.lake.rstrip('/')}/ledger"
    with reached(uri):
        prefixes = obstore.list_with_delimiter(open_store(uri), prefix=at.env)["common_prefixes"]
    models = sorted(path.rpartition("/")[2] for path in prefixes)
    if model not in models:
        valid = ", ".join(models) or "none"
        raise ModelNotFound(f"no model {model!r} in {at.lake} under EVERGREEN_ENV={at.env}; there are: {valid}")


def _scored(lake: Lake, first: str, last: str) -> list[str]:
    """The batches of a span that have predictions; names sort as time does."""
    uri = lake.table_uri(_TABLE)
    try:
        with readable(uri):
            parts = DeltaTable(uri, storage_options=delta_options(uri)).partitions()
    except TableNotFoundError:
        return []
    return sorted({part["batch"] for part in parts if first <= part["batch"] <= last})


def _read_batch(model: str, batch: str, stores: Stores, claim: ClaimRecord | None) -> pa.Table:
    if claim is None:
        raise NotReady(f"model {model}: batch {batch} has not been scored; wait for {model}__batch, or run score_batch")
    # Predictions count only under the newest claim, or where they were made again; a claim without a version has none.
    rows = stores.lake.read_any(_TABLE, batch, claim.revision if claim.version is not None else -1)
    if claim.version is not None and rows.num_rows == 0:
        made = Partition(table=_TABLE, batch=batch, revision=claim.revision, content=claim.data)
        require_kept(stores.ledger, [made], f"model {model}: the predictions of batch {batch} are gone")
        missing = "claimed but not scored yet; run score_batch for it"
        if claim.revision > 1:
            missing = f"to be scored again and is not yet; end it: evergreen rescore {model} {batch} {batch}"
            missing += f" --version {claim.version}, or clear the run that began it"
        raise NotReady(f"model {model}: batch {batch} is {missing}")
    if not rows.column_names:
        rows = pa.table({name: pa.array([], pa.string()) for name in _VALUES})
    return rows.add_column(0, "batch", pa.repeat(batch, rows.num_rows))
