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
from include.sources.parsing import JSON_LINES, parse_file


def split_history(model: ModelFolder, files: list[Path], folder: Path) -> dict[str, int]:
    """Cut files by event time into one CSV file a batch, with its marker where the config asks for one.

    The text of each field is kept as it came. A row whose event time cannot be read stays with the row before it, so
    that validation meets it.

    :param folder: the model's landing folder.
    :returns: rows by batch.
    :raises FileUnreadable: if a file cannot be read, or has no such event time column.
    """
    config = model.config
    source, calendar = config.source, config.calendar
    if not isinstance(source, FilesConfig):
        raise ConfigInvalid(f"model {model.id}, source", ["is a query; a history is cut for a source of files"])
    if source.files.text.lower().endswith((".parquet", ".gz", *JSON_LINES)):
        raise FileUnreadable(str(source.files), None, "is not plain CSV; histories are cut into plain CSV files")
    tables: list[pa.Table] = []
    batches: list[str] = []
    for path in files:
        parsed = parse_file(path.name, path.read_bytes(), source)
        if parsed.torn:
            line = parsed.torn[0].number + (0 if parsed.texts else 1)
            raise FileUnreadable(path.name, line, f"{parsed.torn[0].problem}; mend it by hand")
        rows = parsed.rows
        if config.rows.event_time not in rows.column_names:
            names = ", ".join(rows.column_names)
            raise FileUnreadable(path.name, 1, f"has no column {config.rows.event_time!r}; it has {names}")
        moments = cast_column(rows.column(config.rows.event_time), config.rows.columns[config.rows.event_time], ())
        stamps = moments.values.cast(pa.timestamp("us")).to_pandas().ffill().bfill()
        if stamps.isna().any():
            raise FileUnreadable(path.name, None, f"no row has a readable {config.rows.event_time}")
        tables.append(
            rows.select(tables[0].column_names)
            if tables and set(rows.column_names) == set(tables[0].column_names)
            else rows
        )
        batches += [calendar.containing(stamp.to_pydatetime().replace(tzinfo=UTC)) for stamp in stamps]
    whole, named = pa.concat_tables(tables), np.array(batches)
    folder.mkdir(parents=True, exist_ok=True)
    counts = {}
    for batch in sorted(set(batches)):
        if calendar.index(batch) < 0:
            continue
        moment = calendar.moment(batch)
        rows = whole.filter(pa.array(named == batch))
        counts[batch] = rows.num_rows
        target = folder / source.files.name_for(moment)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(_as_csv(rows, source.delimiter).decode().encode(source.encoding))
        if source.complete.marker:
            (target.parent / fill_batch(source.complete.marker, moment)).touch()
    return counts


def _as_csv(rows: pa.Table, delimiter: str) -> bytes:
    sink = io.BytesIO()
    csv.write_csv(rows, sink, csv.WriteOptions(delimiter=delimiter, quoting_style="needed"))
    return sink.getvalue()
