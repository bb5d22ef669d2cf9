"""Export a version."""

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import Refused
from evergreen.features.version_tags import version_tags
from evergreen.judging.promotions import require_promoted
from evergreen.records import AttemptRecord, DataRecord
from evergreen.storage.exported import ExportedVersion, Manifest
from evergreen.storage.stores import stores_of
from evergreen.storage.version_evidence import read_packed_file


def export_version(model: ModelFolder, at: Locations, version: int) -> ExportedVersion:
    """A promoted version with its packed files, its record and its judgement, as another environment takes it in.

    :raises ModelNotFound: if there is no such promoted version, naming those that there are.
    :raises ModelIncompatible: if its files are gone, or are not those on record.
    :raises Refused: if it was packed before hashes were put on record.
    """
    stores = stores_of(model, at)
    promotion = require_promoted(stores, version)
    if not promotion.hashes:
        raise Refused(
            f"model {model.id}: version {version} was packed by an earlier release, without hashes; retrain, and "
            "export the version that comes of it"
        )
    files = {name: read_packed_file(stores, promotion, name) for name in promotion.hashes}
    manifest = Manifest(
        model=model.id,
        env=at.env,
        version=version,
        every=model.config.schedule.every,
        key=model.config.rows.key,
        tags=version_tags(stores.models.version_tags(version)),
        # When and where it was written is no part of the version.
        promotion=promotion.model_copy(update={"meta": {}}),
        attempt=stores.ledger.require(AttemptRecord, promotion.attempt).model_copy(update={"meta": {}}),
        data=stores.ledger.require(DataRecord, promotion.data).model_copy(update={"meta": {}}),
        hashes=promotion.hashes,
        card=stores.models.pages.read_card(version),
    )
    return ExportedVersion(manifest, files)
