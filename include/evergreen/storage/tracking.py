"""MLflow's client: the server that it speaks to, and what its silence means."""

import functools
import logging
import os
import textwrap
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar
from urllib.parse import urlsplit

import mlflow
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

from evergreen.errors import EvergreenError, ModelIncompatible, Outage, Refused
from evergreen.outside_calls import answer_within
from evergreen.storage.full_disk import is_full

# Its migrations of a fresh database are told at every start.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)

_VARIABLE = "MLFLOW_TRACKING_URI"
_TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
# How MLflow tells of a call that its client made again because the answer was lost.
_AGAIN = ("IntegrityError", "UniqueViolation")
# How MLflow tells of a server that does not answer, of a database that is locked, of a download that broke off.
_SILENCE = ("API request to", "OperationalError", "failures occurred while downloading", *_AGAIN)
# Characters that are told of it.
_LONGEST = 500
# A call of ours is some ten requests: it may take that many times as long as one of them.
_REQUESTS = 10
P = ParamSpec("P")
Answer = TypeVar("Answer")


class _Asking(Protocol):
    """Who asks one MLflow server."""

    _uri: str


Self = TypeVar("Self", bound=_Asking)


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
    except EvergreenError:
        raise
    except Exception as error:
        full = is_full(error)
        if full or is_silence(error):
            # A proxy's answer is a page, which may be long.
            told = textwrap.shorten(str(error), _LONGEST, placeholder=" …")
            happened = ", or this worker, has no room left; make some" if full else " did not answer"
            raise Outage(f"MLflow at {uri}{happened}: {told}", f"MLflow at {uri}") from error
        if isinstance(error, MlflowException) and error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            problem = f"{error.message}; the ledger names it. Restore MLflow's database from a backup (docs/backup.md)"
            raise ModelIncompatible(f"MLflow at {uri}: {problem}") from error
        raise


def asked(uri: str, ask: Callable[[], Answer]) -> Answer:
    """What MLflow answers to a call of ours.

    :raises Outage: if it does not answer, or has not answered in ten times ``MLFLOW_HTTP_REQUEST_TIMEOUT``.
    """
    with answered(uri):
        if urlsplit(uri).scheme in ("", "file", "sqlite"):
            return ask()
        return answer_within(_REQUESTS * float(os.environ[_TIMEOUT]), ask, f"MLflow at {uri}")


def asks_mlflow(
    method: Callable[Concatenate[Self, P], Answer],
) -> Callable[Concatenate[Self, P], Answer]:
    """A method whose body asks MLflow at ``_uri``; what it raises: as ``asked``."""

    @functools.wraps(method)
    def ask(self: Self, /, *args: P.args, **kwargs: P.kwargs) -> Answer:
        return asked(self._uri, lambda: method(self, *args, **kwargs))

    return ask


def is_silence(error: Exception) -> bool:
    """Whether an error says that nobody has answered, or not what MLflow answers: that a file is not there is one."""
    if isinstance(error, MlflowException):
        return any(silence in str(error) for silence in _SILENCE)
    if isinstance(error, OSError):
        return not isinstance(error, FileNotFoundError)
    # MLflow speaks to S3 by boto3, and hands on what that raises.
    return type(error).__module__.partition(".")[0] in ("boto3", "botocore")


def open_experiment(client: MlflowClient, name: str, artifacts: str | None) -> str:
    """The id of a model's experiment, which is made where there is none. Parameters: as ``find_experiment``."""
    if (standing := find_experiment(client, name, artifacts)) is not None:
        return standing
    try:
        return str(client.create_experiment(name, artifact_location=f"{artifacts}/{name}" if artifacts else None))
    except MlflowException:
        # Another process was faster.
        if (standing := find_experiment(client, name, artifacts)) is None:
            raise
        return standing


def find_experiment(client: MlflowClient, name: str, artifacts: str | None) -> str | None:
    """The id of a model's experiment, in which runs can be logged; None where there is none yet.

    :param artifacts: where this deployment keeps artefacts; None where a server decides.
    :raises Refused: if it was deleted, or the folder of its artefacts was moved away.
    """
    found = client.get_experiment_by_name(name)
    if found is None:
        return None
    what = f"model {name.partition('/')[2]}: its experiment {name} in MLflow at {client.tracking_uri}"
    if found.lifecycle_stage != LifecycleStage.ACTIVE:
        raise Refused(
            f"{what} was deleted, and nothing can be trained without it. Restore it: MLFLOW_TRACKING_URI="
            f"{client.tracking_uri} mlflow experiments restore --experiment-id {found.experiment_id}"
        )
    folder = Path(str(found.artifact_location).removeprefix("file://"))
    if (
        artifacts is not None
        and folder.is_absolute()
        and not folder.exists()
        and folder.as_uri() != f"{artifacts}/{name}"
    ):
        raise Refused(
            f"{what} keeps its artefacts at {folder}, which is gone, while this deployment keeps them at {artifacts}: "
            "EVERGREEN_HOME was moved. Move it back, or link the old folder to the new one (ln -s NEW OLD)"
        )
    return str(found.experiment_id)
