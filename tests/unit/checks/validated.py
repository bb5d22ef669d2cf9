"""Batches that are validated: their rules, and what became of their rows."""

import io
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from evergreen.checks.arrived_rows import Rules
from evergreen.checks.validating import validate_files
from evergreen.config.expectations_config import ExpectationsConfig
from evergreen.config.feeds_config import FilesConfig
from evergreen.config.fields import ColumnType
from evergreen.sources.parsing import parse_file

FILES = FilesConfig(files="f_{batch:%Y-%m-%d}.csv")

COLUMNS = {"id": "integer", "at": "date", "x": "float", "kind": "category"}

HEADER = "id,at,x,kind\n"


def rules(*expected, columns=COLUMNS, key=("id",), required=("id", "at"), nulls=("",), max_quarantined=1.0):
    return Rules(
        {name: ColumnType(type=kind) for name, kind in columns.items()},
        key,
        required,
        nulls,
        ExpectationsConfig.model_validate({"rows": list(expected)}).rows,
        max_quarantined,
        Path("models/taxi/expectations.yaml"),
    )


def sort(*texts, by=None):
    """Sort CSV texts, one a file (f0.csv, f1.csv, …), each below the common header."""
    files = [parse_file(f"f{i}.csv", (HEADER + text).encode(), FILES) for i, text in enumerate(texts)]
    done = validate_files(files, by or rules())
    arrived = sum(file.rows.num_rows + len(file.torn) for file in files)
    assert done.rows_in == done.clean.num_rows + done.quarantine.num_rows == arrived
    return done


def clean_ids(done):
    return done.clean.read().column("id").to_pylist()


def held(done):
    """What is in quarantine: (file, row) with expectation and column."""
    rows = done.quarantine.read().to_pylist()
    return {(row["file"], row["row"]): (row["expectation"], row["column"]) for row in rows}


def rows_of(ids, x="1"):
    return "".join(f"{i},2024-01-01,{x},a\n" for i in ids)


def from_parquet(**columns):
    sink = io.BytesIO()
    rows = {"id": [1, 2], "at": ["2024-01-01"] * 2, "x": [1.0, 2.0], "kind": ["a", "b"]} | columns
    parquet.write_table(pa.table(rows), sink)
    return validate_files([parse_file("f.parquet", sink.getvalue(), FILES)], rules())


def grown(**columns):
    """The rules with further columns."""
    by = rules()
    return Rules(by.columns | columns, by.key, by.required, by.nulls, by.expected, by.max_quarantined, by.path)
