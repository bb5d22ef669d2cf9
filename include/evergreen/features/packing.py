"""Fitting and packing: a model is fitted with the very code that is packed beside it."""

import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import skops.io
from sklearn.dummy import DummyClassifier

from evergreen.config.contract import Window
from evergreen.config.data_schema import DataSchema
from evergreen.config.model_folder import ModelFolder
from evergreen.config.model_spec import ModelSpec
from evergreen.errors import FeaturesInvalid
from evergreen.features.labelled import LabelledRows, count_expected, gather_features, match_labels
from evergreen.features.maturity import Maturity, learn_maturity
from evergreen.features.sampling import Sample
from evergreen.losses import METRICS
from evergreen.records import DataRecord, PackedRecord, PromotionRecord
from evergreen.storage.full_disk import room_for
from evergreen.storage.limit_own_code import own_code
from evergreen.storage.model_from_code import ESTIMATOR, FEATURES, PACKED, TRUSTED_TYPES, load_module
from evergreen.storage.packed_model import PackedModel, hash_files, read_files, write_spec
from evergreen.storage.stores import Stores

_BASELINE = Path(__file__).parent / "baseline"


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


@dataclass(frozen=True)
class Recipe:
    """What a model is fitted by.

    :param spec: its settings.
    :param code: text of features.py and estimator.py, by file name.
    """

    spec: ModelSpec
    code: Mapping[str, str]

    @classmethod
    def of(cls, model: ModelFolder, window: Window) -> "Recipe":
        """The folder's own, with one window to learn from."""
        return cls(ModelSpec.of(model.id, model.config, window), model.code)

    @classmethod
    def of_packed(cls, packed: PackedModel) -> "Recipe":
        """A packed model's, whatever the folder says by now."""
        return cls(packed.spec.recipe, packed.code)

    @classmethod
    def of_baseline(cls, model: ModelFolder) -> "Recipe":
        """The best constant in place of the folder's own features and estimator."""
        spec = ModelSpec.of(model.id, model.config, "all").model_copy(
            update={"lookback": 0, "rowwise": True, "views": {}, "search": None}
        )
        files = {FEATURES: "features.py", "estimator.py": f"estimate_{METRICS[spec.metric].constant}.py"}
        return cls(spec, {name: (_BASELINE / file).read_text(encoding="utf-8") for name, file in files.items()})


@contextmanager
def packing_folder() -> Iterator[Path]:
    """An empty folder to pack a model in; MLflow keeps a logged folder under its own name."""
    with room_for("a model that is packed"), tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / PACKED
        folder.mkdir()
        yield folder


def fit_model(
    recipe: Recipe,
    today: DataSchema,
    stores: Stores,
    span: tuple[str, str],
    folder: Path,
    data: DataRecord | None = None,
    labelled: LabelledRows | None = None,
) -> FittedModel:
    """Fit on the labels that became known in a span of batches, and pack what was fitted.

    :param today: the schema of config.yaml, under which rows were sealed.
    :param span: first and last label batch.
    :param folder: an empty folder that becomes the packed model.
    :param data: a recorded data version to read again; by default what is published.
    :param labelled: the rows of the span, where somebody has matched them with their labels before.
    :raises FeaturesInvalid: if the model's own code raises or does not compose what skops can load.
    """
    spec, schema = recipe.spec, recipe.spec.data_schema(today)
    for name, text in recipe.code.items():
        (folder / name).write_text(text, encoding="utf-8")
    building = PackedModel(folder, spec, load_code(spec, folder / FEATURES, "features", "build_features"), None)
    labelled = labelled or match_labels(schema, stores, *span, data, Sample.of(spec))
    features, read = gather_features(schema, stores, building, labelled)
    maturity = learn_maturity(schema, stores, building, labelled, features, span[1])
    kept = labelled.rows[maturity.kept]
    expected = count_expected(schema, labelled, span[1], cautious=True)
    target = kept[schema.labels.column] if schema.labels is not None else None
    estimator = fit_estimator(spec, folder, features[maturity.kept], target, expected)
    skops.io.dump(estimator, folder / ESTIMATOR, compression=zipfile.ZIP_DEFLATED)
    _refuse_unknown_types(spec, folder)
    constant = (
        METRICS[spec.metric].best_constant(target.to_numpy(dtype=float), expected) if target is not None else None
    )
    came: dict[str, object] = {
        "features": tuple(features.columns),
        "constant": constant,
        "left_out": int((~maturity.kept).sum()),
    }
    packed = replace(building, spec=spec.model_copy(update=came), estimator=estimator)
    write_spec(folder, packed.spec)
    return FittedModel(packed, labelled, features, DataRecord.listing(read), span, maturity)


