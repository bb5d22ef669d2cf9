"""Continuous training in plain Python: what is done. Nothing here imports Airflow."""

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evergreen.storage.predictions import read_predictions

__all__ = ["read_predictions"]

# Where only Spark Connect's client is installed and no SPARK_HOME is said, its import ends a process that began with
# `python -c`, as spawned ones do. Great Expectations imports it, MLflow whenever it begins a run, and our own engine.
if (_spark := find_spec("pyspark")) is not None and _spark.submodule_search_locations:
    os.environ.setdefault("SPARK_HOME", _spark.submodule_search_locations[0])


def __getattr__(name: str) -> Any:
    """Import what reads tables when it is asked for: every DAG file imports this package."""
    if name in __all__:
        from evergreen.storage import predictions

        return getattr(predictions, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
