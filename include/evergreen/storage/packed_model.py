"""A packed model: its spec, its feature code and its estimator, in one folder."""

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
_WAY_OUT = "retrain the model, restore its files from a backup, or run the release that packed it"


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

    :raises ModelIncompatible: if it is missing or damaged, or another release packed it that writes it otherwise.
    """
    try:
        return ModelSpec.model_validate_json((folder / SPEC).read_bytes())
    except FileNotFoundError as error:
        problem = "is missing. It was packed before 0.2.0, or its files were lost"
        raise ModelIncompatible(f"{folder / SPEC} {problem}; {_WAY_OUT}") from error
    except ValidationError as error:
        fields = sorted({str(one["loc"][0]) if one["loc"] else one["msg"] for one in error.errors()})
        problem = f"cannot be read by this release: {', '.join(fields)}. It is damaged, or a newer release packed it"
        raise ModelIncompatible(f"{folder / SPEC} {problem}; {_WAY_OUT}") from error
