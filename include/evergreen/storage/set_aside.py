"""Rows set aside while they are worked on: few in memory, many on the worker's disk."""

import tempfile
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from evergreen.storage.full_disk import room_for
from evergreen.storage.pieces import ROWS


class SetAside:
    """Rows that are taken in piece by piece, and given back so, as often as they are asked for.

    The file that many lie in has no name: it goes with the process, however that ends.

    :ivar num_rows: rows that were taken in; the place of a row is how many came before it.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self.num_rows = 0
        self._schema = schema
        self._held: list[pa.Table] = []
        self._file: Any = None
        self._writer: Any = None

    def append(self, rows: pa.Table) -> None:
        """Take rows in; not once they have been asked for."""
        self.num_rows += rows.num_rows
        self._held.append(rows)
        if self.num_rows <= ROWS:
            return
        with room_for("the rows of a batch"):
            if self._file is None:
                self._file = _open_nameless(self)
                self._writer = pa.ipc.new_file(self._file, self._schema)
            for piece in self._held:
                self._writer.write_table(piece, max_chunksize=ROWS)
        self._held = []

    def __iter__(self) -> Iterator[pa.Table]:
        """The rows in pieces of at most 65,536."""
        if self._file is None:
            yield pa.concat_tables([self._schema.empty_table(), *self._held]).combine_chunks()
            return
        with room_for("the rows of a batch"):
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            pieces = pa.ipc.open_file(pa.PythonFile(self._file))
        for number in range(pieces.num_record_batches):
            yield pa.Table.from_batches([pieces.get_batch(number)])

    def without(self, places: np.ndarray) -> Iterator[tuple[pa.Table, np.ndarray]]:
        """The rows but some, in pieces, with their places.

        :param places: (n,) of the rows that are left out, sorted.
        """
        start = 0
        for piece in self:
            end = start + piece.num_rows
            out, kept = places[np.searchsorted(places, start) : np.searchsorted(places, end)], np.arange(start, end)
            if len(out):
                kept = np.delete(kept, out - start)
                piece = piece.take(pa.array(kept - start))
            yield piece, kept
            start = end

    def take(self, places: np.ndarray) -> pa.Table:
        """Some rows.

        :param places: (n,) sorted.
        """
        start, found = 0, [self._schema.empty_table()]
        for piece in self:
            end = start + piece.num_rows
            mine = places[np.searchsorted(places, start) : np.searchsorted(places, end)]
            if len(mine):
                found.append(piece.take(pa.array(mine - start)))
            start = end
        return pa.concat_tables(found)

    def read(self) -> pa.Table:
        """All rows at once."""
        return pa.concat_tables(self)


class Repeats:
    """Which of many hashes come again: they are sorted part by part, in a memory that does not grow with them."""

    _PARTS = 64

    def __init__(self) -> None:
        self._held: list[tuple[np.ndarray, np.ndarray]] = []
        self._count = 0
        self._file: Any = None
        self._bounds: list[np.ndarray] = []

    def add(self, hashes: np.ndarray, places: np.ndarray) -> None:
        """Take hashes in.

        :param hashes: (n,) of 64 bits.
        :param places: (n,) whose they are.
        """
        self._count += len(hashes)
        self._held.append((hashes, places))
        if self._count <= ROWS:
            return
        with room_for("the rows of a batch"):
            if self._file is None:
                self._file = _open_nameless(self)
            edges = np.arange(1, self._PARTS, dtype=np.uint64) * np.uint64(2**64 // self._PARTS)
            for some, whose in self._held:
                order = np.argsort(some)
                written = np.stack([some[order], whose[order].astype(np.uint64)], axis=1)
                inner = np.searchsorted(written[:, 0], edges)
                self._bounds.append(self._file.tell() + 16 * np.array([0, *inner, len(some)]))
                self._file.write(written.tobytes())
        self._held = []

    def groups(self) -> Iterator[np.ndarray]:
        """Places (n,), sorted, of hashes that came more than once; those of one hash come together."""
        if self._file is None:
            if self._held:
                yield from _repeated(*map(np.concatenate, zip(*self._held, strict=True)))
            return
        for part in range(self._PARTS):
            parts = [self._read(bounds[part], bounds[part + 1]) for bounds in self._bounds]
            both = np.concatenate(parts)
            yield from _repeated(both[:, 0], both[:, 1].astype(np.int64))

    def _read(self, start: int, end: int) -> np.ndarray:
        with room_for("the rows of a batch"):
            self._file.seek(start)
            return np.frombuffer(self._file.read(end - start), dtype=np.uint64).reshape(-1, 2)


def _open_nameless(owner: object) -> Any:
    """A file that is gone with its owner, or with the process."""
    file = tempfile.TemporaryFile()  # noqa: SIM115
    weakref.finalize(owner, file.close)
    return file


def _repeated(hashes: np.ndarray, places: np.ndarray) -> Iterator[np.ndarray]:
    order = np.argsort(hashes)
    hashes = hashes[order]
    follows = hashes[1:] == hashes[:-1]
    if follows.any():
        yield np.sort(places[order][np.append(False, follows) | np.append(follows, False)])
