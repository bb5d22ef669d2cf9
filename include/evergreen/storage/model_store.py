"""The model store: MLflow's runs, registered versions and alias. The ledger decides; MLflow holds the evidence."""

import functools
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

# Before the import: with MLflow's own settings a client blocks for four minutes on a server that is down.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# A server on S3 would send its clients to the store itself, by an address that only the server may be able to reach.
os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")
os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "false")

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.data.delta_dataset_source import DeltaDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from evergreen.errors import ModelIncompatible, Outage
from evergreen.foreign_text import for_markdown
from evergreen.storage import model_from_code
from evergreen.storage.model_from_code import PACKED
from evergreen.storage.packed_model import PackedModel

# Its migrations of a fresh database are told at every start.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)

ALIAS = "champion"
PROMOTION_TAG = "evergreen.promotion"
ATTEMPT_TAG = "evergreen.attempt"
ROLE_TAG = "evergreen.role"
_MODEL_TAG = "evergreen.model_uri"
_VARIABLE = "MLFLOW_TRACKING_URI"
_PACKAGES = ("mlflow", "numpy", "pandas", "scikit-learn", "skops")


@dataclass(frozen=True)
class Evidence:
    """What is logged beside a model.

    :param tags: who, why and from what.
    :param params: settings it was fitted with.
    :param metrics: numbers it was judged by.
    :param source: URI of the table it learnt from.
    :param data: its data version.
    """

    tags: Mapping[str, str]
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    source: str
    data: str