def rebuild_model(model: ModelFolder, stores: Stores, promotion: PromotionRecord, folder: Path) -> FittedModel:
    """Fit a promoted version anew from its record: its code from MLflow, its rows from the data version.

    :param model: under whose schema its rows were sealed; its code and its settings are not used.
    :param folder: an empty folder that becomes the packed model.
    :returns: a model that predicts what the version does.
    :raises RecordUnreadable: if the data version is no longer in the ledger.
    """
    data = stores.ledger.require(DataRecord, promotion.data)
    recipe = Recipe.of_packed(stores.models.load_promoted(promotion))
    return fit_model(recipe, model.config.data_schema, stores, promotion.trained_on, folder, data)


def fit_estimator(
    spec: ModelSpec, folder: Path, features: pd.DataFrame, target: pd.Series | None, waiting: int
) -> object:
    """Build the estimator by the code in a folder, and fit it.

    :param features: (n, features) of the rows to learn from.
    :param target: (n,) their labels; None for a model without.
    :param waiting: rows that wait for a label, which the best constant counts.
    :raises FeaturesInvalid: if the code raises, or what it builds cannot be fitted.
    """
    build = load_code(spec, folder / "estimator.py", "estimator", "build_estimator").build_estimator
    with own_code(
        f"model {spec.model}, estimator.py, on {len(features)} rows of {list(features.columns)}", spec.time_limit
    ):
        estimator = build(spec.seed)
        if spec.params:
            estimator.set_params(**spec.params)
        if target is None:
            return estimator.fit(features)
        if spec.task == "classification":
            target = target.astype(np.int64)
        if isinstance(estimator, DummyClassifier):
            # The constant that ``Metric.best_constant`` is.
            weights = np.append(np.ones(len(target)), np.full(2, 1 + waiting / 2))
            return estimator.fit(np.zeros((len(target) + 2, 1)), np.append(target, [0, 1]), sample_weight=weights)
        return estimator.fit(features, target)


def load_code(spec: ModelSpec, path: Path, role: str, function: str) -> ModuleType:
    """Import one file of a model's own code.

    :param function: that it must have.
    :raises FeaturesInvalid: if it raises, or does not have it.
    """
    with own_code(f"model {spec.model}, {path.name}, on import", spec.time_limit):
        module = load_module(path, role)
    if not callable(getattr(module, function, None)):
        raise FeaturesInvalid(f"model {spec.model}, {path.name}: has no function {function}; expected one")
    return module


def _refuse_unknown_types(spec: ModelSpec, folder: Path) -> None:
    unknown = set(skops.io.get_untrusted_types(file=folder / ESTIMATOR)) - {*TRUSTED_TYPES, *spec.trusted_types}
    if unknown:
        raise FeaturesInvalid(
            f"model {spec.model}, estimator.py: composes {', '.join(sorted(unknown))}, which skops does not load "
            "unasked; compose library classes only, or trust these types under model.trusted_types in config.yaml"
        )


def record_files(stores: Stores, attempt: str, as_of: str, role: str, folder: Path) -> None:
    """Put the hashes of a packed folder on record, unless they are; a killed run has packed other bytes of the same."""
    hashes, n = hash_files(read_files(folder)), 0
    while stores.ledger.put(PackedRecord(as_of=as_of, attempt=attempt, role=role, n=n, hashes=hashes)).hashes != hashes:
        n += 1


def packed_hashes(stores: Stores, attempt: str, role: str) -> list[dict[str, str]]:
    """What is on record of the files that were packed for an attempt in a role; none by an earlier release."""
    return [one.hashes for one in stores.ledger.all(PackedRecord, f"{attempt}.{role}")]
