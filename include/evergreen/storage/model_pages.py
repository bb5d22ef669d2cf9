"""What people read of a model in MLflow. Nothing is decided by it, and nothing is read back."""

import functools
import logging
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

from evergreen.errors import ModelIncompatible
from evergreen.storage.tracking import asks_mlflow

CARD = "model_card.md"
_logger = logging.getLogger(__name__)


class ModelPages:
    """The pages of one model's runs and versions.

    :param client: of MLflow.
    :param name: the registered model's.
    """

    def __init__(self, client: MlflowClient, name: str) -> None:
        self._client, self._name, self._uri = client, name, client.tracking_uri

    def version_path(self, version: int) -> str:
        """Where a version stands."""
        return f"#/models/{self._name}/versions/{version}"

    @asks_mlflow
    def add_numbers(self, run_id: str, numbers: Mapping[str, float], at: datetime, step: int = 0) -> None:
        """Add numbers to a run; the same ones of the same moment and step stand once.

        :param at: the moment that they are of, never that of writing.
        """
        stamp = int(at.timestamp() * 1000)
        self._client.log_batch(run_id, [Metric(name, value, stamp, step) for name, value in numbers.items()])

    def add_live_numbers(self, version: int, numbers: Mapping[str, float], batch: str, step: int, at: datetime) -> None:
        """Add a batch's point to the series on the run of a version; where that was deleted, a warning tells of it."""
        try:
            self.add_numbers(self._run_of(version), numbers, at, step)
        except (MlflowException, ModelIncompatible) as error:
            _logger.warning(
                "%s: MLflow does not show the live error of batch %s: the run of version %s takes no numbers: %s",
                self._name, batch, version, error,
            )  # fmt: skip

    @asks_mlflow
    def add_report(self, run_id: str, name: str, report: Any) -> None:
        """Add a report to a run as a JSON file; the same name stands once."""
        self._client.log_dict(run_id, report, name)

    @asks_mlflow
    def describe_model(self, text: str) -> None:
        """Say in Markdown what the registered model is."""
        self._client.update_registered_model(self._name, text)

    @asks_mlflow
    def has_card(self, run_id: str) -> bool:
        """Whether the card of a version's run was written."""
        return any(one.path == CARD for one in self._client.list_artifacts(run_id))

    @asks_mlflow
    def read_card(self, version: int) -> str:
        """The card of a version, in Markdown; empty where none was written."""
        run = self._run_of(version)
        if not self.has_card(run):
            return ""
        with tempfile.TemporaryDirectory() as scratch:
            return Path(self._client.download_artifacts(run, CARD, scratch)).read_text(encoding="utf-8")

    @asks_mlflow
    def put_card(self, run_id: str, text: str) -> None:
        """Put a card, in Markdown, beside the model that a run has logged: its files stay those that were packed."""
        self._client.log_text(run_id, text, CARD)

    # It never changes, and each check asks for it. The pages live as long as their process.
    @functools.lru_cache(maxsize=64)  # noqa: B019
    @asks_mlflow
    def _run_of(self, version: int) -> str:
        return str(self._client.get_model_version(self._name, str(version)).run_id)
