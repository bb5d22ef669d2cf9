"""The spool: files of online answers, which servers write and an ingest takes into the lake.

It lies beside the ledger, at ``<lake>/answers/<env>/<model>``. A file has a name that nobody else writes, is there
whole or not at all, and is deleted once the lake has it.
"""

from collections.abc import Iterable
from contextlib import suppress

import obstore
from obstore.exceptions import AlreadyExistsError, NotFoundError

from evergreen.config.locations import Locations
from evergreen.storage.objects import open_store, put_new, reached


class Spool:
    """The answers of one model that are not in the lake yet.

    :param at: where the deployment keeps its state.
    :param model_id: the model.
    """

    def __init__(self, at: Locations, model_id: str) -> None:
        self.uri = f"{at.lake.rstrip('/')}/answers/{at.env}/{model_id}"

    def write(self, name: str, content: bytes) -> None:
        """Put a file there; one of the name is the same file, whose writer did not hear that it was written.

        :raises Outage: if the store does not answer.
        """
        with reached(f"{self.uri}/{name}"), suppress(AlreadyExistsError):
            put_new(self.uri, name, content)

    def sizes(self) -> dict[str, int]:
        """Bytes of each file, by name, in the order of the names."""
        with reached(self.uri):
            listed = [one for page in obstore.list(open_store(self.uri)) for one in page]
        return {str(one["path"]): int(one["size"]) for one in sorted(listed, key=lambda one: str(one["path"]))}

    def read(self, name: str) -> bytes | None:
        """A file; None if somebody has deleted it."""
        try:
            with reached(f"{self.uri}/{name}"):
                return bytes(obstore.get(open_store(self.uri), name).bytes())
        except (FileNotFoundError, NotFoundError):
            return None

    def delete(self, names: Iterable[str]) -> None:
        """Delete files; those that are gone already do not matter."""
        for name in names:
            with reached(f"{self.uri}/{name}"), suppress(FileNotFoundError, NotFoundError):
                obstore.delete(open_store(self.uri), name)
