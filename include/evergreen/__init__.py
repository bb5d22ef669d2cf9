"""Continuous training in plain Python: what is done. Nothing here imports Airflow."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evergreen.storage.predictions import read_predictions

__all__ = ["read_predictions"]


def __getattr__(name: str) -> Any:
    """Import what reads tables when it is asked for: every DAG file imports this package."""
    if name in __all__:
        from evergreen.storage import predictions

        return getattr(predictions, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
