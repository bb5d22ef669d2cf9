"""Rows of the lake as pandas sees them."""

from collections.abc import Collection

import pandas as pd
import pyarrow as pa

from evergreen.storage.pieces import ROWS

# What pandas makes of whole numbers and of booleans among which there is a null.
_BESIDE_NULLS: dict[str, type] = {"i": float, "b": object}


def to_frame(rows: pa.Table) -> pd.DataFrame:
    """Rows as pandas sees them: times in UTC without a zone, dates as midnights, text as objects."""
    # Threads cost more than they bring on few rows.
    frame: pd.DataFrame = naive(rows).to_pandas(use_threads=rows.num_rows > ROWS)
    return frame


def piece_to_frame(piece: pa.Table, nullable: Collection[str]) -> pd.DataFrame:
    """A piece of rows as it stands in the frame of them all.

    :param nullable: columns with a null anywhere in the rows: even where the piece has none, whole numbers are floats
        there, and booleans objects.
    """
    # Threads and a search for equal texts cost more than they bring on so few rows.
    frame: pd.DataFrame = naive(piece).to_pandas(use_threads=False, deduplicate_objects=False)
    kinds = {name: _BESIDE_NULLS.get(frame[name].dtype.kind) for name in nullable if name in frame}
    return frame.astype({name: kind for name, kind in kinds.items() if kind is not None}, copy=False)


def naive(rows: pa.Table) -> pa.Table:
    """Times in UTC without a zone, dates as midnights."""
    for i, field in enumerate(rows.schema):
        if pa.types.is_timestamp(field.type) or pa.types.is_date(field.type):
            rows = rows.set_column(i, field.name, rows.column(i).cast(pa.timestamp("us")))
    return rows
