"""Score a batch."""

import logging
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from evergreen.checks.kept_statistics import Predicted, write_predicted
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import (
    ConfigInvalid,
    EvergreenError,
    FeaturesInvalid,
    ModelIncompatible,
)
from evergreen.features.building import build_features, call_predict, claimed_data
from evergreen.features.scoring_in_pieces import find_streamable, predict_pieces
from evergreen.features.scoring_on_spark import SparkScoring
from evergreen.incidents import report, resolve
from evergreen.judging.attempts import find_due_attempt
from evergreen.judging.claims import load_champion, make_claim
from evergreen.judging.promotions import promotion_serving
from evergreen.records import ClaimRecord, PromotionRecord, Words
from evergreen.storage.lake import describe
from evergreen.storage.packed_model import PackedModel
from evergreen.storage.removals import tell_removed
from evergreen.storage.revisions import is_scored, scored_partition, sealed_batch
from evergreen.storage.stores import Stores, stores_of

_logger = logging.getLogger(__name__)
# Batches that may pass before an attempt that is due and not made is reported.
_OVERDUE = 2


@dataclass(frozen=True)
class ScoreResult:
    """What became of scoring a batch.

    :param claim: who scored it, by what, or why nobody did.
    :param rows: predictions written.
    :param removed: why none were, where rows that it was scored from are gone on purpose.
    """

    claim: ClaimRecord
    rows: int
    removed: str = ""


def score_batch(model: ModelFolder, at: Locations, batch: str) -> ScoreResult:
    """Claim a batch for the champion of that time and write its predictions.

    The claim wins over everything later: a second run scores with the same version from the same partitions.

    :raises NotReady: if the batch is not sealed, or the one before it not claimed.
    :raises ModelIncompatible: if the champion cannot be loaded, or is not what was promoted; an incident tells of it.
    """
    stores = stores_of(model, at)
    claim = stores.ledger.last(ClaimRecord, batch)
    if claim is not None and (removed := _tell_removed(stores, claim)):
        _logger.warning("%s: batch %s is left as it is scored: %s", model.id, batch, removed)
        return ScoreResult(claim, 0, removed)
    if claim is None:
        _tell_overdue(model, stores, batch)
        claim = stores.ledger.put(make_claim(model, stores, batch))
    if claim.version is None or claim.promotion is None:
        _tell_unscored(model, stores, claim)
        return ScoreResult(claim, 0)
    try:
        promotion = stores.ledger.require(PromotionRecord, "champion", claim.promotion - 1)
        packed = load_champion(model, stores, promotion, batch)
    except ModelIncompatible as error:
        if not _is_given_up(stores, claim):
            raise
        return _leave_unscored(model, stores, claim, error)
    try:
        rows = put_predictions(model, stores, claim, predict_batch(model, stores, claim, packed))
    except (FeaturesInvalid, ModelIncompatible) as error:
        # Trying again would fail again.
        return _leave_unscored(model, stores, claim, error)
    resolve(stores.ledger, "unscored", batch, f"batch {batch} was scored by version {claim.version}")
    return ScoreResult(claim, rows)


def _tell_removed(stores: Stores, claim: ClaimRecord) -> str:
    """What was removed of the rows that a batch was scored from: scored again, its other rows would come out otherwise.

    Empty where nothing was, or where it has not been scored yet.
    """
    listed = [*claimed_data(stores, claim).partitions, scored_partition(claim)]
    removed = tell_removed(stores.ledger, listed)
    return "; ".join(removed) if removed and is_scored(stores, claim) else ""


def _is_given_up(stores: Stores, claim: ClaimRecord) -> bool:
    """Whether another version serves by now, in place of one that claimed a batch and cannot score it."""
    newest = stores.ledger.last(PromotionRecord, "champion")
    replaced = newest is not None and newest.number != claim.promotion
    return replaced and stores.lake.read_any("predictions", claim.as_of, claim.revision).num_rows == 0


