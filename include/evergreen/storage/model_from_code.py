"""The model as MLflow keeps it: the estimator together with the feature code that it was trained on.

This file is logged with every model ("models from code"), so it must stand alone: it imports nothing of this
project. MLflow's ``code_paths`` is not used because it resolves modules by bare name: two versions with a
``features.py`` in one process would both run whichever was imported first.
"""

import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel

PACKED = "packed"
SPEC, FEATURES, ESTIMATOR = "spec.json", "features.py", "estimator.skops"

# skops refuses types that it does not know. These are scikit-learn's own, needed by its common estimators.
TRUSTED_TYPES = (
    "functools.partial",
    "numpy.dtype",
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.link.LogLink",
    "sklearn._loss.link.MultinomialLogit",
    "sklearn._loss.loss.AbsoluteError",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss.loss.HalfGammaLoss",
    "sklearn._loss.loss.HalfMultinomialLoss",
    "sklearn._loss.loss.HalfPoissonLoss",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn._loss.loss.PinballLoss",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
    "sklearn.utils.validation.check_array",
)


def load_module(path: Path, role: str, code: bytes | None = None) -> ModuleType:
    """Import one file of a model under a name made of its content, so that two versions never share a module.

    :param code: its content, where that was read already.
    """
    code = path.read_bytes() if code is None else code
    name = f"evergreen_{role}_{hashlib.sha256(code).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        # Compiled here rather than by the loader: its bytecode cache would sit beside the model's files.
        exec(compile(code, str(path), "exec"), module.__dict__)  # noqa: S102
    except BaseException:
        del sys.modules[name]
        raise
    return module


def load_estimator(file: Path | BinaryIO, trusted: Iterable[str]) -> Any:
    """Load the estimator of a packed folder.

    :param file: its file, or its content.
    :param trusted: types that skops may load beside scikit-learn's own.
    """
    # Its import takes seconds, which who only reads records need not wait.
    import skops.io

    return skops.io.load(file, trusted=[*TRUSTED_TYPES, *trusted])


def predict_target(estimator: Any, task: str, features: pd.DataFrame) -> Any:
    """Predict from features.

    :param features: what ``build_features`` returned, (rows, features).
    :returns: (rows,) the expected target, or the probability of the positive class.
    """
    if task == "classification":
        shares = estimator.predict_proba(features)
        if shares.ndim != 2 or shares.shape[1] != 2:
            classes = [int(one) for one in getattr(estimator, "classes_", [])]
            raise ValueError(f"it has learnt the classes {classes}; expected two, 0 and 1, in what it learns from")
        return shares[:, 1]
    return estimator.predict(features)


class ModelFromCode(PythonModel):
    """Predict from the rows of a batch, with the feature code that the estimator was trained on."""

    def load_context(self, context: Any) -> None:
        """Load the packed folder; MLflow calls this."""
        folder = Path(context.artifacts[PACKED])
        self._spec: dict[str, Any] = json.loads((folder / SPEC).read_text(encoding="utf-8"))
        self._features = load_module(folder / FEATURES, "features")
        self._estimator = load_estimator(folder / ESTIMATOR, self._spec["trusted_types"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> Any:
        """Predict from the rows of a batch alone; a model with a lookback needs ``score_batch``."""
        model, lookback = self._spec["model"], self._spec["lookback"]
        if lookback:
            raise ValueError(
                f"model {model} reads the {lookback} batches before the one it scores; MLflow hands over single rows. "
                "Score it with Evergreen's score_batch."
            )
        features = self._features.build_features(model_input.copy(), model_input.iloc[:0])
        return predict_target(self._estimator, self._spec["task"], features)


mlflow.models.set_model(ModelFromCode())
