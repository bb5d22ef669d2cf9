"""A packed model: its spec, its feature code and its estimator, in one folder."""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from pydantic import ValidationError

from evergreen.config.model_spec import ModelSpec
from evergreen.errors import FeaturesInvalid, ModelIncompatible
from evergreen.storage.limit_own_code import own_code
from evergreen.storage.model_from_code import ESTIMATOR, FEATURES, SPEC, load_estimator, load_module, predict_target

CODE = (FEATURES, "estimator.py")
_WAY_OUT = "retrain the model, restore its files from a backup, or run the release that packed it"


@dataclass(frozen=True)
class PackedModel:
    """A version, a challenger, or one that is being fitted.

    :param folder: where it lies, or lay when it was read.
    :param spec: what it was made with.
    :param features: its own feature code.
    :param estimator: None until it is fitted.
    :param files: of a model that was loaded, what its other files held then, by name; nothing is read from them again.
    """

    folder: Path
    spec: ModelSpec
    features: ModuleType
    estimator: Any
    files: Mapping[str, bytes] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, files: Mapping[str, bytes]) -> "PackedModel":
        """Make a model of the files of a packed folder. This runs its code: hold the files against the record before.

        :param files: what ``read_files`` returned.
        :raises ModelIncompatible: naming the file that is missing, damaged, or wants other libraries.
        """
        spec = read_spec(folder, files)
        if lost := [name for name in (*CODE, ESTIMATOR) if name not in files]:
            raise ModelIncompatible(f"{folder / lost[0]} is missing; {_WAY_OUT}")
        name = FEATURES
        try:
            with own_code(f"model {spec.model}, {name} of a version, on import", spec.time_limit):
                features = load_module(folder / FEATURES, "features", files[FEATURES])
            name = ESTIMATOR
            estimator = load_estimator(io.BytesIO(files[ESTIMATOR]), spec.trusted_types)
        except MemoryError:
            # A fault of the machine, not of the model: it is tried again.
            raise
        except (Exception, SystemExit) as error:
            cause = error.__cause__ if isinstance(error, FeaturesInvalid) and error.__cause__ else error
            problem = f"cannot be loaded: {type(cause).__name__}: {' '.join(str(cause).split())}"
            wanted = "it is damaged, or needs the libraries that its MLflow run lists"
            raise ModelIncompatible(f"{folder / name} {problem}; {wanted}; {_WAY_OUT}") from error
        kept = {name: content for name, content in files.items() if name != ESTIMATOR}
        return cls(folder, spec, features, estimator, kept)

    @property
    def code(self) -> dict[str, str]:
        """The text of features.py and estimator.py, by file name."""
        return {name: self.files[name].decode() for name in CODE}

    def predict_features(self, features: Any) -> Any:
        """Predict from features.

        :param features: (rows, features), what ``build_features`` returned; of an estimator without names an array.
        :returns: (rows,) the expected target, or the probability of the positive class.
        """
        return predict_target(self.estimator, self.spec.task, features)


def hash_parameters(estimator: Any) -> str:
    """The SHA-1 of what an estimator holds; of equal fits it is equal, where their files differ from dump to dump."""
    # Its import takes a while, and few ask.
    from joblib.hashing import NumpyHasher

    class ParameterHasher(NumpyHasher):  # type: ignore[misc]
        def save(self, held: Any) -> None:
            if isinstance(held, np.ndarray) and held.dtype.names:
                # Between the fields of a tree's node lies what was in memory before.
                held = {name: np.ascontiguousarray(held[name]) for name in held.dtype.names}
            elif isinstance(held, np.random.RandomState | np.random.Generator):
                # The generator that fitted it: no parameter, and skops does not store where it stood.
                held = type(held).__name__
            super().save(held)

    return str(ParameterHasher("sha1").hash(estimator))


def read_files(folder: Path) -> dict[str, bytes]:
    """All files below a packed folder, by their path in it; what is to be trusted is made of these bytes alone."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def hash_files(files: Mapping[str, bytes]) -> dict[str, str]:
    """The SHA-256 of each file."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def write_spec(folder: Path, spec: ModelSpec) -> None:
    """Write a spec into a packed folder."""
    (folder / SPEC).write_text(spec.model_dump_json(indent=1), encoding="utf-8")


def read_spec(folder: Path, files: Mapping[str, bytes]) -> ModelSpec:
    """Read the spec of a packed folder.

    :param folder: for the message.
    :raises ModelIncompatible: if it is missing or damaged, or another release packed it that writes it otherwise.
    """
    if SPEC not in files:
        problem = "is missing. It was packed before 0.2.0, or its files were lost"
        raise ModelIncompatible(f"{folder / SPEC} {problem}; {_WAY_OUT}")
    try:
        return ModelSpec.model_validate_json(files[SPEC])
    except ValidationError as error:
        fields = sorted({str(one["loc"][0]) if one["loc"] else one["msg"] for one in error.errors()})
        problem = f"cannot be read by this release: {', '.join(fields)}. It is damaged, or a newer release packed it"
        raise ModelIncompatible(f"{folder / SPEC} {problem}; {_WAY_OUT}") from error
