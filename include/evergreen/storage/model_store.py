"""The model store: MLflow's runs, registered versions and alias. The ledger decides; MLflow holds the evidence."""

import functools
from collections.abc import Iterable, Mapping
from importlib.metadata import version as installed
from pathlib import Path

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.data.delta_dataset_source import DeltaDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Run, RunData
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, RESOURCE_DOES_NOT_EXIST, ErrorCode

from evergreen.errors import ModelIncompatible
from evergreen.foreign_text import for_markdown
from evergreen.records import PromotionRecord
from evergreen.storage import model_from_code
from evergreen.storage.backend_store import prepare_backend_store
from evergreen.storage.loading import (
    WAY_OUT,
    PackedFiles,
    Recorded,
    drop_files,
    fetch_packed,
    find_hashes,
    load_packed,
    recorded_hashes,
)
from evergreen.storage.logged_model import Evidence
from evergreen.storage.model_from_code import PACKED
from evergreen.storage.model_pages import ModelPages
from evergreen.storage.nested_runs import end_run, log_trials
from evergreen.storage.packed_model import PackedModel
from evergreen.storage.tracking import asks_mlflow, find_experiment, open_experiment, quiet

ALIAS = "champion"
PROMOTION_TAG = "evergreen.promotion"
ATTEMPT_TAG = "evergreen.attempt"
ROLE_TAG = "evergreen.role"
_MODEL_TAG = "evergreen.model_uri"
_PACKAGES = ("mlflow", "numpy", "pandas", "scikit-learn", "skops")


