"""One prediction explained: what each feature of its row has brought to it."""

from collections.abc import Iterator

import numpy as np

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import Refused
from evergreen.features.building import build_features
from evergreen.features.contributions import Contributions, explain_rows
from evergreen.judging.promotions import require_promoted
from evergreen.records import ClaimRecord
from evergreen.replay.trace import Sections, find_predictions, positions_of, tell_scores
from evergreen.storage.stores import Stores, stores_of


def explain_prediction(model: ModelFolder, at: Locations, batch: str, key: tuple[str, ...]) -> Sections:
    """Explain the predictions of one key by the versions that made them, from the rows and the history of then.

    :param batch: the batch that it came in.
    :param key: the values of ``rows.key``, as text.
    :returns: lines by title, two for each time that the row was scored.
    :raises Refused: if there is no such prediction, or it cannot be explained.
    """
    stores, sections = stores_of(model, at), {}
    for scores, value in find_predictions(model, stores, batch, key):
        told = _explain(model, stores, scores, value, key)
        title = f"revision {scores.revision}, " if scores.revision else ""
        sections[f"{title}prediction"] = [tell_scores(scores, value)]
        sections[f"{title}contributions"] = list(told)
    return sections


def _explain(
    model: ModelFolder, stores: Stores, scores: ClaimRecord, value: float, key: tuple[str, ...]
) -> Iterator[str]:
    assert scores.version is not None
    promotion = require_promoted(stores, scores.version)
    if promotion.baseline:
        yield "nothing: it is the baseline, the same for all rows"
        return
    packed = stores.models.load_promoted(promotion)
    built = build_features(model.config.data_schema, stores, packed, scores)
    row = built.features.iloc[positions_of(built.keys, key, model.config.rows.key)[:1]]
    told = explain_rows(packed, row, scores.as_of)
    if not np.isclose(told.predictions[0], value, rtol=1e-9):
        raise Refused(
            f"model {model.id}: version {scores.version} predicts {told.predictions[0]:.10g} for this row now, and "
            f"{value:.10g} is on record: other libraries are installed than packed it (evergreen reproduce names them)"
        )
    yield from _tell(told)
    width = max(len(str(name)) for name in row.columns)
    for i in np.argsort(-np.abs(told.values[0]), kind="stable").tolist():
        yield f"{row.columns[i]!s:{width}}  {told.values[0][i]:+.6g}  where it is {row.iloc[0, i]}"


def _tell(told: Contributions) -> Iterator[str]:
    if told.method == "SHAP":
        yield f"SHAP values, on the scale of the {told.scale}: from {told.base:.6g} they add up to the prediction"
        return
    yield "occlusion: how far the prediction lies above its mean over each feature's typical values"
    yield f"{told.why}; these add up to nothing"
