"""The three stores of one model, opened once a process."""

import functools
from dataclasses import dataclass

from include.config.locations import Locations
from include.storage.lake import Lake
from include.storage.ledger import Ledger
from include.storage.model_store import ModelStore


@dataclass(frozen=True)
class Stores:
    """Tables, records and models of one model."""

    lake: Lake
    ledger: Ledger
    models: ModelStore


@functools.lru_cache(maxsize=8)
def open_stores(at: Locations, model_id: str) -> Stores:
    """The stores of a model in a deployment."""
    return Stores(
        lake=Lake(at.lake, at.env, model_id),
        ledger=Ledger(at.lake, at.env, model_id),
        models=ModelStore(at.tracking_uri, at.artifacts, at.env, model_id),
    )