class ModelStore:
    """The runs and the registered versions of one model.

    :param tracking_uri: MLflow's tracking and registry URI.
    :param artifacts: where a new experiment keeps its artefacts; None leaves it to the server.
    :param env: the deployment's name.
    :param model_id: the model.
    """

    def __init__(self, tracking_uri: str, artifacts: str | None, env: str, model_id: str) -> None:
        self._uri, self._artifacts = tracking_uri, artifacts
        self._experiment_name = f"{env}/{model_id}"
        self.name = f"{env}.{model_id}"
        self._client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)

    def find_run(self, attempt: str, role: str) -> str | None:
        """The finished run of an attempt in a role (challenger, champion), or None.

        A run of it that a killed process left behind is marked as such.
        """
        query = f"tags.`{ATTEMPT_TAG}` = '{attempt}' and tags.`{ROLE_TAG}` = '{role}'"
        with _answered(self._uri):
            finished = None
            for run in self._search(query):
                if run.info.status == "RUNNING":
                    self._client.set_terminated(run.info.run_id, "KILLED")
                elif run.info.status == "FINISHED":
                    finished = run.info.run_id
            return finished

    def log_model(
        self, attempt: str, role: str, folder: Path, signature: ModelSignature, example: pd.DataFrame, about: Evidence
    ) -> str:
        """Log a packed model and its evidence as one run; returns the run's id.

        :param folder: features.py, estimator.py, estimator.skops and spec.json.
        :param example: synthetic rows that show the input's shape; never real ones.
        """
        with _answered(self._uri):
            tags = {ATTEMPT_TAG: attempt, ROLE_TAG: role, **about.tags}
            named = f"{role} {attempt}"
            with _quiet(), mlflow.start_run(experiment_id=self._experiment, run_name=named, tags=tags) as run:
                mlflow.log_params(dict(about.params))
                mlflow.log_metrics(dict(about.metrics))
                source = DeltaDatasetSource(path=about.source)
                dataset = MetaDataset(source=source, name=role, digest=about.data)  # type: ignore[abstract]
                mlflow.log_input(dataset, context="training")
                # Given as MLflow's own input_example it would be scored to validate it; made-up text need not be valid.
                mlflow.log_dict(example.to_dict(orient="split"), "input_example.json")
                logged = mlflow.pyfunc.log_model(
                    name="model",
                    python_model=model_from_code.__file__,
                    artifacts={PACKED: str(folder)},
                    signature=signature,
                    pip_requirements=[f"{package}=={installed(package)}" for package in _PACKAGES],
                )
                mlflow.set_tag(_MODEL_TAG, logged.model_uri)
            return str(run.info.run_id)

    def run_tags(self, run_id: str) -> dict[str, str]:
        """The tags of a run."""
        with _answered(self._uri):
            return dict(self._client.get_run(run_id).data.tags)

    def run_metrics(self, run_id: str) -> dict[str, float]:
        """The latest metrics of a run."""
        with _answered(self._uri):
            return dict(self._client.get_run(run_id).data.metrics)

    def version_tags(self, version: int) -> dict[str, str]:
        """The tags of a registered version."""
        with _answered(self._uri):
            return dict(self._client.get_model_version(self.name, str(version)).tags)

    def log_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Add numbers to a run; the same numbers at the same step stand once in its latest metrics."""
        with _answered(self._uri):
            for name, value in metrics.items():
                self._client.log_metric(run_id, name, value, step=0)

    def log_report(self, run_id: str, name: str, report: Any) -> None:
        """Add a report to a run as a JSON file; the same name stands once."""
        with _answered(self._uri):
            self._client.log_dict(run_id, report, name)

    def find_version(self, attempt: str) -> int | None:
        """The version that an attempt was registered as, or None."""
        with _answered(self._uri):
            versions = self._client.search_model_versions(
                f"name = '{self.name}' and tags.`{ATTEMPT_TAG}` = '{attempt}'"
            )
            return min((int(version.version) for version in versions), default=None)

    def create_version(self, run_id: str, attempt: str, tags: Mapping[str, str], description: str) -> int:
        """Register a run's model as the next version. MLflow never deduplicates: look for the attempt first."""
        with _answered(self._uri):
            try:
                self._client.create_registered_model(self.name)
            except MlflowException as error:
                if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
                    raise
            source = self._client.get_run(run_id).data.tags[_MODEL_TAG]
            version = self._client.create_model_version(
                self.name,
                source=source,
                run_id=run_id,
                model_id=source.removeprefix("models:/"),
                tags={ATTEMPT_TAG: attempt, **tags},
                description=for_markdown(description),
            )
            return int(version.version)

    def champion(self) -> tuple[int | None, int]:
        """The version that the alias names, and the promotion number that the registered model is tagged with."""
        with _answered(self._uri):
            try:
                model = self._client.get_registered_model(self.name)
            except MlflowException as error:
                if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
                    raise
                return None, 0
            version = model.aliases.get(ALIAS)
            return (int(version) if version is not None else None), int(model.tags.get(PROMOTION_TAG, 0))

    def move_alias(self, version: int, promotion: int) -> None:
        """Point the alias at a version, then say by which promotion: a lower tag means that the alias lags."""
        with _answered(self._uri):
            self._client.set_registered_model_alias(self.name, ALIAS, str(version))
            self._client.set_registered_model_tag(self.name, PROMOTION_TAG, str(promotion))

    def run_path(self, run_id: str) -> str:
        """Where a run stands in MLflow's pages."""
        return f"#/experiments/{self._experiment}/runs/{run_id}"

    def version_path(self, version: int) -> str:
        """Where a version stands in MLflow's pages."""
        return f"#/models/{self.name}/versions/{version}"

    def load_run(self, run_id: str) -> PackedModel:
        """The model that a run logged, with its own feature code."""
        with _answered(self._uri):
            return self._load(self._client.get_run(run_id).data.tags[_MODEL_TAG])

    def load_version(self, version: int) -> PackedModel:
        """A registered version, with its own feature code.

        :raises ModelIncompatible: if it was not packed by Evergreen.
        """
        with _answered(self._uri):
            return self._load(f"models:/{self._source(version)}")

    def has_version(self, version: int) -> bool:
        """Whether a version is still registered; somebody may have deleted an old one in MLflow."""
        with _answered(self._uri):
            try:
                return bool(self._source(version))
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return False
                raise

    def drop_files(self, run_id: str) -> None:
        """Delete the files of the model that a run logged; the run stays, with its numbers and tags."""
        with _answered(self._uri):
            uri = self._client.get_run(run_id).data.tags[_MODEL_TAG]
            logged = self._client.get_logged_model(uri.removeprefix("models:/"))
            repository = get_artifact_repository(logged.artifact_location)
            if repository.list_artifacts():
                repository.delete_artifacts()  # type: ignore[no-untyped-call]

    @functools.cached_property
    def _experiment(self) -> str:
        experiment = self._client.get_experiment_by_name(self._experiment_name)
        if experiment is not None:
            return str(experiment.experiment_id)
        try:
            location = f"{self._artifacts}/{self._experiment_name}" if self._artifacts else None
            return str(self._client.create_experiment(self._experiment_name, artifact_location=location))
        except MlflowException:
            experiment = self._client.get_experiment_by_name(self._experiment_name)
            if experiment is None:
                raise
            return str(experiment.experiment_id)

    def _search(self, query: str) -> list[Run]:
        return list(self._client.search_runs([self._experiment], query, run_view_type=ViewType.ACTIVE_ONLY))

    @functools.lru_cache(maxsize=64)  # noqa: B019 - a store lives as long as its process
    def _source(self, version: int) -> str:
        source = str(self._client.get_model_version(self.name, str(version)).source)
        if not source.startswith("models:/m-"):
            raise ModelIncompatible(
                f"{self.name} version {version} was registered from {source}, not by Evergreen; "
                "register it through a retraining"
            )
        return source.removeprefix("models:/")

    def _load(self, uri: str) -> PackedModel:
        return _open_packed(self._uri, uri)


@functools.lru_cache(maxsize=16)
def _open_packed(tracking_uri: str, uri: str) -> PackedModel:
    folder = mlflow.artifacts.download_artifacts(artifact_uri=uri)
    return PackedModel.open(Path(folder) / "artifacts" / PACKED)


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
def _quiet() -> Iterator[None]:
    """Leave out MLflow's advice: to give an input example, and to have pip where uv installs."""
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*input example was not provided.*")
        yield


@contextmanager
def _answered(uri: str) -> Iterator[None]:
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
