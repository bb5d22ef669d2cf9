"""MLflow's client: the server that it speaks to, and what its silence means."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import mlflow
from mlflow.exceptions import MlflowException

from evergreen.errors import Outage

# Its migrations of a fresh database are told at every start.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)

_VARIABLE = "MLFLOW_TRACKING_URI"


def _speak_to(uri: str) -> None:
    """Name the server to MLflow's functions, and undo that they write it into the environment, whence we read ours."""
    said = os.environ.get(_VARIABLE)
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    if said is None:
        os.environ.pop(_VARIABLE, None)
    else:
        os.environ[_VARIABLE] = said


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out MLflow's advice: to give an input example, and to have pip where uv installs."""
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*input example was not provided.*")
        yield


@contextmanager
def answered(uri: str) -> Iterator[None]:
    """Speak to one server, and turn its silence into an outage, which is retried.

    Some of MLflow's functions know only the process's own server; unset, they make a new database where they stand.
    """
    _speak_to(uri)
    try:
        yield
    except MlflowException as error:
        if "API request to" in str(error) or "OperationalError" in str(error):
            raise Outage(f"MLflow at {uri} did not answer: {error}") from error
        raise
