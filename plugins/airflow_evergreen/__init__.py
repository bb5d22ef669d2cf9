"""How a step becomes an Airflow task: operators, sensors, and the DAGs of all model folders."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

try:
    __version__ = version("airflow-provider-evergreen")
except PackageNotFoundError:
    # A checkout whose folders are on the path, and nothing is installed.
    __version__ = "0+checkout"


def build_dags(namespace: dict[str, Any], models: str = "*") -> None:
    """Build the DAGs of all model folders, for a DAG file of two lines: ``build_dags(globals())``.

    :param namespace: the DAG file's ``globals()``; the DAGs are added by their ids.
    :param models: which models' DAGs, where many are shared out over several files: a pattern such as ``[a-m]*``, in
        which letters count as written. The DAG ``evergreen__watch`` goes with the pattern that fits ``evergreen``.
    """
    from airflow_evergreen.dags import wire

    namespace.update(wire(models))


def get_provider_info() -> dict[str, Any]:
    """What Airflow asks of a provider package."""
    return {
        "package-name": "airflow-provider-evergreen",
        "name": "Evergreen",
        "description": "Continuous training: validate, score, monitor, retrain, judge, promote.",
        "versions": [__version__],
        "connection-types": [
            {"connection-type": "mlflow", "hook-class-name": "airflow_evergreen.hooks.tracking.MlflowHook"}
        ],
    }
