"""Cutting a history file into the batch files that a model's config expects: what a feeder would have delivered."""

import io
from datetime import UTC
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from include.config.feeds import FilesConfig
from include.config.fields import fill_batch
from include.config.model_folder import ModelFolder
from include.errors import ConfigInvalid, FileUnreadable
from include.sources.casting import cast_column
from include.sources.history import as_text, read_history
from include.sources.parsing import JSON_LINES


def split_history(model: ModelFolder, files: list[Path], folder: Path) -> dict[str, int]:
    """Cut files by event time into one CSV file a batch, with its marker where the config asks for one.

    The text of each field is kept as it came; what a file states as a number, a truth or a time is written as the text
    that reads back as the same value. A row whose event time cannot be read stays with the row before it, so that
    validation meets it.

    :param folder: the model's landing folder.
    :returns: rows by batch.
    :raises FileUnreadable: if a file cannot be read, has no such event time column, or other columns than the first.
    """
    config = model.config
    source, calendar = config.source, config.calendar
    if not isinstance(source, FilesConfig):
        raise ConfigInvalid(f"model {model.id}, source", ["is a query; a history is cut for a source of files"])
    if source.files.text.lower().endswith((".parquet", ".gz", *JSON_LINES)):
        raise FileUnreadable(str(source.files), None, "is not plain CSV; histories are cut into plain CSV files")
    null = source.nulls[0] if source.nulls else ""
    tables: list[pa.Table] = []
    batches: list[str] = []
    for parsed in read_history(files, source):
        if config.rows.event_time not in parsed.rows.column_names:
            names = ", ".join(parsed.rows.column_names)
            raise FileUnreadable(parsed.name, 1, f"has no column {config.rows.event_time!r}; it has {names}")
        rows = as_text(parsed, config.rows.columns, null)
        moments = cast_column(rows.column(config.rows.event_time), config.rows.columns[config.rows.event_time], ())
        stamps = moments.values.cast(pa.timestamp("us")).to_pandas().ffill().bfill()
        if stamps.isna().any():
            raise FileUnreadable(parsed.name, None, f"no row has a readable {config.rows.event_time}")
        tables.append(rows)
        batches += [calendar.containing(stamp.to_pydatetime().replace(tzinfo=UTC)) for stamp in stamps]
    named = np.array(batches)
    order = np.argsort(named, kind="stable")
    whole = pa.concat_tables(tables).take(pa.array(order))
    folder.mkdir(parents=True, exist_ok=True)
    counts = {}
    for batch, first, rows_in in zip(*np.unique(named[order], return_index=True, return_counts=True), strict=True):
        if calendar.index(str(batch)) < 0:
            continue
        moment = calendar.moment(str(batch))
        counts[str(batch)] = int(rows_in)
        target = folder / source.files.name_for(moment)
        target.parent.mkdir(parents=True, exist_ok=True)
        rows = whole.slice(first, rows_in)
        target.write_bytes(_as_csv(rows, source.delimiter).decode().encode(source.encoding))
        if source.complete.marker:
            (target.parent / fill_batch(source.complete.marker, moment)).touch()
    return counts


def _as_csv(rows: pa.Table, delimiter: str) -> bytes:
    sink = io.BytesIO()
    csv.write_csv(rows, sink, csv.WriteOptions(delimiter=delimiter, quoting_style="needed"))
    return sink.getvalue()
