"""A version as one file: what was packed, and what is on record of it, with the hash of each part."""

import hashlib
import io
import json
import lzma
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from evergreen.errors import Refused
from evergreen.records import AttemptRecord, DataRecord, Part, PromotionRecord

_MANIFEST, _PACKED = "manifest.json", "packed/"
# Of every entry, so that the same version gives the same bytes.
_MOMENT = (1980, 1, 1, 0, 0, 0)


class Manifest(Part):
    """What goes with the files of an exported version.

    :ivar every: length of a batch.
    :ivar key: the columns that name a row.
    :ivar tags: of its version in MLflow.
    :ivar hashes: the SHA-256 of each packed file, by name.
    :ivar card: what its card says, in Markdown; empty where none was written.
    """

    format: int = 1
    model: str
    env: str
    version: int
    every: str
    key: tuple[str, ...]
    tags: dict[str, str]
    promotion: PromotionRecord
    attempt: AttemptRecord
    data: DataRecord
    hashes: dict[str, str]
    card: str = ""


@dataclass(frozen=True)
class ExportedVersion:
    """A version and its files.

    :param files: by name.
    """

    manifest: Manifest
    files: Mapping[str, bytes]

    @property
    def sha256(self) -> str:
        """Hash of the manifest, which holds those of all files."""
        return hashlib.sha256(_as_json(self.manifest)).hexdigest()

    def write(self, path: Path) -> None:
        """Write it; the same version gives the same bytes."""
        sink = io.BytesIO()
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in [(_MANIFEST, _as_json(self.manifest)), *sorted(self._packed())]:
                archive.writestr(zipfile.ZipInfo(name, _MOMENT), content, zipfile.ZIP_DEFLATED)
        path.write_bytes(sink.getvalue())

    def _packed(self) -> list[tuple[str, bytes]]:
        return [(f"{_PACKED}{name}", content) for name, content in self.files.items()]


def read_export(path: Path, sha256: str) -> ExportedVersion:
    """Read an exported version, if it is what was exported; nothing of it is run.

    :param sha256: what the export has said.
    :raises Refused: naming what is missing or was altered.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            # Hashed piece by piece: an entry that was blown up is never held in memory.
            hashes = {name: _hash_entry(archive, name) for name in archive.namelist()}
            if (found := hashes.pop(_MANIFEST, "no manifest")) != sha256:
                raise Refused(
                    f"{path}: its manifest has SHA-256 {found[:16]}…, expected {sha256[:16]}…: it was altered, or is "
                    "another export. Nothing of it was run; export the version once more"
                )
            read = Manifest.model_validate_json(archive.read(_MANIFEST))
            wanted = {f"{_PACKED}{name}": digest for name, digest in read.hashes.items()}
            odd = sorted(name for name in {*hashes, *wanted} if hashes.get(name) != wanted.get(name))
            odd += [name for name in read.hashes if name.startswith("/") or ".." in name.split("/")]
            if odd:
                raise Refused(
                    f"{path}: {', '.join(odd)}: not as exported. Nothing of it was run; export the version once more"
                )
            return ExportedVersion(read, {name: archive.read(f"{_PACKED}{name}") for name in read.hashes})
    except ValidationError as error:
        raise Refused(f"{path}: another release has written it: {error.errors()[0]['msg']}; use the same") from error
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
        raise Refused(f"{path}: cannot be read: {error}; export the version once more") from error


def _hash_entry(archive: zipfile.ZipFile, name: str) -> str:
    digest = hashlib.sha256()
    with archive.open(name) as entry:
        while piece := entry.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _as_json(manifest: Manifest) -> bytes:
    return json.dumps(manifest.model_dump(mode="json"), indent=1, sort_keys=True).encode()
