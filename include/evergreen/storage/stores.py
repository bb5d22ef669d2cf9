"""The three stores of one model, opened once a process."""

import functools
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from evergreen.config.locations import Locations
from evergreen.storage.ledger import Ledger

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

        return Lake(self.at.lake, self.at.env, self.model_id)

    @cached_property
    def models(self) -> "ModelStore":
        """Runs, versions and the alias."""
        from evergreen.storage.model_store import ModelStore

        return ModelStore(self.at.tracking_uri, self.at.artifacts, self.at.env, self.model_id)


@functools.lru_cache(maxsize=64)
def open_stores(at: Locations, model_id: str) -> Stores:
    """The stores of a model in a deployment."""
    return Stores(at, model_id)
