"""The content hash: what rows say, whatever their order, however they are stored and in however many pieces they come.

Its arithmetic is spelt out here, for a ledger outlives the libraries' own hashes.
"""

import functools
import hashlib
import io
from collections.abc import Collection

import numpy as np
import pyarrow as pa
from pyarrow import csv

from evergreen.storage.columns import plain

# So many words lie in a processor's cache from one operation to the next.
_ROWS = 16_384
# Of the form that is written; a record of version 0.2.0 has none.
_FORM = "2:"
# Bytes of a text that are hashed word by word; a longer one is digested first.
_SHORT = 64
_WORD = 8
# Of the bytes of a text's last word only the first count, and the highest byte says how many; a full word has no room.
_MASKS = np.array([(1 << 8 * n) - 1 for n in range(_WORD + 1)], dtype=np.uint64)
_COUNTS = np.array([*(n << 56 for n in range(_WORD)), 0], dtype=np.uint64)
# 2 ** 64 over the golden ratio, which spreads a word's low bits upwards; a shift then brings them down again.
_SPREAD, _DOWN = np.uint64(0x9E3779B97F4A7C15), np.uint64(32)
# Shifts and factors by which two lanes mix a row: the finalisers of SplitMix64 and of MurmurHash3.
_LANES = (
    ((30, 27, 31), (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)),
    ((33, 33, 33), (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53)),
)
# Up to here each whole number is a float.
_EXACT = 2**53
Known = np.ndarray | None


class ContentHash:
    """Hash of rows that come piece by piece, in any order.

    A cell is one word or several, each multiplied by a key that its column's name, its kind and its place draw. A row
    is mixed from the sum of its cells, and the whole is the sum of the rows, in two lanes of 64 bits each. A value
    counts alike in whichever type it was carried: a whole number as integer and as float, a text as string and as
    category. A null adds nothing, so a column without any value does not count.
    """

    def __init__(self) -> None:
        self._sums = [0, 0]

    def update(self, rows: pa.Table) -> None:
        """Add rows."""
        for piece in rows.to_batches(max_chunksize=_ROWS):
            cells = _Cells(len(piece))
            for name, column in zip(piece.schema.names, piece.columns, strict=True):
                _add_column(cells, name, column)
            for n, lane in enumerate(cells.lanes):
                self._sums[n] = (self._sums[n] + int(_mix(lane, n).sum(dtype=np.uint64))) % 2**64

    def merge(self, digest: str) -> None:
        """Add rows that were hashed elsewhere, to this ``hexdigest``."""
        for n in range(2):
            self._sums[n] = (self._sums[n] + int(digest.removeprefix(_FORM)[16 * n :][:16], 16)) % 2**64

    def hexdigest(self) -> str:
        """The hash of the rows so far."""
        return f"{_FORM}{self._sums[0]:016x}{self._sums[1]:016x}"


def content_hash(rows: pa.Table) -> str:
    """Hash of rows in any order. Equal rows give equal hashes, however stored."""
    whole = ContentHash()
    whole.update(rows)
    return whole.hexdigest()


def row_hashes(rows: pa.Table, what: str) -> np.ndarray:
    """A number of each row, by what it says and what it is wanted for.

    :returns: (rows,) of 64 bits, each alike probable.
    """
    wanted, hashes = _digest(what.encode(), 1), [np.array([], dtype=np.uint64)]
    for piece in rows.to_batches(max_chunksize=_ROWS):
        cells = _Cells(len(piece))
        for name, column in zip(piece.schema.names, piece.columns, strict=True):
            _add_column(cells, name, column)
        hashes.append(_mix(_mix(cells.lanes[0], 0) ^ wanted, 1))
    return np.concatenate(hashes)


def find_content(rows: pa.Table, recorded: Collection[str]) -> str | None:
    """Which of recorded hashes is that of some rows, in the form that it was recorded in; None if none is.

    :param rows: in the order of their key, on which the hashes of version 0.2.0 rest.
    """
    forms = {in_any_order(one) for one in recorded}
    hashes = {content_hash(rows) if form else printed_hash(rows) for form in forms}
    return next((one for one in recorded if one in hashes), None)


def in_any_order(recorded: str) -> bool:
    """Whether a recorded hash is that of rows in any order, which can be held against pieces as they come."""
    return recorded.startswith(_FORM)


def printed_hash(rows: pa.Table) -> str:
    """The hash of version 0.2.0: that of the text which Arrow's CSV writer makes of canonical rows.

    :param rows: in the order of their key.
    """
    names = sorted(name for name in rows.column_names if rows.column(name).null_count < rows.num_rows)
    sink = io.BytesIO()
    csv.write_csv(plain(rows.select(names)), sink)
    return hashlib.sha256(sink.getbuffer()).hexdigest()[:32]


class _Cells:
    """The sums of the cells of some rows.

    :ivar lanes: (2, rows).
    """

    def __init__(self, rows: int) -> None:
        # From 0, a row without any value would not count.
        self.lanes = np.ones((2, rows), dtype=np.uint64)
        self._spread, self._times = np.empty(rows, dtype=np.uint64), np.empty(rows, dtype=np.uint64)

    def add(self, what: str, words: np.ndarray, known: Known, rows: np.ndarray | None = None) -> None:
        """Add a word to each row.

        :param what: which of a row's words it is.
        :param words: (rows,).
        :param known: (rows,) where there is a value; None where there is one everywhere.
        :param rows: the rows' numbers; None for all.
        """
        salt, *factors = _keys(what)
        spread, times = self._spread[: len(words)], self._times[: len(words)]
        np.bitwise_xor(words, salt, out=spread)
        spread *= _SPREAD
        np.right_shift(spread, _DOWN, out=times)
        spread ^= times
        if known is not None:
            spread[~known] = 0
        for lane, factor in zip(self.lanes, factors, strict=True):
            np.multiply(spread, factor, out=times)
            if rows is None:
                lane += times
            else:
                lane[rows] += times