class ModelStore:
    """The runs and the registered versions of one model.

    :param tracking_uri: MLflow's tracking and registry URI.
    :param artifacts: where a new experiment keeps its artefacts; None leaves it to the server.
    :param env: the deployment's name.
    :param model_id: the model.
    """

    def __init__(self, tracking_uri: str, artifacts: str | None, env: str, model_id: str) -> None:
        self._uri, self._artifacts, self._model_id = tracking_uri, artifacts, model_id
        self._experiment_name = f"{env}/{model_id}"
        self.name = f"{env}.{model_id}"
        prepare_backend_store(tracking_uri, artifacts)
        self._client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
        self.pages = ModelPages(self._client, self.name)

    @asks_mlflow
    def find_run(self, attempt: str, role: str) -> str | None:
        """The run of an attempt in a role (challenger, champion) that was finished first, or None."""
        finished = sorted(self._search(attempt, role, "FINISHED"), key=lambda run: int(run.info.end_time))
        return str(finished[0].info.run_id) if finished else None

    @asks_mlflow
    def log_model(
        self, attempt: str, role: str, folder: Path, signature: ModelSignature, example: pd.DataFrame, about: Evidence
    ) -> str:
        """Log a packed model and its evidence as one run; returns the run's id.
        The caller is alone at the attempt: killed processes, or calls whose answer was lost, left its other open runs.

        :param folder: features.py, estimator.py, estimator.skops and spec.json.
        :param example: synthetic rows that show the input's shape; never real ones.
        """
        tags = {ATTEMPT_TAG: attempt, ROLE_TAG: role, **about.tags}
        begun = mlflow.start_run(experiment_id=self._experiment, run_name=f"{role} {attempt}", tags=tags)
        with quiet(), begun as run:
            for left in {one.info.run_id for one in self._search(attempt, role, "RUNNING")} - {run.info.run_id}:
                end_run(self._client, self._experiment, left)
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
            log_trials(self._client, run, about.trials)
        return str(run.info.run_id)

    @asks_mlflow
    def run_data(self, run_id: str) -> RunData:
        """The tags and the latest metrics of a run."""
        return self._client.get_run(run_id).data

    @asks_mlflow
    def version_tags(self, version: int) -> dict[str, str]:
        """The tags of a registered version."""
        return dict(self._client.get_model_version(self.name, str(version)).tags)

    @asks_mlflow
    def find_version(self, attempt: str) -> int | None:
        """The version that an attempt was registered as first, or None."""
        query = f"name = '{self.name}' and tags.`{ATTEMPT_TAG}` = '{attempt}'"
        versions = self._client.search_model_versions(query)
        return min((int(version.version) for version in versions), default=None)

    @asks_mlflow
    def create_version(self, run_id: str, attempt: str, tags: Mapping[str, str], description: str) -> int:
        """Register a run's model as the version of an attempt; returns the attempt's one version.
        MLflow never deduplicates, but numbers versions as they come: an attempt's lowest is the same for all who look,
        and whoever finds that another process was faster takes its own away.
        """
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
        first = self.find_version(attempt) or int(version.version)
        if first != int(version.version):
            self._client.delete_model_version(self.name, str(version.version))
        return first

    @asks_mlflow
    def champion(self) -> tuple[int | None, int]:
        """The version that the alias names, and the promotion number that the registered model is tagged with."""
        try:
            model = self._client.get_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
                raise
            return None, 0
        version = model.aliases.get(ALIAS)
        return (int(version) if version is not None else None), int(model.tags.get(PROMOTION_TAG, 0))

    @asks_mlflow
    def move_alias(self, version: int, promotion: int) -> None:
        """Point the alias at a version, then say by which promotion: a lower tag means that the alias lags."""
        self._client.set_registered_model_alias(self.name, ALIAS, str(version))
        self._client.set_registered_model_tag(self.name, PROMOTION_TAG, str(promotion))

    def run_path(self, run_id: str) -> str:
        """Where a run stands in MLflow's pages."""
        return f"#/experiments/{self._experiment}/runs/{run_id}"

    def load_run(self, run_id: str, packed: Iterable[Mapping[str, str]]) -> PackedModel:
        """The model that a run logged, with its own feature code.

        :param packed: the hashes on record of the files of its attempt in its role.
        :raises ModelIncompatible: if its files are not on record, or cannot be loaded.
        """
        model = self.run_data(run_id).tags[_MODEL_TAG].removeprefix("models:/")
        named = f"model {self._model_id}, MLflow run {run_id}"
        return load_packed(self._uri, model, named, recorded_hashes(packed))

    def load_promoted(self, promotion: PromotionRecord) -> PackedModel:
        """The version that a promotion puts in force, with its own feature code.

        :raises ModelIncompatible: if MLflow no longer has it, or its files are not those on record or cannot be loaded.
        """
        return load_packed(*self._promoted(promotion))

    def fetch_promoted(self, promotion: PromotionRecord) -> PackedFiles:
        """The files of such a version, which are opened elsewhere."""
        return fetch_packed(*self._promoted(promotion))

    @asks_mlflow
    def find_hashes(self, version: int, packed: Iterable[Mapping[str, str]]) -> dict[str, str]:
        """The hashes of a registered version's files, which are on record.

        :param packed: the hashes on record of the files of its attempt.
        :returns: SHA-256 by file name; none where an earlier release packed it.
        :raises ModelIncompatible: if its files are not on record.
        """
        named = f"model {self._model_id}, version {version}"
        return find_hashes(self._uri, self._source(version), named, recorded_hashes(packed))

    @asks_mlflow
    def has_version(self, version: int) -> bool:
        """Whether a version is still registered; somebody may have deleted an old one in MLflow."""
        try:
            return bool(self._source(version))
        except ModelIncompatible:
            return False

    @asks_mlflow
    def require_experiment(self) -> None:
        """Refuse an experiment that was deleted or moved away, and say how it is restored; none is made."""
        find_experiment(self._client, self._experiment_name, self._artifacts)

    @asks_mlflow
    def drop_files(self, run_id: str) -> None:
        """Delete the files of the model that a run logged; the run stays, with its numbers and tags."""
        drop_files(self._uri, self._client.get_run(run_id).data.tags[_MODEL_TAG].removeprefix("models:/"))

    @functools.cached_property
    def _experiment(self) -> str:
        return open_experiment(self._client, self._experiment_name, self._artifacts)

    def _search(self, attempt: str, role: str, status: str) -> list[Run]:
        query = f"tags.`{ATTEMPT_TAG}` = '{attempt}' and tags.`{ROLE_TAG}` = '{role}' and status = '{status}'"
        return list(self._client.search_runs([self._experiment], query))

    @asks_mlflow
    def _promoted(self, promotion: PromotionRecord) -> tuple[str, str, str, Recorded]:
        named = f"model {self._model_id}, version {promotion.version} (promotion {promotion.number})"
        return self._uri, self._source(promotion.version), named, recorded_hashes([promotion.hashes])

    @functools.lru_cache(maxsize=64)  # noqa: B019 - a store lives as long as its process
    def _source(self, version: int) -> str:
        try:
            source = str(self._client.get_model_version(self.name, str(version)).source)
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
                raise
            raise ModelIncompatible(
                f"model {self._model_id}: MLflow at {self._uri} has no version {version} of {self.name}: it was "
                f"deleted, or the database is another one. {WAY_OUT}"
            ) from error
        if not source.startswith("models:/m-"):
            raise ModelIncompatible(
                f"{self.name} version {version} was registered from {source}, not by Evergreen; "
                "register it through a retraining"
            )
        return source.removeprefix("models:/")
