"""A version as an ONNX file, for devices without Python; written only if it predicts what the version does."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import NotReady, Refused, needs_extra
from evergreen.features.building import call_predict
from evergreen.features.labelled import gather_features, match_labels
from evergreen.judging.promotions import require_promoted
from evergreen.records import AttemptRecord, PromotionRecord
from evergreen.storage.packed_model import PackedModel
from evergreen.storage.stores import Stores, stores_of

# ONNX computes in single precision: a prediction may differ by this share of the largest one.
TOLERANCE = 1e-4
# Rows on which the two are compared.
_ROWS = 10_000
# The newest form that runtimes of the last years read.
_OPSET = {"": 18, "ai.onnx.ml": 3}


@dataclass(frozen=True)
class Export:
    """What was written.

    :param version: which.
    :param inputs: names of the file's inputs.
    :param rows: of the holdout, on which it was compared.
    :param difference: the largest, as a share of the largest prediction.
    """

    version: int
    inputs: tuple[str, ...]
    rows: int
    difference: float


def export_onnx(model: ModelFolder, at: Locations, version: int | None, file: Path) -> Export:
    """Convert a version's estimator by skl2onnx, compare the two on the holdout's rows, and write it if they agree.

    The file's input are features: features.py is not in it.

    :param version: a promoted one; None for the newest.
    :param file: where it is written; what was there is replaced.
    :raises ExtraMissing: without skl2onnx or onnxruntime.
    :raises NotReady: if no version was promoted yet.
    :raises Refused: if its estimator cannot be converted, or predicts otherwise then, by how much and in how many rows.
    """
    with needs_extra("onnx", "evergreen export --onnx"):
        import onnxruntime  # noqa: F401
        import skl2onnx  # noqa: F401
    if not file.absolute().parent.is_dir():
        raise Refused(f"{file}: found no folder {file.parent}; make it, or name a file in one that is there")
    stores = stores_of(model, at)
    promotion = _choose(stores, version)
    packed = stores.models.load_promoted(promotion)
    features = _read_features(model, stores, promotion, packed)
    named = f"model {model.id}, version {promotion.version}"
    content, inputs = _convert(named, packed, features)
    expected = call_predict(packed, features, "of its holdout")
    found = _run(content, packed, features)
    largest = float(np.abs(expected).max())
    off = np.abs(found - expected) / (largest or 1.0)
    # What is not a number is not close either.
    wrong = int((~(off <= TOLERANCE)).sum())
    if wrong:
        raise Refused(
            f"{named}: not exported: converted, it predicts otherwise in {wrong} of {len(off)} rows of its holdout, by "
            f"up to {np.nanmax(np.abs(found - expected)):.4g} where predictions reach {largest:.4g}; at most "
            f"{TOLERANCE:.2%} of that is expected. skl2onnx converts {type(packed.estimator).__name__} wrongly"
        )
    _write(content, file, model, promotion, packed)
    return Export(promotion.version, inputs, len(off), float(off.max()))


def _choose(stores: Stores, version: int | None) -> PromotionRecord:
    if version is not None:
        return require_promoted(stores, version)
    promotions = list(stores.ledger.all(PromotionRecord, "champion"))
    if not promotions:
        raise NotReady(f"model {stores.model_id}: no version was promoted yet")
    return promotions[-1]


def _read_features(model: ModelFolder, stores: Stores, promotion: PromotionRecord, packed: PackedModel) -> pd.DataFrame:
    """Features of the rows that the version was judged on; where nothing was judged, of those that it learnt last."""
    schema = packed.spec.data_schema(model.config.data_schema)
    attempt = stores.ledger.get(AttemptRecord, promotion.attempt)
    first = attempt.holdout[0] if attempt is not None and attempt.holdout else promotion.trained_on[1]
    labelled = match_labels(schema, stores, first, promotion.as_of)
    features, _ = gather_features(schema, stores, packed, labelled)
    if features.empty:
        raise Refused(f"model {model.id}, version {promotion.version}: no row of its holdout is there to compare it on")
    return features.head(_ROWS)


def _convert(named: str, packed: PackedModel, features: pd.DataFrame) -> tuple[Any, tuple[str, ...]]:
    """The model as ONNX has it: one input for all features where they are numbers, else one for each."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    estimator, problems = packed.estimator, []
    options = {id(estimator): {"zipmap": False}} if packed.spec.task == "classification" else None
    columns = [
        (str(name), FloatTensorType([None, 1]) if is_numeric_dtype(features[name]) else StringTensorType([None, 1]))
        for name in features.columns
    ]
    whole = [("features", FloatTensorType([None, features.shape[1]]))]
    for inputs in (whole, columns) if all(map(is_numeric_dtype, features.dtypes)) else (columns,):
        try:
            converted = convert_sklearn(estimator, initial_types=inputs, options=options, target_opset=_OPSET)
            return converted, tuple(name for name, _ in inputs)
        except Exception as error:
            # Of whatever kind: it stops at what it does not know in many ways.
            problems.append(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
    raise Refused(
        f"{named}: not exported: skl2onnx does not convert {type(estimator).__name__}: {problems[0]}. Linear models, "
        "forests and pipelines of them are converted; gradient boosting of scikit-learn 1.9 is not"
    )


def _run(content: Any, packed: PackedModel, features: pd.DataFrame) -> np.ndarray:
    """What the converted model predicts."""
    from onnxruntime import InferenceSession

    session = InferenceSession(content.SerializeToString(), providers=["CPUExecutionProvider"])
    if [one.name for one in session.get_inputs()] == ["features"]:
        given = {"features": features.to_numpy(dtype=np.float32)}
    else:
        given = {
            str(name): features[[name]].to_numpy(dtype=np.float32 if is_numeric_dtype(features[name]) else object)
            for name in features.columns
        }
    found = session.run(None, given)
    return np.asarray(found[1][:, 1] if packed.spec.task == "classification" else np.ravel(found[0]), dtype=float)


def _write(content: Any, file: Path, model: ModelFolder, promotion: PromotionRecord, packed: PackedModel) -> None:
    """Write it whole, with what tells where it comes from."""
    from onnx.helper import set_model_props

    told = {"model": model.id, "version": str(promotion.version), "code": promotion.code, "data": promotion.data}
    set_model_props(content, {**told, "features": ", ".join(packed.spec.features or ())})
    part = file.with_name(f"{file.name}.part")
    part.write_bytes(content.SerializeToString())
    part.replace(file)
