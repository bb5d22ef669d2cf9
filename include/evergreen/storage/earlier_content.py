"""Content hashes as earlier versions recorded them, for the ledgers that hold them: nothing is recorded so any more."""

import hashlib
import io
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from pyarrow import csv

_ROWS = 65_536
FORM = "2:"
# Bytes of a text that are hashed word by word; a longer one is hashed by itself.
_SHORT = 64
_WORD = 8
# Of the bytes of a text's last word only the first count.
_MASKS = np.array([(1 << 8 * n) - 1 for n in range(_WORD + 1)], dtype=np.uint64)
# Shifts and factors by which two lanes mix a word: the finalisers of SplitMix64 and of MurmurHash3.
_LANES = (
    ((30, 27, 31), (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)),
    ((33, 33, 33), (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53)),
)
Lanes = tuple[np.ndarray, np.ndarray]


class EarlierHash:
    """Hash of rows that come piece by piece, in any order, of the form before ``ContentHash``."""

    def __init__(self) -> None:
        self._sums = [0, 0]

    def update(self, rows: pa.Table) -> None:
        """Add rows."""
        for piece in rows.to_batches(max_chunksize=_ROWS):
            lanes = np.zeros((2, len(piece)), dtype=np.uint64)
            for name, column in zip(piece.schema.names, piece.columns, strict=True):
                cells = _hash_cells(name, column)
                known = None if column.null_count == 0 else column.is_valid().to_numpy(zero_copy_only=False)
                for lane, cell in zip(lanes, cells, strict=True):
                    lane += cell if known is None else np.where(known, cell, np.uint64(0))
            for n, lane in enumerate(lanes):
                # Mixed from 0, a row without any value would not count.
                self._sums[n] = (self._sums[n] + int(_mix(lane ^ np.uint64(1), n).sum(dtype=np.uint64))) % 2**64

    def hexdigest(self) -> str:
        """The hash of the rows so far."""
        return f"{FORM}{self._sums[0]:016x}{self._sums[1]:016x}"


def printed_hash(rows: pa.Table) -> str:
    """The hash of version 0.2.0: that of the text which Arrow's CSV writer makes of canonical rows.

    :param rows: in the order of their key, texts as plain strings.
    """
    names = sorted(name for name in rows.column_names if rows.column(name).null_count < rows.num_rows)
    sink = io.BytesIO()
    csv.write_csv(rows.select(names), sink)
    return hashlib.sha256(sink.getbuffer()).hexdigest()[:32]


def _lanes(make: Callable[[int], np.ndarray]) -> Lanes:
    return make(0), make(1)


def _mix(words: np.ndarray, lane: int) -> np.ndarray:
    """Spread each bit of each word over the whole word."""
    shifts, factors = _LANES[lane]
    mixed: np.ndarray = words ^ (words >> np.uint64(shifts[0]))
    for shift, factor in zip(shifts[1:], factors, strict=True):
        mixed *= np.uint64(factor)
        mixed ^= mixed >> np.uint64(shift)
    return mixed


def _salts(text: str) -> np.ndarray:
    """What the cells of a column begin from, a word for each lane."""
    return _digest(text.encode())


def _digest(content: bytes) -> np.ndarray:
    """A word for each lane."""
    digest = hashlib.blake2b(content, digest_size=2 * _WORD).digest()
    return np.frombuffer(digest, dtype="<u8").astype(np.uint64)


def _hash_cells(name: str, column: pa.Array) -> Lanes:
    """Two words for each value of a column; those of nulls mean nothing."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_boolean(kind):
        return _hash_words(_salts(f"boolean {name}"), _words(column.cast(pa.uint8())))
    if pa.types.is_integer(kind):
        return _hash_words(_salts(f"number {name}"), _words(column))
    if pa.types.is_floating(kind):
        return _hash_floats(name, column)
    if pa.types.is_date(kind):
        return _hash_words(_salts(f"date {name}"), _words(column.cast(pa.date32()).cast(pa.int32())))
    if pa.types.is_timestamp(kind):
        # What no microsecond tells is cut off: no table stores it.
        moments = column.cast(pa.timestamp("us", tz=kind.tz), safe=kind.unit != "ns")
        return _hash_words(_salts(f"moment {name}"), _words(moments.cast(pa.int64())))
    return _hash_texts(_salts(f"text {name}"), column.cast(pa.large_string()))


def _words(column: pa.Array) -> np.ndarray:
    numbers: np.ndarray = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    return numbers.view(np.uint64)


def _hash_words(salts: np.ndarray, words: np.ndarray) -> Lanes:
    return _lanes(lambda lane: _mix(words ^ salts[lane], lane))


def _hash_floats(name: str, column: pa.Array) -> Lanes:
    """Whole numbers as integers are hashed, others by their bits under salts of their own."""
    numbers = column.cast(pa.float64()).fill_null(0).to_numpy(zero_copy_only=False)
    whole = (np.abs(numbers) < 2.0**63) & (np.trunc(numbers) == numbers)
    # All of NaN's bits mean the same.
    fractions = np.where(np.isnan(numbers), np.nan, numbers).view(np.uint64)
    words = np.where(whole, np.where(whole, numbers, 0).astype(np.int64).view(np.uint64), fractions)
    number, fraction = _salts(f"number {name}"), _salts(f"fraction {name}")
    return _lanes(lambda lane: _mix(words ^ np.where(whole, number[lane], fraction[lane]), lane))


def _hash_texts(salts: np.ndarray, texts: pa.Array) -> Lanes:
    """The bytes of texts, word by word, beginning from their length."""
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int64)[texts.offset : texts.offset + len(texts) + 1]
    first, end = int(bounds[0]), int(bounds[-1])
    content = np.frombuffer(data, dtype=np.uint8)[first:end] if data is not None else np.array([], dtype=np.uint8)
    padded = np.append(content, np.zeros(_WORD, dtype=np.uint8))
    # The word that begins at each byte.
    words = np.ndarray(len(padded) - _WORD + 1, dtype="<u8", buffer=padded, strides=(1,))
    starts, lengths = bounds[:-1] - first, np.diff(bounds)
    long = np.flatnonzero(lengths > _SHORT)
    lengths[long] = 0
    lanes = _lanes(lambda lane: _mix(np.arange(_SHORT + 1, dtype=np.uint64) ^ salts[lane], lane)[lengths])
    for done in range(0, int(lengths.max(initial=0)), _WORD):
        rows = np.flatnonzero(lengths > done)
        word = words[starts[rows] + done] & _MASKS[np.minimum(lengths[rows] - done, _WORD)]
        for n, lane in enumerate(lanes):
            lane[rows] = _mix(lane[rows] ^ word, n)
    for row in long:
        whole = _digest(content[starts[row] : bounds[row + 1] - first].tobytes())
        for lane, salt, word in zip(lanes, salts, whole, strict=True):
            lane[row] = salt ^ word
    return lanes
