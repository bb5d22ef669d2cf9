"""What the content hash and finding keys that come again cost beside reading the rows: CPU seconds.

``python -m tests.bench.hashing [rows]``. Rows are those of ``large_batch.py`` with seven numbers more. Each figure is
the median of five, taken in turn, for speed drifts on a machine with other work to do.
"""

import io
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evergreen.storage.content import ContentHash, row_hashes
from evergreen.storage.pieces import ROWS
from evergreen.storage.set_aside import Repeats
from tests.large_batch import make_rows

# Times the cost of reading: the two differ by less than a loaded machine's figures do.
LIMIT = 1.5


def find_keys(pieces: list[pa.Table]) -> None:
    """Look for keys that come again; there are none."""
    repeats = Repeats()
    for n, piece in enumerate(pieces):
        repeats.add(row_hashes(piece.select(["trip_id"]), "key"), np.arange(piece.num_rows) + n * ROWS)
    assert not any(len(places) for places in repeats.groups())


def measure(count: int) -> bool:
    """Run and print; returns whether the limit holds."""
    draw, rows = np.random.default_rng(1), make_rows(count)
    for n in range(5):
        rows = rows.append_column(f"float {n}", pa.array(draw.normal(size=count)))
    for n in (100, 1_000_000):
        rows = rows.append_column(f"below {n}", pa.array(draw.integers(0, n, count)))
    sink = io.BytesIO()
    pq.write_table(rows, sink)
    file = pq.ParquetFile(pa.py_buffer(sink.getvalue()))
    pieces = [pa.Table.from_batches([piece]) for piece in rows.to_batches(max_chunksize=ROWS)]

    def read() -> None:
        for _ in file.iter_batches(ROWS, use_threads=False):
            pass

    def take(whole: ContentHash) -> None:
        for piece in pieces:
            whole.update(piece)

    works: dict[str, Callable[[], None]] = {
        "reading Parquet": read,
        "hash": lambda: take(ContentHash()),
        "keys that come again": lambda: find_keys(pieces),
    }
    spent: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(5):
        for name, work in works.items():
            begun = time.process_time()
            work()
            spent[name].append(time.process_time() - begun)
    medians = {name: statistics.median(one) for name, one in spent.items()}
    print(f"{count:,} rows of {rows.num_columns} columns")
    for name, median in medians.items():
        print(f"  {name:24} {median:6.3f} CPU s, {median / medians['reading Parquet']:.2f} times reading")
    return medians["hash"] <= LIMIT * medians["reading Parquet"]


if __name__ == "__main__":
    sys.exit(0 if measure(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000) else 1)
