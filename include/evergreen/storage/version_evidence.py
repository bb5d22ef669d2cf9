"""What MLflow keeps of a promoted version, read to be shown: none of its code is run, and no estimator is loaded."""

import functools
import tempfile
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from evergreen.config.model_spec import ModelSpec
from evergreen.errors import ModelIncompatible
from evergreen.records import PromotionRecord
from evergreen.storage.full_disk import is_full
from evergreen.storage.loading import WAY_OUT
from evergreen.storage.model_from_code import PACKED, SPEC
from evergreen.storage.packed_model import CODE, read_spec
from evergreen.storage.stores import Stores
from evergreen.storage.tracking import asked, is_silence

_REQUIREMENTS = "requirements.txt"


@dataclass(frozen=True)
class VersionEvidence:
    """What a version was made with.

    :param spec: its settings and features.
    :param params: what its run has logged of how it was fitted, by name.
    :param learnt_rows: that it was fitted on; None where its run does not say.
    :param packages: the version of each library, as MLflow lists them.
    :param code: its features.py and estimator.py.
    """

    spec: ModelSpec
    params: dict[str, str]
    learnt_rows: int | None
    packages: dict[str, str]
    code: dict[str, str]


def read_evidence(stores: Stores, promotion: PromotionRecord) -> VersionEvidence:
    """What MLflow keeps of a promoted version.

    :raises ModelIncompatible: if it no longer has it, or its files are not those on record.
    """
    files = {name: read_packed_file(stores, promotion, name) for name in (SPEC, *CODE)}
    uri, registered = stores.at.tracking_uri, stores.models.name
    params, rows, requirements = asked(uri, partial(_read_run, uri, registered, promotion.version))
    pins = (line.partition("==") for line in requirements.splitlines())
    return VersionEvidence(
        spec=read_spec(Path(PACKED), files),
        params=params,
        learnt_rows=rows,
        packages={name: version for name, equals, version in pins if equals},
        code={name: files[name].decode() for name in CODE},
    )


def read_packed_file(stores: Stores, promotion: PromotionRecord, name: str) -> bytes:
    """One of the files that were packed with a version.

    :param name: such as ``reference.json``.
    :raises ModelIncompatible: if MLflow no longer has it, or it is not the one on record.
    """
    # Opened first, for it says so where MLflow's database is gone.
    registered, uri = stores.models.name, stores.at.tracking_uri
    content = asked(uri, partial(_read_file, uri, registered, promotion.version, f"artifacts/{PACKED}/{name}"))
    if promotion.hashes and promotion.hashes.get(name) != sha256(content).hexdigest():
        raise ModelIncompatible(
            f"model {stores.model_id}, version {promotion.version}: its {name} in MLflow is not the one that the "
            f"ledger has on record. {WAY_OUT}"
        )
    return content


@functools.lru_cache(maxsize=64)
def _read_run(tracking_uri: str, registered: str, version: int) -> tuple[dict[str, str], int | None, str]:
    """Params, rows and requirements; a run that has ended does not change them."""
    client = MlflowClient(tracking_uri, tracking_uri)
    run = client.get_run(str(client.get_model_version(registered, str(version)).run_id))
    rows = run.data.metrics.get("learnt_rows")
    requirements = _read_file(tracking_uri, registered, version, _REQUIREMENTS).decode()
    return dict(run.data.params), int(rows) if rows is not None else None, requirements


@functools.lru_cache(maxsize=256)
def _read_file(tracking_uri: str, registered: str, version: int, path: str) -> bytes:
    client = MlflowClient(tracking_uri, tracking_uri)
    model = str(client.get_model_version(registered, str(version)).source).removeprefix("models:/")
    repository = get_artifact_repository(str(client.get_logged_model(model).artifact_location))
    with tempfile.TemporaryDirectory() as scratch:
        target = None if isinstance(repository, LocalArtifactRepository) else scratch
        try:
            return Path(repository.download_artifacts(path, target)).read_bytes()  # type: ignore[no-untyped-call]
        except (OSError, MlflowException) as error:
            if is_full(error) or (isinstance(error, MlflowException) and is_silence(error)):
                raise
            raise ModelIncompatible(
                f"{registered} version {version}: MLflow does not hand over {path}: {error}. {WAY_OUT}"
            ) from error
