"""Files that hold more than they may: each rejects its batch with file, limit, what was found and the setting."""

import gzip
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from evergreen.config.locations import Locations
from tests.integration.hostile.small import HEADER, Kind, check, csv, land, land_sound, rows_of, take, write_model

ROWS = rows_of(2)


def equal_texts(rows: int, length: int) -> bytes:
    """Parquet of one text in all rows, which takes its own length in the file, and all of them in memory."""
    zone = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["x" * length]))
    sink = io.BytesIO()
    parquet.write_table(pa.table({"zone": zone}), sink, store_schema=False)
    return sink.getvalue()


def exceeds(name: str, content: bytes, *told: str, ending: str = ".csv", rows: int = 1, **limits: int) -> Kind:
    file = f"rows_2024-01-02{ending}"
    return Kind(name, {ending: content}, "rejected", 0, rows, (file, *told), {"limits": limits})


def many(name: str, told: str, text: str = "", **limits: int) -> Kind:
    """Two files of 400 rows, of which the second goes beyond a limit together with the first."""
    rows = [f"{200 + i},2024-01-02,1,{text}" for i in range(800)]
    files = {"_a.csv": csv(HEADER, *rows[:400]), "_b.csv": csv(HEADER, *rows[400:])}
    return Kind(name, files, "rejected", 0, 401, ("rows_2024-01-02_b.csv", told), {"limits": limits})


KINDS = [
    exceeds("a large file", csv(HEADER, "x" * 1_000_001), "is 2 MB large; limits.file_mb allows 1: raise it in config.yaml", file_mb=1),
    exceeds("gzip of much", gzip.compress(b"x\n" * 9_000_000), "unpack to more than 3 MB; limits.unpacked_mb allows 3", ending=".csv.gz", unpacked_mb=3),
    # Half a megabyte in the file, and five terabytes in memory.
    exceeds("one long text in Parquet", equal_texts(5_000_000, 1_000_000), "holds texts of more than 2,000 MB; limits.unpacked_mb", ending=".parquet"),
    many("rows of all files", "brings its batch to 800 rows; limits.rows allows 700: raise it in config.yaml", rows=700),
    many("size of all files", "brings its batch to 2 MB; limits.unpacked_mb allows 1: raise it in config.yaml", text="x" * 2_000, unpacked_mb=1),
    exceeds("two lone quotes", csv(HEADER, '199,2024-01-02,1,"b', *ROWS, '299,2024-01-02,1,"b'), "line 2: a quote is opened, and text follows the next one, 5 lines below", rows=7),
]  # fmt: skip
# ruff: noqa: E501 - one row of the table a line, so that it can be read


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_file_beyond_a_limit(kind: Kind, tmp_path: Path) -> None:
    model, at = write_model(tmp_path, config=kind.config), Locations.under(tmp_path)
    land_sound(model, at, 1)
    take(model, at, 1)
    land(model, at, "rows", 2, kind.files)
    land_sound(model, at, 2, ("labels",))
    take(model, at, 2)
    check(model, at, "rows", kind)
