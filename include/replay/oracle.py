"""What hindsight would have done: the trainings that would have cost least, found by dynamic programming."""

from dataclasses import dataclass, replace

import numpy as np

from include.config.locations import Locations
from include.config.model_folder import ModelFolder
from include.features.history import call_predict
from include.features.known import last_label_batches
from include.features.labelled import gather_features, match_labels
from include.features.packing import fit_model, packing_folder
from include.judging.losses import row_losses
from include.records import ClaimRecord, PromotionRecord
from include.storage.packed_model import PackedModel
from include.storage.stores import Stores, open_stores


@dataclass(frozen=True)
class Hindsight:
    """What each version that could have been trained would have lost on each later batch.

    :param batches: the scored batches.
    :param trained: (versions,) position in ``batches`` as of which each was trained; -1 for version 1.
    :param losses: (versions, batches) mean loss of a batch's labelled rows; infinite before the version was trained.
    """

    batches: list[str]
    trained: np.ndarray
    losses: np.ndarray


_NOTHING = Hindsight([], np.array([], dtype=int), np.zeros((0, 0)))


@dataclass(frozen=True)
class Plan:
    """The best sequence of trainings at a price.

    :param trainings: the batches as of which a version was trained.
    :param losses: by scored batch, the mean loss.
    """

    trainings: list[str]
    losses: dict[str, float]


def look_back(model: ModelFolder, at: Locations, last: str, known_by: str, every: int = 1) -> Hindsight:
    """Train a version as of every so many batches, and score all later batches with each.

    :param at: a replay that is over, in which each batch was claimed; ``never`` will do.
    :param last: the last batch to score.
    :param known_by: labels that became known up to this batch count.
    :param every: batches between two trainings.
    """
    config, stores = model.config, open_stores(at, model.id)
    first = stores.ledger.get(PromotionRecord, "champion")
    if first is None or config.labels == "none":
        return _NOTHING
    # What version 1 could not score, nobody is measured by.
    span = config.calendar.between(first.effective_from, last)
    if not span:
        return _NOTHING
    known = match_labels(config, stores, span[0], known_by)
    labels = set(known.rows["batch"])
    span = [batch for batch in span if batch in labels and _is_scored(stores, batch)]
    if not span:
        return _NOTHING
    labelled = replace(known, rows=known.rows[known.rows["batch"].isin(span)].reset_index(drop=True))
    one = stores.models.load_version(first.version)
    features, _ = gather_features(config, stores, one, labelled)
    target = labelled.rows[config.labels.column].to_numpy()
    place = np.searchsorted(span, labelled.rows["batch"].to_numpy(dtype=str))
    rows = np.bincount(place, minlength=len(span))

    def lose(packed: PackedModel, after: int) -> np.ndarray:
        later = place > after
        predicted = call_predict(packed, features[later], f"after {span[max(after, 0)]}")
        losses = row_losses(config.gate.metric, target[later], predicted)
        means: np.ndarray = np.bincount(place[later], weights=losses, minlength=len(span)) / rows
        means[: after + 1] = np.inf
        return means

    trained, losses = [-1], [lose(one, -1)]
    for position in range(0, len(span) - 1, every):
        learnt = last_label_batches(config, stores, span[position], config.training.window)
        with packing_folder() as folder:
            packed = fit_model(model, stores, (learnt[0], learnt[-1]), folder).packed
            losses.append(lose(packed, position))
        trained.append(position)
    return Hindsight(span, np.array(trained), np.array(losses))


def find_plan(seen: Hindsight, price: float) -> Plan:
    """The trainings that cost least: losses, and a price for each after version 1.

    The retrospective optimum of Mahadevan and Mathioudakis, Cost-aware retraining for machine learning, Knowledge-Based
    Systems 293, 2024: a shortest path over (batch, version in force). It knows what no policy can know.

    :param price: of one training, in units of a batch's mean loss.
    """
    n = len(seen.batches)
    # Row v, column j: what version v loses from the batch after its training up to batch j - 1.
    known = np.where(np.isfinite(seen.losses), seen.losses, 0.0)
    until = np.concatenate([np.zeros((len(known), 1)), np.cumsum(known, axis=1)], axis=1)
    begin = seen.trained + 1
    best, chosen = np.full(n + 1, np.inf), np.zeros(n + 1, dtype=int)
    best[0] = 0.0
    for j in range(1, n + 1):
        ready = np.flatnonzero(begin < j)
        paid = np.where(ready == 0, 0.0, price)
        total = best[begin[ready]] + paid + until[ready, j] - until[ready, begin[ready]]
        chosen[j] = ready[np.argmin(total)]
        best[j] = total.min()
    trainings, losses, j = list[str](), np.zeros(n), n
    while j > 0:
        version = chosen[j]
        losses[begin[version] : j] = seen.losses[version, begin[version] : j]
        if version:
            trainings.append(seen.batches[seen.trained[version]])
        j = begin[version]
    return Plan(trainings[::-1], dict(zip(seen.batches, losses.tolist(), strict=True)))


def _is_scored(stores: Stores, batch: str) -> bool:
    claim = stores.ledger.last(ClaimRecord, batch)
    return claim is not None and claim.version is not None
