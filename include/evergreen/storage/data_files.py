"""The files in which the rows of a data version lie, with their hashes, for tools that name data by these."""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import obstore
import pyarrow as pa
import yaml
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from evergreen.errors import Refused
from evergreen.records import DataRecord
from evergreen.storage.damage import readable
from evergreen.storage.objects import delta_options, open_store, reached
from evergreen.storage.stores import Stores


@dataclass(frozen=True)
class DataFile:
    """A file of a table.

    :param uri: where it lies.
    :param size: its bytes.
    """

    uri: str
    size: int
    sha256: str
    md5: str


def find_data(stores: Stores, data: str) -> DataRecord:
    """A data version by its hash.

    :raises Refused: if there is none.
    """
    record = stores.ledger.get(DataRecord, data) if re.fullmatch("[0-9a-f]{32}", data) else None
    if record is None:
        raise Refused(f"model {stores.model_id}: no data version {data!r}; evergreen why MODEL VERSION tells it")
    return record


def list_files(stores: Stores, data: DataRecord) -> Iterator[DataFile]:
    """The files of the partitions that a data version lists, as the tables hold them now."""
    for table in sorted({one.table for one in data.partitions}):
        uri = stores.lake.table_uri(table)
        wanted = {(one.batch, one.revision) for one in data.partitions if one.table == table}
        try:
            with readable(uri):
                delta = DeltaTable(uri, storage_options=delta_options(uri))
                added = pa.table(delta.get_add_actions(flatten=True)).to_pylist()
        except TableNotFoundError:
            continue
        mine = [one for one in added if (one["partition.batch"], int(one["partition.revision"])) in wanted]
        for path in sorted(str(one["path"]) for one in mine):
            with reached(f"{uri}/{path}"):
                content = bytes(obstore.get(open_store(uri), path).bytes())
            md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
            yield DataFile(f"{uri}/{path}", len(content), hashlib.sha256(content).hexdigest(), md5)


def write_dvc(path: Path, files: list[DataFile]) -> None:
    """Write a ``.dvc`` file of some files, as DVC 3 does for files that it tracks.

    :raises Refused: if the lake is no folder: such a file names files beside itself.
    """
    if far := [one.uri for one in files if "://" in one.uri]:
        raise Refused(
            f"{path}: a .dvc file names files below its own folder; found {far[0]}; expected a lake in a folder"
        )
    home = path.absolute().parent
    if out := [one.uri for one in files if not Path(one.uri).is_relative_to(home)]:
        raise Refused(f"{path}: a .dvc file names files below its own folder; {out[0]} is not; write it above the lake")
    outs = [{"md5": one.md5, "size": one.size, "hash": "md5", "path": os.path.relpath(one.uri, home)} for one in files]
    path.write_text(yaml.safe_dump({"outs": outs}, sort_keys=False), encoding="utf-8")
