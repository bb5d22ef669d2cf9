"""The content hash: that of the text which Arrow's CSV writer makes, whole or piece by piece."""

import hashlib
import io
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv

from evergreen.storage.content import ContentHash, content_hash, plain

MOMENTS = [datetime(2024, 1, 1, 5, tzinfo=UTC), None, datetime(1960, 1, 1, 5, 3, 2, 123456, tzinfo=UTC)]
ROWS = pa.table(
    {
        "at": pa.array(MOMENTS, pa.timestamp("us", tz="UTC")),
        "also at": pa.array(MOMENTS[::-1], pa.timestamp("us", tz="UTC")),
        "naive": pa.array(MOMENTS, pa.timestamp("us", tz="UTC")).cast(pa.timestamp("us")),
        "day": [date(2024, 1, 1), None, date(1, 1, 1)],
        "text": ['a"b', None, "x,\ny\r"],
        'odd "name", é': ["ü", "", None],
        "float": [float("nan"), float("inf"), -0.0],
        "finer": [1e300, 0.1 + 2**-56, None],
        "whole": [1, None, -(2**62)],
        "yes": [True, False, None],
        "kind": pa.array(["a", "b", None]).dictionary_encode(),
        "none": pa.nulls(3, pa.string()),
    }
)


def written(rows: pa.Table) -> str:
    """Hash of what the CSV writer writes."""
    named = sorted(name for name in rows.column_names if rows.column(name).null_count < rows.num_rows)
    sink = io.BytesIO()
    csv.write_csv(plain(rows.select(named)), sink)
    return hashlib.sha256(sink.getvalue()).hexdigest()[:32]


@pytest.mark.parametrize("name", ROWS.column_names)
def test_each_column_reads_as_the_csv_writer_writes_it(name):
    assert content_hash(ROWS.select([name])) == written(ROWS.select([name]))


@pytest.mark.parametrize("rows", [ROWS, *(ROWS.slice(n, 1) for n in range(3)), ROWS.slice(0, 0), pa.table({})])
def test_rows_read_as_the_csv_writer_writes_them(rows):
    assert content_hash(rows) == written(rows)


def test_a_hash_that_was_recorded_stays():
    # Of these rows, before times in UTC were written apart: a ledger outlives the code.
    assert content_hash(ROWS) == "4314f4e17d3d0666c0a2b610a4ef7c3a"


def test_pieces_have_the_hash_of_the_whole():
    many = plain(ROWS).take(np.arange(200_000) % 3)
    hashed = ContentHash(set(many.column_names) - {"none"})
    for start in range(0, many.num_rows, 7_001):
        hashed.update(many.slice(start, 7_001))
    assert hashed.hexdigest() == content_hash(many) == written(many)
