"""Fitting and packing: a model is fitted with the very code that is packed beside it."""

import json
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import skops.io
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from sklearn.dummy import DummyClassifier

from evergreen.config.contract import Metric, ModelConfig, Window
from evergreen.config.feeds import LabelFeed, LabelsInside
from evergreen.config.fields import ColumnType
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import FeaturesInvalid, SourceChanged
from evergreen.features.generations import Contract, contract_of, describe_contract
from evergreen.features.labelled import LabelledRows, count_expected, gather_features, match_labels
from evergreen.features.maturity import Maturity, learn_maturity
from evergreen.losses import best_constant
from evergreen.records import DataRecord, PromotionRecord
from evergreen.storage.packed_model import PACKED, TRUSTED_TYPES, PackedModel, load_module
from evergreen.storage.stores import Stores

_SPEC_TYPES = {
    "string": DataType.string,
    "category": DataType.string,
    "float": DataType.double,
    "integer": DataType.double,
    "boolean": DataType.boolean,
    "timestamp": DataType.datetime,
    "date": DataType.datetime,
}
_EXAMPLES = {
    "string": "text",
    "category": "a",
    "float": 1.0,
    "integer": 1.0,
    "boolean": True,
    "timestamp": pd.Timestamp("2000-01-01"),
    "date": pd.Timestamp("2000-01-01"),
}
_BASELINE = Path(__file__).parent / "baseline"
_CONSTANTS: dict[Metric, str] = {
    "mae": "estimate_median.py",
    "rmse": "estimate_mean.py",
    "logloss": "estimate_share.py",
    "brier": "estimate_share.py",
}


@dataclass(frozen=True)
class FittedModel:
    """A fitted model in its packed folder, and what it learnt from.

    :param packed: the model, loaded from the folder.
    :param labelled: (n,) the rows that it could learn from.
    :param features: (n, features) their features.
    :param data: the data version that was read.
    :param span: first and last label batch.
    :param maturity: which of them it was fitted on.
    """

    packed: PackedModel
    labelled: LabelledRows
    features: pd.DataFrame
    data: DataRecord
    span: tuple[str, str]
    maturity: Maturity


@contextmanager
def packing_folder() -> Iterator[Path]:
    """An empty folder to pack a model in; MLflow keeps a logged folder under its own name."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / PACKED
        folder.mkdir()
        yield folder


def fit_model(
    model: ModelFolder,
    stores: Stores,
    span: tuple[str, str],
    folder: Path,
    code: dict[str, str] | None = None,
    data: DataRecord | None = None,
) -> FittedModel:
    """Fit on the labels that became known in a span of batches, and pack what was fitted.

    :param span: first and last label batch.
    :param folder: an empty folder that becomes the packed model.
    :param code: features.py and estimator.py; by default those of the model folder.
    :param data: a recorded data version to read again; by default what is published.
    :raises FeaturesInvalid: if the model's own code raises or does not compose what skops can load.
    """
    config, code = model.config, code or model.code
    for name, text in code.items():
        (folder / name).write_text(text, encoding="utf-8")
    contract = describe_recipe(model)
    building = PackedModel()
    building.folder = folder
    building.contract = contract
    building.features = _load(model, folder / "features.py", "features", "build_features")
    labelled = match_labels(config, stores, *span, data)
    features, read = gather_features(config, stores, building, labelled)
    maturity = learn_maturity(config, stores, building, labelled, features, span[1])
    kept = labelled.rows[maturity.kept]
    expected = count_expected(config, labelled, span[1], cautious=True)
    building.estimator = _fit(model, folder, features[maturity.kept], kept, expected)
    skops.io.dump(building.estimator, folder / "estimator.skops", compression=zipfile.ZIP_DEFLATED)
    _refuse_unknown_types(model, folder)
    contract["features"] = list(features.columns)
    if config.labels is not None:
        target = kept[config.labels.column].to_numpy(dtype=float)
        contract["constant"] = best_constant(config.gate.metric, target, expected)
    contract["left_out"] = int((~maturity.kept).sum())
    (folder / "contract.json").write_text(json.dumps(contract, indent=1), encoding="utf-8")
    return FittedModel(building, labelled, features, DataRecord.listing(read), span, maturity)


def baseline_of(model: ModelFolder) -> ModelFolder:
    """The folder with the best constant in place of its own features and estimator."""
    config = model.config
    code = {"features.py": "features.py", "estimator.py": _CONSTANTS[config.gate.metric]}
    changes: dict[str, object] = {
        "features": config.features.model_copy(update={"lookback": 0, "rowwise": True}),
        "training": config.training.model_copy(update={"window": "all"}),
    }
    texts = {name: (_BASELINE / file).read_text(encoding="utf-8") for name, file in code.items()}
    return replace(model, config=config.model_copy(update=changes), code=texts)


def with_window(model: ModelFolder, window: Window) -> ModelFolder:
    """The folder with one window to learn from."""
    config = model.config
    return model.replace(config.model_copy(update={"training": config.training.model_copy(update={"window": window})}))


def rebuild_model(model: ModelFolder, stores: Stores, promotion: PromotionRecord, folder: Path) -> PackedModel:
    """Fit a promoted version anew from its record: its code from MLflow, its rows from the data version.

    :param model: where the version's own record and contract do not tell; its code is not used.
    :param folder: an empty folder that becomes the packed model.
    :returns: a model that predicts what the version does.
    :raises SourceChanged: if the data version is no longer in the ledger.
    """
    packed = stores.models.load_version(promotion.version)
    code = {name: (packed.folder / name).read_text(encoding="utf-8") for name in model.code}
    data = stores.ledger.get(DataRecord, promotion.data)
    if data is None:
        raise SourceChanged(f"model {model.id}: data version {promotion.data} is not in the ledger; restore it")
    return fit_model(recipe_of(model, packed.contract), stores, promotion.trained_on, folder, code, data).packed


def recipe_of(model: ModelFolder, contract: Contract) -> ModelFolder:
    """The folder under every setting that shaped a packed model, whatever config.yaml says by now.

    What a model that was packed earlier does not tell is taken from config.yaml: its window, its labels' delay.

    :param contract: the packed model's.
    """
    config = contract_of(model.config, contract)
    features: dict[str, object] = {name: contract[name] for name in ("lookback", "rowwise") if name in contract}
    shaping = {"task": contract["task"], "seed": contract["seed"], "trusted_types": tuple(contract["trusted_types"])}
    changes: dict[str, object] = {
        "features": config.features.model_copy(update=features),
        "model": config.model.model_copy(update=shaping),
        "training": config.training.model_copy(update={"window": contract.get("window", config.training.window)}),
    }
    if "max_delay" in contract:
        changes["labels"] = _labels_of(config, contract)
    return model.replace(config.model_copy(update=changes))


def signature_of(model: ModelFolder) -> ModelSignature:
    """The signature: the declared columns of a row in, one prediction out."""
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(_SPEC_TYPES[c.type], name, required=False) for name, c in model.config.rows.columns.items()
    ]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema([ColSpec(DataType.double, "prediction")]))


def example_of(columns: dict[str, ColumnType]) -> pd.DataFrame:
    """One made-up row in the declared types: what an input looks like, without anybody's data."""
    return pd.DataFrame({name: [_EXAMPLES[column.type]] for name, column in columns.items()})


