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


def as_declared(rows: pd.DataFrame, columns: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Rows with the declared columns, in the types in which the feature code gets them.

    :param columns: by name what the spec says: ``type``, and where config.yaml says so ``format``, ``yes``, ``no``,
        ``default``.
    :raises ValueError: naming the column whose values are not of its type.
    """
    given = {}
    for name, column in columns.items():
        if name not in rows:
            if "default" in column:
                given[name] = pd.Series([column["default"]] * len(rows), index=rows.index)
            continue
        try:
            given[name] = _cast(rows[name], column)
        except (ValueError, TypeError, OverflowError) as error:
            raise ValueError(
                f"column {name}: expected {column['type']}, as config.yaml declares it: {error}"
            ) from error
    return pd.DataFrame(given, index=rows.index)


def _cast(values: pd.Series, column: dict[str, Any]) -> pd.Series:
    kind = column["type"]
    if kind in ("float", "integer"):
        numbers = pd.to_numeric(values)
        whole = numbers.dropna()
        if kind == "integer" and (whole % 1 != 0).any():
            raise ValueError(f"found {whole[whole % 1 != 0].iloc[0]}")
        return numbers.astype("int64" if kind == "integer" and len(whole) == len(numbers) else "float64")
    if kind in ("timestamp", "date"):
        form = column.get("format") if values.map(lambda one: isinstance(one, str)).any() else None
        try:
            moments = pd.to_datetime(values, format=form, utc=True)
        except ValueError:
            moments = pd.to_datetime(values, format="ISO8601", utc=True)
        naive = moments.dt.tz_localize(None).astype("datetime64[us]")
        return naive.dt.normalize() if kind == "date" else naive
    if kind == "boolean":
        truths = {str(text).lower(): True for text in column.get("yes") or ("true", "1")}
        truths |= {str(text).lower(): False for text in column.get("no") or ("false", "0")}
        texts = values.map(lambda one: _text(one).lower(), na_action="ignore")
        if unknown := sorted(set(texts.dropna()) - {*truths, "true", "false"}):
            raise ValueError(f"found {unknown[0]}")
        said = texts.map({"true": True, "false": False} | truths)
        return said.astype(object if said.isna().any() else bool)
    return values.map(_text, na_action="ignore").astype(object)


def _text(value: Any) -> str:
    """A value as text; codes that are whole numbers are written as such, whatever type they have here."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


class ModelFromCode(PythonModel):
    """Predict from the rows of a batch, with the feature code that the estimator was trained on."""

    def load_context(self, context: Any) -> None:
        """Load the packed folder; MLflow calls this."""
        folder = Path(context.artifacts[PACKED])
        self._spec: dict[str, Any] = json.loads((folder / SPEC).read_text(encoding="utf-8"))
        self._features = load_module(folder / FEATURES, "features")
        self._estimator = load_estimator(folder / ESTIMATOR, self._spec["trusted_types"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> Any:
        """Predict from the rows of a batch alone; a model with a lookback or feature views needs ``score_batch``.

        :param model_input: the columns of config.yaml; those that no feature reads may be left out.
        """
        model, lookback = self._spec["model"], self._spec["lookback"]
        if lookback:
            raise ValueError(
                f"model {model} reads the {lookback} batches before the one it scores; MLflow hands over single rows. "
                "Score it with Evergreen's score_batch."
            )
        if views := self._spec.get("views"):
            raise ValueError(
                f"model {model} reads the feature views {', '.join(views)}; MLflow hands over single rows. Score it "
                "with Evergreen's score_batch, or ask `evergreen serve`."
            )
        rows = as_declared(model_input, self._spec["columns"])
        try:
            features = self._features.build_features(rows, rows.iloc[:0])
        except KeyError as error:
            lacking = [name for name in self._spec["columns"] if name not in rows]
            raise ValueError(f"model {model}, features.py: wants column {error}; not given: {lacking}") from error
        return predict_target(self._estimator, self._spec["task"], features)


mlflow.models.set_model(ModelFromCode())
