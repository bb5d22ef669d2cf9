"""Model folders: found, read and checked, each on its own."""

import functools
import hashlib
import io
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from evergreen.config.contract import ModelConfig
from evergreen.config.expectations_config import ExpectationsConfig
from evergreen.config.fields import Contract
from evergreen.config.mistakes import describe_mistakes, suggest
from evergreen.config.policies_config import RetrainConfig
from evergreen.config.regular_files import open_regular
from evergreen.config.yaml_file import read_yaml
from evergreen.errors import ConfigInvalid, ModelNotFound

C = TypeVar("C", bound=Contract)
_CODE = {"features.py": ("build_features", "batch, history"), "estimator.py": ("build_estimator", "seed")}
# The name goes into paths, into MLflow's and Airflow's names.
_NAME = re.compile(r"(?!\.\.?$)[A-Za-z0-9_.-]{1,200}")


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
        shaping = self.config.model_dump(
            mode="json", include={"rows", "features", "model", "training"}, exclude={"model": {"time_limit"}}
        )
        text = json.dumps([shaping, self.code], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def replace(self, config: ModelConfig) -> "ModelFolder":
        """The same folder under another config."""
        return replace(self, config=config)


@dataclass(frozen=True)
class BrokenFolder:
    """A model folder that does not load, and why.

    :param id: the folder's name, or what stands for one that cannot be an id.
    :param path: the folder.
    :param error: what is wrong, with file and field.
    """

    id: str
    path: Path
    error: ConfigInvalid


def load_model_folder(path: Path) -> ModelFolder:
    """Read and check one model folder; a process reads it again only when one of its files has changed.

    :raises ConfigInvalid: naming each file and field at fault, what was found and what is valid.
    """
    require_name(path)
    return _load(path, tuple(_stamp(path / name) for name in ("config.yaml", "expectations.yaml", *_CODE)))


@functools.lru_cache(maxsize=2048)
def _load(path: Path, stamps: tuple[tuple[int, ...], ...]) -> ModelFolder:
    """:param stamps: by which the files are told from what they were."""
    config = read_contract(path / "config.yaml", ModelConfig)
    expectations = ExpectationsConfig()
    if (path / "expectations.yaml").exists():
        expectations = read_contract(path / "expectations.yaml", ExpectationsConfig)
        _require_declared(path / "expectations.yaml", expectations, config)
    code = {name: read_code(path / name, *function) for name, function in _CODE.items()}
    return ModelFolder(path.name, path, config, expectations, code)


def _stamp(file: Path) -> tuple[int, ...]:
    """What changes when a file is written or put in another's place; empty where there is none."""
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def is_model_folder(path: Path) -> bool:
    """Whether a folder holds a model's files; one without config.yaml is broken, and not passed over."""
    return any((path / name).exists() for name in ("config.yaml", *_CODE))


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
        for folder in sorted(filter(is_model_folder, root.glob("*"))):
            if folder.name in found:
                taken, id_ = found[folder.name].path, _make_id(f"{folder.name} ({root})")
                problem = f"a model of this name is already served from {taken}; valid: another folder name"
                found[id_] = BrokenFolder(id_, folder, ConfigInvalid(str(folder / "config.yaml"), [problem]))
                continue
            try:
                found[folder.name] = load_model_folder(folder)
            except ConfigInvalid as error:
                id_ = _make_id(folder.name)
                found[id_] = BrokenFolder(id_, folder, error)
    return found


def _make_id(name: str) -> str:
    """An id for what may not be served: the name itself where it is a valid one."""
    if _NAME.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{re.sub('[^A-Za-z0-9_.-]', '_', name)[:180]}-{digest}"


def get_model_folder(model_id: str, roots: list[Path]) -> ModelFolder:
    """One model folder by its id.

    :raises ModelNotFound: naming the models that there are.
    :raises ConfigInvalid: if the folder breaks its contract.
    """
    for root in roots:
        if is_model_folder(root / model_id):
            return load_model_folder(root / model_id)
    ids = ", ".join(find_model_folders(roots)) or "none"
    folders = ", ".join(str(root) for root in roots)
    raise ModelNotFound(f"no model folder {model_id!r} in {folders} (EVERGREEN_MODELS); there are: {ids}")


def parse_policies(text: str) -> RetrainConfig:
    """A command line's policies: ``decay+every:4`` asks for either; an option follows a colon.

    :raises ConfigInvalid: naming the policy at fault and the valid ones.
    """
    where = f"--policy {text}"
    policies: list[Any] = []
    for part in text.split("+"):
        name, *options = (one.strip() for one in part.split(":"))
        if len(options) > 1 or any("," in one for one in (name, *options)):
            raise ConfigInvalid(where, [f"found {part.strip()}; valid: policies such as decay:5%+every:4"])
        policies.append({name: options[0]} if options else name)
    try:
        return RetrainConfig.model_validate({"any": policies})
    except ValidationError as error:
        raise ConfigInvalid(where, describe_mistakes(error, RetrainConfig)) from None


def read_contract(path: Path, contract: type[C]) -> C:
    """Read a YAML file as a contract.

    :raises ConfigInvalid: naming the file and each field at fault.
    """
    content = read_yaml(path)
    try:
        # A file of comments alone says nothing, which expectations.yaml may.
        return contract.model_validate(content if content is not None else {})
    except ValidationError as error:
        raise ConfigInvalid(str(path), describe_mistakes(error, contract)) from None


def _require_declared(path: Path, expectations: ExpectationsConfig, config: ModelConfig) -> None:
    """Refuse an expectation of a column that no batch will have."""
    problems = []
    for feed, declared in (("rows", config.rows.columns), ("labels", config.label_columns)):
        if not declared:
            # A model without labels asks nothing of them.
            continue
        for i, one in enumerate(getattr(expectations, feed)):
            named = [one.arguments.get(name) for name in ("column", "column_A", "column_B")]
            named += list(one.arguments.get("column_list") or []) if "column_list" in one.arguments else []
            for column in named:
                if isinstance(column, str) and column not in declared:
                    where = f"{feed}.{i}.{one.type}: found column {column!r}"
                    problems.append(f"{where}; {suggest(column, list(declared))}")
    if problems:
        raise ConfigInvalid(str(path), problems)


def read_code(path: Path, function: str, arguments: str) -> str:
    """The text of a file of own code.

    :param function: that it must define.
    :param arguments: of that function, for the message.
    :raises ConfigInvalid: if it cannot be read, is not Python, or lacks the function.
    """
    try:
        with io.TextIOWrapper(open_regular(path), encoding="utf-8") as file:
            code = file.read()
        names = compile(code, str(path), "exec").co_names
    except OSError as error:
        raise ConfigInvalid(str(path), [f"cannot be read: {error.strerror}"]) from error
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ConfigInvalid(str(path), [f"is not Python: {error}"]) from error
    if function not in names:
        raise ConfigInvalid(str(path), [f"has no function {function}; valid: def {function}({arguments})"])
    return code
