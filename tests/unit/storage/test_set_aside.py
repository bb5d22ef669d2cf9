"""Rows set aside come back as they were taken in, from memory and from the disk; hashes that come again are found."""

import io

import numpy as np
import pyarrow as pa
import pytest

from evergreen.errors import Outage
from evergreen.storage import set_aside
from evergreen.storage.set_aside import Repeats, SetAside

SCHEMA = pa.schema([("n", pa.int64()), ("text", pa.string())])


@pytest.fixture(params=[3, 1_000], ids=["on disk", "in memory"], autouse=True)
def _pieces(request, monkeypatch):
    monkeypatch.setattr(set_aside, "ROWS", request.param)


def make(start, count):
    numbers = range(start, start + count)
    return pa.table({"n": list(numbers), "text": [f"t{n}" if n % 3 else None for n in numbers]}, schema=SCHEMA)


@pytest.fixture
def rows():
    kept = SetAside(SCHEMA)
    for start, count in ((0, 2), (2, 0), (2, 9), (11, 1)):
        kept.append(make(start, count))
    return kept


def test_rows_come_back_as_they_were_as_often_as_they_are_asked_for(rows):
    assert rows.num_rows == 12
    for _ in range(2):
        assert rows.read().equals(make(0, 12))
    assert max(piece.num_rows for piece in rows) <= set_aside.ROWS


def test_two_may_read_at_once(rows):
    read = [(mine.to_pylist(), others.to_pylist()) for mine, others in zip(rows, rows, strict=True)]
    assert all(mine == others for mine, others in read)
    assert sum(len(mine) for mine, _ in read) == 12


@pytest.mark.parametrize("places", [[], [0], [4, 5, 11], list(range(12))], ids=str)
def test_some_rows_are_left_out_or_taken(rows, places):
    places = np.array(places, dtype=np.int64)
    left = list(rows.without(places))
    expected = [n for n in range(12) if n not in places]
    assert [n for piece, _ in left for n in piece.column("n").to_pylist()] == expected
    assert [n for _, kept in left for n in kept.tolist()] == expected
    assert rows.take(places).column("n").to_pylist() == places.tolist()


def test_nothing_at_all_is_one_piece_without_rows():
    (piece,) = SetAside(SCHEMA)
    assert (piece.num_rows, piece.schema) == (0, SCHEMA)


def test_hashes_that_come_again_are_found_with_all_that_have_them():
    draw = np.random.default_rng(3)
    hashes = draw.integers(0, 2**64, 5_000, dtype=np.uint64)
    hashes[4_000:] = hashes[:1_000]
    hashes[[7, 8, 4_999]] = 2**64 - 1
    order = draw.permutation(len(hashes))
    repeats = Repeats()
    for start in range(0, len(order), 600):
        mine = order[start : start + 600]
        repeats.add(hashes[mine], mine)
    found = list(repeats.groups())
    different, counts = np.unique(hashes, return_counts=True)
    again = np.flatnonzero(np.isin(hashes, different[counts > 1]))
    assert sorted(np.concatenate(found).tolist()) == again.tolist()
    assert len(again) == 1_997
    # Those of one hash come together.
    groups = [set(hashes[places].tolist()) for places in found]
    assert sum(map(len, groups)) == len(set.union(*groups))


def test_where_no_hash_comes_again_none_is_found():
    repeats = Repeats()
    assert list(repeats.groups()) == []
    for start in range(0, 50, 5):
        repeats.add(np.arange(start, start + 5, dtype=np.uint64) << np.uint64(57), np.arange(start, start + 5))
    assert list(repeats.groups()) == []


def set_rows_aside():
    kept = SetAside(SCHEMA)
    kept.append(make(0, 9))
    kept.read()


def set_hashes_aside():
    Repeats().add(np.arange(9, dtype=np.uint64), np.arange(9))


@pytest.mark.parametrize("work", [set_rows_aside, set_hashes_aside])
def test_a_disk_that_is_full_is_an_outage_that_says_where(work, monkeypatch):
    monkeypatch.setattr(set_aside, "ROWS", 3)
    monkeypatch.setattr(set_aside.tempfile, "TemporaryFile", lambda: io.FileIO("/dev/full", "wb+"))
    with pytest.raises(Outage, match=r"No space left on device; make room there, or set TMPDIR"):
        work()
