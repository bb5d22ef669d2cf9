"""Loading packed models: what MLflow hands over is held against the ledger before any of it is run."""

import functools
import logging
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from evergreen.errors import ModelIncompatible
from evergreen.storage.model_from_code import PACKED
from evergreen.storage.packed_model import PackedModel, hash_files, read_files
from evergreen.storage.tracking import asked

# Sets of hashes by file name, as a key of a cache; one of them must be met.
Recorded = frozenset[frozenset[tuple[str, str]]]
_logger = logging.getLogger(__name__)
WAY_OUT = (
    "Restore the files from a backup (docs/backup.md), serve another version (evergreen rollback), or retrain: "
    "docs/runbook.md#when-state-is-damaged"
)


@dataclass(frozen=True, eq=False)
class PackedFiles:
    """The files of a logged model, of which nothing was run yet; they can go to another machine.

    :param named: which model and version, for messages.
    :param folder: where they lay.
    :param content: by name.
    :param recorded: what ``recorded_hashes`` returned.
    """

    named: str
    folder: Path
    content: Mapping[str, bytes]
    recorded: Recorded

    def open(self) -> PackedModel:
        """The model, if its files are those on record.

        :raises ModelIncompatible: naming each file that is missing, changed or not on record, or that cannot be loaded.
        """
        if not self.recorded:
            told = "%s: an earlier release packed it, and put no hashes on record: its files are trusted"
            _logger.warning(told, self.named)
        _require_recorded(self.named, self.folder, self.content, self.recorded)
        try:
            return PackedModel.open(self.folder, self.content)
        except ModelIncompatible as error:
            raise ModelIncompatible(f"{self.named}: {error}") from error


@functools.lru_cache(maxsize=16)
def load_packed(tracking_uri: str, model_id: str, named: str, recorded: Recorded) -> PackedModel:
    """A logged model, if its files are those on record; what was loaded is kept, and never read from the files again.

    Parameters and what is raised: as ``fetch_packed``, and ``PackedFiles.open``.
    """
    return fetch_packed(tracking_uri, model_id, named, recorded).open()


def fetch_packed(tracking_uri: str, model_id: str, named: str, recorded: Recorded) -> PackedFiles:
    """The files of a logged model as they are now, which nobody has held against the record yet.

    :param model_id: MLflow's id of it.
    :param named: which model and version, for messages.
    :param recorded: what ``recorded_hashes`` returned.
    :raises ModelIncompatible: if there are none.
    """
    # Nothing is opened in the thread that asks: only in the main one the time limit of a model's own code holds.
    return PackedFiles(named, *asked(tracking_uri, partial(_fetch, tracking_uri, model_id, named)), recorded)


def find_hashes(tracking_uri: str, model_id: str, named: str, recorded: Recorded) -> dict[str, str]:
    """The hashes of a logged model's files, which are on record; nothing of it is run. Parameters: as ``load_packed``.

    :returns: SHA-256 by file name; none where an earlier release packed it.
    """
    folder, files = asked(tracking_uri, partial(_fetch, tracking_uri, model_id, named))
    _require_recorded(named, folder, files, recorded)
    return hash_files(files) if recorded else {}


def recorded_hashes(hashes: Iterable[Mapping[str, str]]) -> Recorded:
    """What may be met, as a key: one set of hashes by file name each; those of an earlier release are empty."""
    return frozenset(frozenset(one.items()) for one in hashes if one)


def drop_files(tracking_uri: str, model_id: str) -> None:
    """Delete the files of a logged model."""
    repository = get_artifact_repository(str(MlflowClient(tracking_uri).get_logged_model(model_id).artifact_location))
    if repository.list_artifacts():
        repository.delete_artifacts()  # type: ignore[no-untyped-call]


def _fetch(tracking_uri: str, model_id: str, named: str) -> tuple[Path, dict[str, bytes]]:
    """Where a logged model's packed folder lies, and the content of its files."""
    location = ""
    try:
        location = str(MlflowClient(tracking_uri).get_logged_model(model_id).artifact_location)
        repository = get_artifact_repository(location)
        with tempfile.TemporaryDirectory() as scratch:
            target = None if isinstance(repository, LocalArtifactRepository) else scratch
            # A server would answer that a folder which is gone is a file that is not found.
            if target is not None and not repository.list_artifacts(f"artifacts/{PACKED}"):
                raise MlflowException("no such folder", error_code=RESOURCE_DOES_NOT_EXIST)
            folder = repository.download_artifacts(f"artifacts/{PACKED}", target)  # type: ignore[no-untyped-call]
            lies = Path(folder) if target is None else Path(location) / "artifacts" / PACKED
            return lies, read_files(Path(folder))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        where = (
            f"it has no files at {location} (if EVERGREEN_HOME was moved: move it back, or ln -s NEW OLD)"
            if location
            else f"MLflow at {tracking_uri} does not know its model {model_id}"
        )
        raise ModelIncompatible(f"{named}: {where}: {error.message}. {WAY_OUT}") from error


def _require_recorded(named: str, folder: Path, files: Mapping[str, bytes], recorded: Recorded) -> None:
    """Refuse files that are not on record, saying which, and what was expected."""
    found = hash_files(files)
    if not recorded or frozenset(found.items()) in recorded:
        return
    expected = dict(min(recorded, key=lambda one: len(one ^ found.items())))
    problems = []
    for name in sorted({*found, *expected}):
        if name not in found:
            problems.append(f"{name} is missing")
        elif name not in expected:
            problems.append(f"{name} is there, and was not packed")
        elif found[name] != expected[name]:
            problems.append(f"{name} has SHA-256 {found[name][:16]}…, expected {expected[name][:16]}…")
    raise ModelIncompatible(
        f"{named}: its files at {folder} are not those that the ledger has on record: {'; '.join(problems)}. Nothing "
        f"of them was run. {WAY_OUT}"
    )
