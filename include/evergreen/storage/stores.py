"""The three stores of one model, opened once a process."""

import functools
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import obstore

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import Refused
from evergreen.records import PromotionRecord
from evergreen.storage.identity import require_identity
from evergreen.storage.ledger import Ledger
from evergreen.storage.objects import holds_anything, open_store, reached
from evergreen.storage.removals import contents_left

if TYPE_CHECKING:
    from evergreen.storage.lake import Lake
    from evergreen.storage.model_store import ModelStore


@dataclass(frozen=True)
class Stores:
    """Tables, records and models of one model.

    Each is opened when it is first used: who only asks the ledger, as a trigger does, need not import MLflow.
    """

    at: Locations
    model_id: str

    @cached_property
    def ledger(self) -> Ledger:
        """The records."""
        return Ledger(self.at.lake, self.at.env, self.model_id)

    @cached_property
    def lake(self) -> "Lake":
        """The tables."""
        from evergreen.storage.lake import Lake

        return Lake(self.at.lake, self.at.env, self.model_id, functools.partial(contents_left, self.ledger))

    @cached_property
    def models(self) -> "ModelStore":
        """Runs, versions and the alias."""
        from evergreen.storage.model_store import ModelStore

        if (lost := missing_database(self.at)) and self.ledger.get(PromotionRecord, "champion") is not None:
            raise Refused(
                f"model {self.model_id}: there is no MLflow database at {lost}, and the ledger has promotions, whose "
                "versions it held. Restore it from a backup (docs/runbook.md#when-state-is-damaged); if it is kept "
                "elsewhere, set EVERGREEN_HOME or MLFLOW_TRACKING_URI"
            )
        return ModelStore(self.at.tracking_uri, self.at.artifacts, self.at.env, self.model_id)


def missing_database(at: Locations) -> str:
    """Where MLflow's database should be and is not; empty where it is there, or a server keeps it."""
    database = at.tracking_uri.removeprefix("sqlite:///").partition("?")[0]
    return database if at.tracking_uri.startswith("sqlite:///") and not Path(database).exists() else ""


def require_lake(at: Locations, registry: bool = False) -> None:
    """Refuse to go on without a lake: whoever only reads makes none.

    :param registry: whether MLflow's database must be there too, where it is a file.
    :raises Refused: naming what says where it is.
    """
    if not holds_anything(f"{at.lake.rstrip('/')}/ledger/{at.env}"):
        raise Refused(
            f"there is no lake at {at.lake} for EVERGREEN_ENV {at.env!r}: no batch was ever taken in there. If it is "
            "kept elsewhere, set EVERGREEN_HOME or EVERGREEN_LAKE"
        )
    if registry and (database := missing_database(at)):
        raise Refused(
            f"there is no MLflow database at {database}: no version was ever registered there. If it is kept "
            "elsewhere, set EVERGREEN_HOME or MLFLOW_TRACKING_URI"
        )


def models_on_record(at: Locations) -> set[str]:
    """The ids of all models of a deployment that have records, also where their folder is gone."""
    uri = f"{at.lake.rstrip('/')}/ledger"
    with reached(uri):
        listed = obstore.list_with_delimiter(open_store(uri), at.env)
    names = {folder.rpartition("/")[2] for folder in listed["common_prefixes"]}
    return {name for name in names if not name.startswith("@")}


@functools.lru_cache(maxsize=2048)
def open_stores(at: Locations, model_id: str) -> Stores:
    """The stores of a model in a deployment, for those who read nothing by its folder: its calendar, its key."""
    return Stores(at, model_id)


def stores_of(model: ModelFolder, at: Locations) -> Stores:
    """The stores of a model folder, which is first held against what is on record of it.

    :raises IdentityChanged: if it names batches or rows otherwise.
    """
    stores = open_stores(at, model.id)
    require_identity(model, at, stores.ledger)
    return stores
