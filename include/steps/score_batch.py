"""Score a batch."""

from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from include.config.locations import Locations
from include.config.model_folder import ModelFolder
from include.errors import FeaturesInvalid, NotReady
from include.features.history import build_features, readable
from include.incidents import report, resolve
from include.judging.champion import promotion_serving
from include.records import BatchRecord, ClaimRecord
from include.storage.lake import describe
from include.storage.stores import Stores, open_stores


@dataclass(frozen=True)
class ScoreResult:
    """What became of scoring a batch.

    :param claim: who scored it, by what, or why nobody did.
    :param rows: predictions written.
    """

    claim: ClaimRecord
    rows: int


def score_batch(model: ModelFolder, at: Locations, batch: str) -> ScoreResult:
    """Claim a batch for the champion of that time and write its predictions.

    The claim wins over everything later: a second run scores with the same version from the same partitions.

    :raises NotReady: if the batch is not sealed, or the one before it not claimed.
    """
    stores = open_stores(at, model.id)
    claim = stores.ledger.last(ClaimRecord, batch)
    if claim is None:
        claim = stores.ledger.put(_claim(model, stores, batch))
    if claim.version is None:
        return ScoreResult(claim, 0)
    packed = stores.models.load_version(claim.version)
    try:
        built = build_features(model.config, stores, packed, claim)
        predictions = packed.predict_features(built.features)
    except FeaturesInvalid as error:
        # The claim stands; what cannot be scored by it is left to `rescore`, a later revision of the claim.
        report(stores.ledger, "incompatible", batch, f"{error}. Batch {batch} has no predictions.")
        raise
    resolve(stores.ledger, "incompatible", batch, f"batch {batch} was scored by version {claim.version}")
    frame = built.rows[list(model.config.rows.key)].assign(
        prediction=pd.Series(predictions, dtype=float), model_version=claim.version, data_version=claim.data
    )
    facts = describe(model=model.id, version=claim.version, code=model.code_version)
    stores.lake.replace("predictions", batch, claim.revision, pa.Table.from_pandas(frame, preserve_index=False), facts)
    return ScoreResult(claim, len(frame))


def _claim(model: ModelFolder, stores: Stores, batch: str) -> ClaimRecord:
    calendar, ledger = model.config.calendar, stores.ledger
    record = ledger.get(BatchRecord, f"rows.{batch}")
    if record is None:
        raise NotReady(f"model {model.id}: the rows of batch {batch} are not sealed; validate them first")
    before = calendar.shift(batch, -1)
    if calendar.index(batch) > 0 and ledger.get(ClaimRecord, before) is None:
        raise NotReady(f"model {model.id}: batch {before} has not been claimed; score it before {batch}")
    data, cut = readable(model.config, stores, batch)
    ledger.put(data)
    promotion = promotion_serving(ledger, batch)
    if record.state != "published":
        version, number, why = None, None, f"batch {record.state}"
    elif promotion is None:
        version, number, why = None, None, "no champion yet"
    else:
        version, number = promotion.version, promotion.number
        why = f"promotion {number}, in force from {promotion.effective_from}"
    return ClaimRecord(as_of=batch, revision=0, version=version, promotion=number, why=why, data=data.id, label_cut=cut)
