"""What each feature of a row has brought to its prediction: SHAP values where they add up, else occlusion."""

import functools
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.special import expit

from evergreen.errors import Refused, needs_extra
from evergreen.features.building import call_predict
from evergreen.features.explanation import read_explanation, with_values
from evergreen.storage.limit_own_code import own_code
from evergreen.storage.packed_model import PackedModel

# Of the scales on which tree ensembles add up, what leads from each to the prediction.
_SCALES = {"prediction": lambda x: x, "log odds": expit, "logarithm": np.exp}
_CLOSE = 1e-5


@dataclass(frozen=True)
class Contributions:
    """What features have brought to the predictions of some rows.

    :param predictions: (rows,) what the version predicts.
    :param values: (rows, features) by SHAP parts of the way from ``base`` to the prediction; by occlusion how far the
        prediction lies above its mean over the feature's typical values, which adds up to nothing.
    :param method: that made them.
    :param scale: on which they stand.
    :param base: from which SHAP values add up to the prediction; None of occlusion.
    :param why: it is not SHAP, if it is not.
    """

    predictions: np.ndarray
    values: np.ndarray
    method: Literal["SHAP", "occlusion"]
    scale: str = "prediction"
    base: float | None = None
    why: str = ""


def explain_rows(packed: PackedModel, features: pd.DataFrame, batch: str) -> Contributions:
    """What each feature has brought to the prediction of each row.

    SHAP values are those of trees by the paths that training rows took (Lundberg and others, From local explanations to
    global understanding with explainable AI for trees, Nature Machine Intelligence 2, 2020). Their sum is held against
    the prediction. Where SHAP is not installed, does not take the estimator or does not add up, each feature is set to
    the typical values of the holdout instead, which were packed with the version.

    :param features: (rows, features) that the version's own code has built.
    :raises FeaturesInvalid: if its estimator fails on them.
    :raises Refused: if neither can be told, saying why.
    """
    predictions = call_predict(packed, features, batch)
    try:
        return _by_shap(packed, features, predictions)
    except Refused as error:
        return _by_occlusion(packed, features, predictions, batch, str(error))


def _by_shap(packed: PackedModel, features: pd.DataFrame, predictions: np.ndarray) -> Contributions:
    named = type(packed.estimator).__name__
    with needs_extra("explain", "SHAP"):
        import shap  # noqa: F401
    # It is None where there are none.
    if np.any(getattr(packed.estimator, "is_categorical_", None)):
        raise Refused(f"SHAP reads the categories of {named} as numbers, and is wrong without saying so")
    with own_code(f"SHAP of {named}", packed.spec.time_limit):
        explainer = _make_explainer(packed.estimator)
        found = np.asarray(explainer.shap_values(features, check_additivity=False), dtype=float)
        # Of classes the last is the one that is predicted.
        values = found[..., -1] if found.ndim == 3 else found
        base = float(np.ravel(explainer.expected_value)[-1])
    sums = base + values.sum(axis=1)
    for scale, follow in _SCALES.items():
        with np.errstate(over="ignore"):
            if np.allclose(follow(sums), predictions, rtol=_CLOSE, atol=1e-9):
                return Contributions(predictions, values, "SHAP", scale, base)
    off = np.abs(sums - predictions)
    raise Refused(
        f"SHAP of {named} does not add up: {sums[off.argmax()]:.6g} where {predictions[off.argmax()]:.6g} is predicted"
    )


@functools.lru_cache(maxsize=16)
def _make_explainer(estimator: Any) -> Any:
    """It takes a tenth of a second to make; estimators are told apart by which object they are."""
    import shap

    return shap.TreeExplainer(estimator)


def _by_occlusion(
    packed: PackedModel, features: pd.DataFrame, predictions: np.ndarray, batch: str, why: str
) -> Contributions:
    told = read_explanation(packed.files)
    if told is None or told.trouble:
        lacking = told.trouble if told else "it is the baseline, or was packed before these were kept"
        raise Refused(
            f"model {packed.spec.model}: this version cannot be explained. {why}. It has no typical values either: "
            f"{lacking}. A version that is trained from now on has them"
        )
    values = np.zeros((len(features), features.shape[1]))
    for i, name in enumerate(features.columns):
        typical = told.features[str(name)]
        if not typical.values:
            continue
        exchanged = with_values(features, name, typical.values)
        predicted = call_predict(packed, exchanged, batch, given_away=True).reshape(len(features), -1)
        values[:, i] = predictions - predicted @ np.array(typical.shares)
    return Contributions(predictions, values, "occlusion", why=why)