def _leave_unscored(model: ModelFolder, stores: Stores, claim: ClaimRecord, error: EvergreenError) -> ScoreResult:
    """Let the claim's next revision say that nobody scored the batch, and the loop go on."""
    nobody: dict[str, object] = {
        "revision": claim.revision + 1,
        "version": None,
        "promotion": None,
        "unscored": "failed",
        "why": f"version {claim.version} failed: {error}",
        "meta": {},
    }
    claim = stores.ledger.put(claim.model_copy(update=nobody))
    _tell_unscored(model, stores, claim)
    return ScoreResult(claim, 0)


def predict_batch(model: ModelFolder, stores: Stores, claim: ClaimRecord, packed: PackedModel) -> tuple[Predicted, int]:
    """What a version predicts for a claimed batch, and of how many rows; of a large one, what begins to predict it.

    :raises ConfigInvalid: if it is to be done on Spark, and nothing says where that is.
    """
    today, on_spark = model.config.data_schema, model.config.engine == "spark"
    if on_spark and not stores.at.spark:
        problem = (
            "engine: found spark, and no server; valid: EVERGREEN_SPARK=sc://HOST:PORT, or in Airflow a connection "
        )
        raise ConfigInvalid(str(model.path / "config.yaml"), [f"{problem}spark_connect_default; or engine: local"])
    alone = find_streamable(today, stores, packed, claim)
    if alone is not None and on_spark:
        return SparkScoring.of(today, stores, packed, claim, alone.partition), alone.rows
    if on_spark:
        why = "it is one piece, or its rows stand under earlier names"
        _logger.info("%s: batch %s is scored in this process: %s", model.id, claim.as_of, why)
    if alone is not None:
        return lambda: predict_pieces(today, stores, packed, claim, alone.partition), alone.rows
    built = build_features(today, stores, packed, claim)
    frame = built.keys.assign(
        prediction=pd.Series(call_predict(packed, built.features, claim.as_of), dtype=float),
        model_version=claim.version,
        data_version=claim.data,
    )
    return pa.Table.from_pandas(frame, preserve_index=False), len(frame)


def put_predictions(model: ModelFolder, stores: Stores, claim: ClaimRecord, predicted: tuple[Predicted, int]) -> int:
    """Write what was predicted for a claimed batch, in one commit; returns the number of rows."""
    facts = describe(model=model.id, version=claim.version, code=model.code_version)
    write_predicted(stores, claim, *predicted, facts)
    return predicted[1]


def _tell_unscored(model: ModelFolder, stores: Stores, claim: ClaimRecord) -> None:
    """Report a batch with rows that nobody scored; one without has an incident of its own where that is a fault."""
    record = sealed_batch(stores.ledger, "rows", claim.as_of, claim.as_of)
    if record is None or not record.has_rows:
        return
    done, mend = "Later batches go on.", "Mend the columns or features.py, then retrain."
    if promotion_serving(stores.ledger, claim.as_of) is None:
        mend = (
            f"Nothing yet: the first check that knows {model.config.training.min_labels} labels asks for a version. If "
            f"this lasts, look whether labels come, and whether {model.id}__drift, {model.id}__retrain and "
            "evergreen__watch run."
        )
    words = Words(f"{model.id}: batch {claim.as_of} has no predictions: {claim.why}.", done, mend)
    report(stores.ledger, "unscored", claim.as_of, words)


def _tell_overdue(model: ModelFolder, stores: Stores, batch: str) -> None:
    """Report an attempt that should have been made a while ago: its DAG is paused, or its runs fail."""
    due = find_due_attempt(model.config, stores)
    if due is None or model.config.calendar.index(batch) - model.config.calendar.index(due.as_of) <= _OVERDUE:
        return
    words = Words(
        f"{model.id}: verdict {due.verdict} asks for a retraining; its attempt has been due since batch {due.as_of} "
        "and is not made.",
        "The champion stays.",
        f"Look whether {model.id}__retrain and evergreen__watch are paused or fail.",
    )
    report(stores.ledger, "overdue", batch, words)
