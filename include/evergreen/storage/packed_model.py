"""The model as MLflow keeps it: the estimator together with the feature code that it was trained on.

This file is logged with every model ("models from code"), so it must stand alone: it imports nothing of this
project. MLflow's ``code_paths`` is not used because it resolves modules by bare name: two versions with a
``features.py`` in one process would both run whichever was imported first.
"""

import hashlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel

PACKED = "packed"

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


def load_module(path: Path, role: str) -> ModuleType:
    """Import one file of a model under a name made of its content, so that two versions never share a module."""
    code = path.read_bytes()
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


class PackedModel(PythonModel):
    """Predict from the rows of a batch, with the feature code that the estimator was trained on."""

    def unpack(self, folder: Path) -> "PackedModel":
        """Load features, estimator and contract from a packed folder."""
        # Its import takes seconds, which who only reads records need not wait.
        import skops.io

        self.folder = folder
        self.contract: dict[str, Any] = json.loads((folder / "contract.json").read_text())
        self.features = load_module(folder / "features.py", "features")
        trusted = [*TRUSTED_TYPES, *self.contract["trusted_types"]]
        self.estimator = skops.io.load(folder / "estimator.skops", trusted=trusted)
        return self

    def load_context(self, context: Any) -> None:
        """Load the packed folder; MLflow calls this."""
        self.unpack(Path(context.artifacts[PACKED]))

    def predict_features(self, features: pd.DataFrame) -> Any:
        """Predict from features.

        :param features: what ``build_features`` returned, (rows, features).
        :returns: (rows,) the expected target, or the probability of the positive class.
        """
        if self.contract["task"] == "classification":
            shares = self.estimator.predict_proba(features)
            if shares.ndim != 2 or shares.shape[1] != 2:
                classes = [int(one) for one in getattr(self.estimator, "classes_", [])]
                raise ValueError(f"it has learnt the classes {classes}; expected two, 0 and 1, in what it learns from")
            return shares[:, 1]
        return self.estimator.predict(features)

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> Any:
        """Predict from the rows of a batch alone; a model with a lookback needs ``score_batch``."""
        if self.contract["lookback"]:
            raise ValueError(
                f"model {self.contract['model']} reads the {self.contract['lookback']} batches before the one it "
                "scores; MLflow hands over single rows. Score it with Evergreen's score_batch."
            )
        features = self.features.build_features(model_input.copy(), model_input.iloc[:0])
        return self.predict_features(features)


mlflow.models.set_model(PackedModel())