@functools.lru_cache(maxsize=65_536)
def _keys(what: str) -> tuple[np.uint64, ...]:
    """What a word begins from, and an odd factor for each lane."""
    salt, *factors = _digest(what.encode(), 3)
    return salt, *(factor | np.uint64(1) for factor in factors)


def _digest(content: bytes, words: int) -> np.ndarray:
    digest = hashlib.blake2b(content, digest_size=words * _WORD).digest()
    return np.frombuffer(digest, dtype="<u8").astype(np.uint64)


def _mix(words: np.ndarray, lane: int) -> np.ndarray:
    """Spread each bit of each word over the whole word."""
    shifts, factors = _LANES[lane]
    mixed: np.ndarray = words ^ (words >> np.uint64(shifts[0]))
    for shift, factor in zip(shifts[1:], factors, strict=True):
        mixed *= np.uint64(factor)
        mixed ^= mixed >> np.uint64(shift)
    return mixed


def _add_column(cells: _Cells, name: str, column: pa.Array) -> None:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    known = column.is_valid().to_numpy(zero_copy_only=False) if column.null_count else None
    if pa.types.is_boolean(kind):
        cells.add(f"boolean {name}", _whole(column.cast(pa.uint8())).view(np.uint64), known)
    elif pa.types.is_integer(kind):
        _add_integers(cells, name, _whole(column), known)
    elif pa.types.is_floating(kind):
        _add_floats(cells, name, column.cast(pa.float64()).fill_null(0).to_numpy(zero_copy_only=False), known)
    elif pa.types.is_date(kind):
        days = _whole(column.cast(pa.date32()).cast(pa.int32()))
        cells.add(f"date {name}", days.view(np.uint64), known)
    elif pa.types.is_timestamp(kind):
        # What no microsecond tells is cut off: no table stores it.
        moments = column.cast(pa.timestamp("us", tz=kind.tz), safe=kind.unit != "ns")
        cells.add(f"moment {name}", _whole(moments.cast(pa.int64())).view(np.uint64), known)
    else:
        _add_texts(cells, name, column.cast(pa.large_string()), known)


def _whole(column: pa.Array) -> np.ndarray:
    numbers: np.ndarray = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    return numbers


def _add_integers(cells: _Cells, name: str, numbers: np.ndarray, known: Known) -> None:
    """As floats, but for those that no float is equal to."""
    floats = numbers.astype(np.float64)
    if len(numbers) and not -_EXACT <= numbers.min() <= numbers.max() <= _EXACT:
        # Beyond 2 ** 63, which the largest come to as floats, no integer is left to compare with.
        is_float = (floats < 2.0**63) & (np.where(floats < 2.0**63, floats, 0).astype(np.int64) == numbers)
        known = is_float if known is None else known & is_float
        cells.add(f"integer {name}", numbers.view(np.uint64), ~is_float)
    _add_floats(cells, name, floats, known)


def _add_floats(cells: _Cells, name: str, numbers: np.ndarray, known: Known) -> None:
    if np.isnan(numbers).any():
        # All of NaN's bits mean the same.
        numbers = np.where(np.isnan(numbers), np.nan, numbers)
    # And so do both zeros.
    cells.add(f"number {name}", (numbers + 0.0).view(np.uint64), known)


def _add_texts(cells: _Cells, name: str, texts: pa.Array, known: Known) -> None:
    """The bytes of texts word by word. The last word is never full, so that it tells where a text ends."""
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int64)[texts.offset : texts.offset + len(texts) + 1]
    first, end = int(bounds[0]), int(bounds[-1])
    content = np.frombuffer(data, dtype=np.uint8)[first:end] if data is not None else np.array([], dtype=np.uint8)
    padded = np.append(content, np.zeros(_WORD, dtype=np.uint8))
    # The word that begins at each byte.
    words = np.ndarray(len(padded) - _WORD + 1, dtype="<u8", buffer=padded, strides=(1,))
    starts, left = bounds[:-1] - first, np.diff(bounds)
    is_long, rows = left > _SHORT, None
    if is_long.any():
        long = np.flatnonzero(is_long)
        digests = [_digest(content[starts[row] : starts[row] + left[row]].tobytes(), 2) for row in long]
        for n, half in enumerate(np.array(digests).T):
            cells.add(f"long text {name} {n}", half, None, long)
        rows = np.flatnonzero(~is_long)
        starts, left, known = starts[rows], left[rows], None if known is None else known[rows]
    place = 0
    while len(left):
        count = np.minimum(left, _WORD)
        cells.add(f"text {name} {place}", words[starts] & _MASKS[count] | _COUNTS[count], known, rows)
        goes_on = left >= _WORD
        if not goes_on.all():
            going = np.flatnonzero(goes_on)
            rows = going if rows is None else rows[going]
            starts, left, known = starts[going], left[going], None if known is None else known[going]
        starts, left, place = starts + _WORD, left - _WORD, place + 1
