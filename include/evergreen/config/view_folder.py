"""Feature views: a folder with view.yaml and view.py each, found and checked when a model declares it."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from evergreen.config.contract import ModelConfig
from evergreen.config.fields import HOUR, Column, Contract, Limit, Misfit
from evergreen.config.locations import view_roots
from evergreen.config.mistakes import suggest
from evergreen.config.model_folder import ModelFolder, get_model_folder, read_code, read_contract
from evergreen.config.rows_config import RESERVED
from evergreen.errors import ConfigInvalid, ModelNotFound


class ViewConfig(Contract):
    """view.yaml: what a feature view is computed from, and what its values are."""

    version: Annotated[int, Field(gt=0)] = Field(description="Counted up with each change of what it computes.")
    source: str = Field(description="The model whose sealed rows it is computed from.")
    lookback: Annotated[int, Field(ge=0)] = Field(default=0, description="Batches before a batch that it reads.")
    key: tuple[str, ...] = Field(min_length=1, description="Columns of the source that together name an entity.")
    event_time: str = Field(description="Column of the source that says when a row happened; of a value, when it held.")
    reads: tuple[str, ...] = Field(default=(), description="Further columns of the source that view.py gets.")
    columns: dict[str, Column] = Field(min_length=1, description="The values, each with its type.")
    ttl: Limit = Field(description="A value that is older than this as a batch begins is not used for it.")
    owner: str = Field(default="evergreen", description="Who answers for it.")
    description: str = Field(default="", description="What it tells, for people.")
    time_limit: Limit = Field(default=HOUR, description="Time for one call of view.py.")

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if self.ttl == timedelta.max:
            raise Misfit("ttl: found forever; valid: a duration such as 30d, so that a batch reads a bounded past")
        named = (*self.key, self.event_time)
        if len(set(named)) < len(named):
            raise Misfit(f"key, event_time: found {', '.join(named)}; valid: each column once")
        taken = RESERVED | {*self.key, self.event_time}
        if twice := taken & set(self.columns):
            raise Misfit(f"columns: found {sorted(twice)[0]!r}, which is a key, a time or our own; valid: another name")
        return self

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns of the source that it reads."""
        return tuple(dict.fromkeys((*self.key, self.event_time, *self.reads)))


@dataclass(frozen=True)
class ViewFolder:
    """All that is particular to one feature view.

    :param name: the folder's name.
    :param path: the folder.
    :param config: view.yaml.
    :param code: text of view.py.
    :param source: config.yaml of the model whose rows it reads.
    """

    name: str
    path: Path
    config: ViewConfig
    code: str
    source: ModelConfig


def load_views(model: ModelFolder, roots: list[Path], models: list[Path]) -> dict[str, ViewFolder]:
    """The folders of the views that a model declares, by name; a version that is on record may have none any more.

    :param roots: the folders that hold views.
    :param models: the folders that hold models, for a view of another model's rows.
    :raises ConfigInvalid: naming the view, the file, what was found and what is valid.
    """
    found: dict[str, ViewFolder] = {}
    for name in model.config.features.views:
        path = next((root / name for root in roots if (root / name / "view.yaml").exists()), None)
        if path is not None:
            found[name] = _load(path, model, models)
    return found


def read_view(name: str) -> ViewConfig | None:
    """view.yaml of a folder of this deployment; None where there is none.

    :raises ConfigInvalid: if it is not one.
    """
    path = next((root / name for root in view_roots() if (root / name / "view.yaml").exists()), None)
    return read_contract(path / "view.yaml", ViewConfig) if path is not None else None


def _load(path: Path, model: ModelFolder, models: list[Path]) -> ViewFolder:
    file = path / "view.yaml"
    config = read_contract(file, ViewConfig)
    try:
        source = model.config if config.source == model.id else get_model_folder(config.source, models).config
    except ModelNotFound as error:
        raise ConfigInvalid(str(file), [f"source: found {config.source!r}; {error}"]) from error
    declared = source.rows.columns
    problems = [
        f"key, event_time, reads: found {name!r}, no column of {config.source}; {suggest(name, list(declared))}"
        for name in config.needed
        if name not in declared
    ]
    if not problems and declared[config.event_time].type not in ("timestamp", "date"):
        problems = [f"event_time: found {config.event_time!r}; valid: a timestamp or date column of {config.source}"]
    if problems:
        raise ConfigInvalid(str(file), problems)
    return ViewFolder(path.name, path, config, read_code(path / "view.py", "build_view", "rows"), source)
