"""Model folders: found, read and checked, each on its own."""

import difflib
import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, get_origin

import yaml
from pydantic import ValidationError

from include.config.contract import ModelConfig, RetrainConfig
from include.config.expectations import ExpectationsConfig
from include.config.fields import Contract
from include.errors import ConfigInvalid, ModelNotFound

C = TypeVar("C", bound=Contract)
# Forms of one field, which pydantic names in the place of a mistake.
_TAGS = ("feed", "none")
_CODE = ("features.py", "estimator.py")
# The name goes into paths, into MLflow's and Airflow's names.
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,200}")


@dataclass(frozen=True)
class ModelFolder:
    """All that is particular to one model.

    :param id: the folder's name.
    :param path: the folder.
    :param config: config.yaml.
    :param expectations: expectations.yaml; empty where there is none.
    :param code: text of features.py and estimator.py, by file name.
    """

    id: str
    path: Path
    config: ModelConfig
    expectations: ExpectationsConfig
    code: dict[str, str]

    @property
    def code_version(self) -> str:
        """Hash of the code and of the settings that shape a model."""
        shaping = self.config.model_dump(mode="json", include={"rows", "features", "model", "training"})
        text = json.dumps([shaping, self.code], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def replace(self, config: ModelConfig) -> "ModelFolder":
        """The same folder under another config."""
        return replace(self, config=config)


@dataclass(frozen=True)
class BrokenFolder:
    """A model folder that does not load, and why.

    :param id: the folder's name.
    :param path: the folder.
    :param error: what is wrong, with file and field.
    """

    id: str
    path: Path
    error: ConfigInvalid


def load_model_folder(path: Path) -> ModelFolder:
    """Read and check one model folder.

    :raises ConfigInvalid: naming each file and field at fault, what was found and what is valid.
    """
    require_name(path)
    config = _read_yaml(path / "config.yaml", ModelConfig)
    expectations = ExpectationsConfig()
    if (path / "expectations.yaml").exists():
        expectations = _read_yaml(path / "expectations.yaml", ExpectationsConfig)
    return ModelFolder(path.name, path, config, expectations, {name: _read_code(path / name) for name in _CODE})


def require_name(path: Path) -> None:
    """Refuse a folder whose name cannot be a model's id.

    :raises ConfigInvalid: saying what is valid.
    """
    if not _NAME.fullmatch(path.name):
        problem = f"the folder's name: found {path.name!r}; valid: letters, digits and _ . -, 200 at most"
        raise ConfigInvalid(str(path), [problem])


def find_model_folders(roots: list[Path]) -> dict[str, ModelFolder | BrokenFolder]:
    """Every model folder in the roots by id; a bad one shows its reason and harms no other."""
    found: dict[str, ModelFolder | BrokenFolder] = {}
    for root in roots:
        for config in sorted(root.glob("*/config.yaml")):
            folder = config.parent
            if folder.name in found:
                taken = found[folder.name].path
                problem = f"a model of this name is already served from {taken}; valid: another folder name"
                broken = BrokenFolder(folder.name, folder, ConfigInvalid(str(config), [problem]))
                found[f"{folder.name} ({root})"] = broken
                continue
            try:
                found[folder.name] = load_model_folder(folder)
            except ConfigInvalid as error:
                found[folder.name] = BrokenFolder(folder.name, folder, error)
    return found


def get_model_folder(model_id: str, roots: list[Path]) -> ModelFolder:
    """One model folder by its id.

    :raises ModelNotFound: naming the models that there are.
    :raises ConfigInvalid: if the folder breaks its contract.
    """
    for root in roots:
        if (root / model_id / "config.yaml").exists():
            return load_model_folder(root / model_id)
    known = ", ".join(find_model_folders(roots)) or "none"
    places = ", ".join(str(root) for root in roots)
    raise ModelNotFound(f"no model folder {model_id!r} in {places} (EVERGREEN_MODELS); there are: {known}")


def parse_policies(text: str) -> RetrainConfig:
    """A command line's policies, such as ``decay,every:4`` or ``due:age=28;new_labels=5000``.

    :raises ConfigInvalid: naming the policy at fault and the valid ones.
    """
    policies: list[Any] = []
    for part in text.split(","):
        name, _, options = part.strip().partition(":")
        pairs = dict(pair.split("=", 1) for pair in options.split(";") if "=" in pair)
        policies.append({name: pairs or options} if options else name)
    try:
        return RetrainConfig.model_validate({"any": policies})
    except ValidationError as error:
        raise ConfigInvalid(f"--policy {text}", describe_mistakes(error, RetrainConfig)) from None


def _read_yaml(path: Path, contract: type[C]) -> C:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigInvalid(str(path), [f"cannot be read: {error.strerror}"]) from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigInvalid(str(path), [f"is not YAML: {' '.join(str(error).split())}"]) from error
    try:
        # A file of comments alone says nothing, which expectations.yaml may.
        return contract.model_validate(content if content is not None else {})
    except ValidationError as error:
        raise ConfigInvalid(str(path), describe_mistakes(error, contract)) from None


def _read_code(path: Path) -> str:
    try:
        code = path.read_text(encoding="utf-8")
        compile(code, str(path), "exec")
    except OSError as error:
        raise ConfigInvalid(str(path), [f"cannot be read: {error.strerror}"]) from error
    except (SyntaxError, ValueError) as error:
        raise ConfigInvalid(str(path), [f"is not Python: {error}"]) from error
    return code


def describe_mistakes(error: ValidationError, contract: type[Contract]) -> list[str]:
    """One line a mistake: field, what was found, what is valid."""
    lines = []
    mistakes = error.errors()
    for mistake in mistakes:
        # A list whose only entry is wrong is empty to pydantic; one mistake is one line.
        if mistake["type"] == "too_short" and any(
            other["loc"][: len(mistake["loc"])] == mistake["loc"] for other in mistakes if other is not mistake
        ):
            continue
        mistake["loc"] = tuple(part for part in mistake["loc"] if part not in _TAGS)
        place = ".".join(str(part) for part in mistake["loc"]) or "the file"
        found = f"found {mistake['input']!r}"
        if len(found) > 120:
            found = f"{found[:117]}..."
        match mistake["type"]:
            case "extra_forbidden":
                lines.append(f"{place}: unknown field; {_suggest(mistake['loc'], contract)}")
            case "missing":
                lines.append(f"{place}: missing; valid: {_valid(mistake['loc'], contract)}")
            case "value_error":
                lines.append(f"{place}: {found}; {mistake['msg'].removeprefix('Value error, ')}")
            case _:
                lines.append(f"{place}: {found}; valid: {mistake['msg'].removeprefix('Input should be ')}")
    return lines


def _fields_at(place: tuple[int | str, ...], contract: type[Contract]) -> dict[str, Any]:
    """The fields of the part of the contract in which a place lies."""
    fields: dict[str, Any] = dict(contract.model_fields)
    parts_left = list(place)
    while parts_left:
        field = fields.get(str(parts_left.pop(0)))
        if field is None:
            return {}
        if get_origin(field.annotation) is dict:
            # The next part is a key of the user's own.
            parts_left = parts_left[1:]
        options = [field.annotation, *getattr(field.annotation, "__args__", ())] if field is not None else []
        parts = [option for option in options if isinstance(option, type) and issubclass(option, Contract)]
        if parts:
            fields = dict(parts[0].model_fields)
    return fields


def _suggest(place: tuple[int | str, ...], contract: type[Contract]) -> str:
    known = list(_fields_at(place[:-1], contract))
    close = difflib.get_close_matches(str(place[-1]), known, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"valid: {', '.join(known)}" if known else "see README, Configuration"


def _valid(place: tuple[int | str, ...], contract: type[Contract]) -> str:
    field = _fields_at(place[:-1], contract).get(str(place[-1]))
    if field is None:
        return "this field is needed"
    options = getattr(field.annotation, "__args__", None)
    if options and all(isinstance(option, str) for option in options):
        return f"one of {', '.join(options)}"
    if get_origin(field.annotation) is not None:
        return "see README, Configuration"
    name = getattr(field.annotation, "__name__", str(field.annotation))
    return f"a {name.removesuffix('Config').lower()} (see README, Configuration)"
