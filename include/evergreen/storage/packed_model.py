"""A packed model: its spec, its feature code and its estimator, in one folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
from pydantic import ValidationError

from evergreen.config.model_spec import ModelSpec
from evergreen.errors import ModelIncompatible
from evergreen.storage.model_from_code import FEATURES, SPEC, load_estimator, load_module, predict_target

CODE = (FEATURES, "estimator.py")
# How a version was described before the first release.
_UNNUMBERED = "contract.json"


@dataclass(frozen=True)
class PackedModel:
    """A version, a challenger, or one that is being fitted.

    :param folder: where it lies.
    :param spec: what it was made with.
    :param features: its own feature code.
    :param estimator: None until it is fitted.
    """

    folder: Path
    spec: ModelSpec
    features: ModuleType
    estimator: Any

    @classmethod
    def open(cls, folder: Path) -> "PackedModel":
        """Load spec, features and estimator from a packed folder.

        :raises ModelIncompatible: if its spec cannot be read.
        """
        spec = read_spec(folder)
        features = load_module(folder / FEATURES, "features")
        return cls(folder, spec, features, load_estimator(folder, spec.trusted_types))

    @property
    def code(self) -> dict[str, str]:
        """The text of features.py and estimator.py, by file name."""
        return {name: (self.folder / name).read_text(encoding="utf-8") for name in CODE}

    def predict_features(self, features: pd.DataFrame) -> Any:
        """Predict from features.

        :param features: what ``build_features`` returned, (rows, features).
        :returns: (rows,) the expected target, or the probability of the positive class.
        """
        return predict_target(self.estimator, self.spec.task, features)


def write_spec(folder: Path, spec: ModelSpec) -> None:
    """Write a spec into a packed folder."""
    (folder / SPEC).write_text(spec.model_dump_json(indent=1), encoding="utf-8")


def read_spec(folder: Path) -> ModelSpec:
    """Read the spec of a packed folder.

    :raises ModelIncompatible: if it was packed by a release that writes it otherwise.
    """
    unnumbered = not (folder / SPEC).exists()
    content = json.loads((folder / (_UNNUMBERED if unnumbered else SPEC)).read_text(encoding="utf-8"))
    try:
        return ModelSpec.model_validate(_number(content) if unnumbered else content)
    except ValidationError as error:
        fields = ", ".join(sorted({".".join(str(part) for part in one["loc"][:1]) for one in error.errors()}))
        raise ModelIncompatible(
            f"model {content.get('model')}, {folder}: what it was made with cannot be read by this release: {fields}. "
            "It was packed by a newer release, or before 0.2.0; retrain the model, or run the release that packed it"
        ) from error


def _number(content: Mapping[str, Any]) -> dict[str, Any]:
    """A spec from before the first release in the form of today."""
    given = {name: value for name, value in content.items() if name != "declared"}
    if "max_delay" in given:
        given["max_delay"] = given["max_delay"] or 0
    # Of either metric of classification the constant is the same; which one it was of a regression was not told.
    metric = "logloss" if content.get("task") == "classification" else "mae"
    return {**given, "columns": content.get("declared"), "event_time": None, "metric": metric}