def describe_recipe(model: ModelFolder) -> Contract:
    """What is packed with a model: all of config.yaml that shapes it. ``recipe_of`` reads it back."""
    config = model.config
    return {
        "model": model.id,
        "task": config.model.task,
        "lookback": config.features.lookback,
        "rowwise": config.features.rowwise,
        "trusted_types": list(config.model.trusted_types),
        "seed": config.model.seed,
        "window": config.training.window,
        "max_delay": config.labels.max_delay if isinstance(config.labels, LabelFeed) else None,
        **describe_contract(config),
    }


def _labels_of(config: ModelConfig, contract: Contract) -> LabelsInside | None:
    """The labels that a model was packed with; where they come from does not matter once they are sealed.

    :param config: under the contract, so that a target that is still declared answers to its names of today.
    """
    if not contract["target"]:
        return None
    target = contract["target"] if config.labels is None else config.labels.target
    if contract["max_delay"] is None:
        return LabelsInside.model_validate({"target": target})
    return LabelFeed.model_validate({"target": target, "key": config.rows.key, "max_delay": contract["max_delay"]})


def _fit(model: ModelFolder, folder: Path, features: pd.DataFrame, rows: pd.DataFrame, waiting: int) -> object:
    build = _load(model, folder / "estimator.py", "estimator", "build_estimator").build_estimator
    labels = model.config.labels
    try:
        estimator = build(model.config.model.seed)
        if labels is None:
            return estimator.fit(features)
        target = rows[labels.column]
        if model.config.model.task == "classification":
            target = target.astype(np.int64)
        if isinstance(estimator, DummyClassifier):
            # The constant that ``best_constant`` is.
            weights = np.append(np.ones(len(target)), np.full(2, 1 + waiting / 2))
            return estimator.fit(np.zeros((len(target) + 2, 1)), np.append(target, [0, 1]), sample_weight=weights)
        return estimator.fit(features, target)
    except MemoryError:
        # A fault of the machine, not of the code: it is tried again.
        raise
    except (Exception, SystemExit) as error:
        place = f"model {model.id}, estimator.py, on {len(features)} rows of {list(features.columns)}"
        raise FeaturesInvalid(f"{place}: raised {type(error).__name__}: {error}") from error


def _load(model: ModelFolder, path: Path, role: str, function: str) -> ModuleType:
    try:
        module = load_module(path, role)
    except (Exception, SystemExit) as error:
        place = f"model {model.id}, {path.name}"
        raise FeaturesInvalid(f"{place}: raised {type(error).__name__} on import: {error}") from error
    if not callable(getattr(module, function, None)):
        raise FeaturesInvalid(f"model {model.id}, {path.name}: has no function {function}; expected one")
    return module


def _refuse_unknown_types(model: ModelFolder, folder: Path) -> None:
    unknown = set(skops.io.get_untrusted_types(file=folder / "estimator.skops"))
    unknown -= {*TRUSTED_TYPES, *model.config.model.trusted_types}
    if unknown:
        raise FeaturesInvalid(
            f"model {model.id}, estimator.py: composes {', '.join(sorted(unknown))}, which skops does not load "
            "unasked; compose library classes only, or trust these types under model.trusted_types in config.yaml"
        )
