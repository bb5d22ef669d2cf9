"""Cutting history files into the batch files that a model's config expects: what a feeder would have delivered."""

import gzip
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv, parquet

from evergreen.config.contract import ModelConfig
from evergreen.config.feeds_config import FilesConfig, LabelFiles
from evergreen.config.fields import ColumnType
from evergreen.config.model_folder import ModelFolder
from evergreen.config.patterns import fill_batch
from evergreen.errors import ConfigInvalid, FileUnreadable
from evergreen.scaffold.read_history import as_text, read_history
from evergreen.sources.casting import cast_column
from evergreen.sources.parsing import JSON_LINES


@dataclass(frozen=True)
class SplitResult:
    """What was cut.

    :param rows: rows by batch.
    :param before: rows before the schedule's start, which belong to no batch.
    :param labels: labels by the batch in which they became known; empty where there are no label files.
    :param unassigned: labels that belong to no batch: known before the start or never, or of no row of the history.
    """

    rows: dict[str, int]
    before: int
    labels: dict[str, int]
    unassigned: int


def split_history(
    model: ModelFolder,
    files: list[Path],
    folder: Path,
    labels: Iterable[Path] = (),
    label_time: tuple[str, ColumnType] | None = None,
) -> SplitResult:
    """Cut files by event time into one file a batch, with its marker where the config asks for one.

    The text of each field is kept as it came; what a file states as a number, a truth or a time is written as the text
    that reads back as the same value. A row whose event time cannot be read stays with the row before it, so that
    validation meets it.

    :param folder: the model's landing folder.
    :param labels: label files, cut by the time at which a label became known.
    :param label_time: the column that says so, and how it is written; without it a file that is named by its batch came
        in that batch, and a label of another file with its row.
    :raises FileUnreadable: if a file cannot be read, has no such time column, or other columns than the first.
    :raises ConfigInvalid: if the model's rows or labels do not come as files.
    """
    config, source, paths = model.config, model.config.source, list(labels)
    if not isinstance(source, FilesConfig):
        raise ConfigInvalid(f"model {model.id}, source", ["is a query; a history is cut for a source of files"])
    rows, moments, _ = _read(
        files, source, config, (config.rows.event_time, config.rows.columns[config.rows.event_time])
    )
    batches = _number(moments, config)
    counts = _write(rows, batches, folder, source, config)
    before = int((batches < 0).sum())
    if not paths:
        return SplitResult(counts, before, {}, 0)
    if not isinstance(config.labels, LabelFiles):
        raise ConfigInvalid(f"model {model.id}, labels", ["do not come as files; valid here: labels.files"])
    told, known, sizes = _read(paths, config.labels, config, label_time)
    if label_time is None:
        known = _moments_in_names(paths, sizes, config.labels)
    label_batches = _number(known, config) if len(known) else _of_their_rows(told, rows, batches, config)
    # A batch in which no label became known has a file that says so.
    none = range(max(int(batches.max()), int(label_batches.max())) + 1)
    labelled = _write(told, label_batches, folder, config.labels, config, none)
    return SplitResult(counts, before, labelled, int((label_batches < 0).sum()))


def _read(
    files: list[Path], source: FilesConfig, config: ModelConfig, time: tuple[str, ColumnType] | None
) -> tuple[pa.Table, pd.Series, list[int]]:
    """The rows of files as text, the moment in one of their columns (none without a column), and rows by file."""
    columns = config.label_columns if isinstance(source, LabelFiles) else config.rows.columns
    null = source.nulls[0] if source.nulls else ""
    tables: list[pa.Table] = []
    moments: list[pd.Series] = []
    for parsed in read_history(files, source, set(columns), config.limits):
        rows = as_text(parsed, {**columns, time[0]: time[1]} if time else columns, null)
        tables.append(rows)
        if time is None:
            continue
        if time[0] not in rows.column_names:
            names = ", ".join(parsed.rows.column_names)
            raise FileUnreadable(parsed.name, 1, f"has no column {time[0]!r}; it has {names}")
        cast = cast_column(rows.column(time[0]), time[1], ())
        stamps = cast.values.cast(pa.timestamp("us")).to_pandas()
        if not isinstance(source, LabelFiles):
            stamps = stamps.ffill().bfill()
        if stamps.isna().all() or (stamps.isna().any() and not isinstance(source, LabelFiles)):
            raise FileUnreadable(parsed.name, None, f"no row has a readable {time[0]}")
        moments.append(stamps)
    whole = pd.concat(moments, ignore_index=True) if moments else pd.Series(dtype=object)
    return pa.concat_tables(tables), whole, [rows.num_rows for rows in tables]


def _number(moments: pd.Series, config: ModelConfig) -> np.ndarray:
    """(rows,) number of the batch in which each moment lies, negative before the start and where there is none."""
    calendar = config.calendar
    codes, seen = pd.factorize(moments)
    numbers = [calendar.index(calendar.containing(moment.to_pydatetime().replace(tzinfo=UTC))) for moment in seen]
    # A code of -1, for no moment, takes the last.
    batches: np.ndarray = np.array([*numbers, -1], dtype=np.int64)[codes]
    return batches


def _moments_in_names(files: list[Path], sizes: list[int], source: LabelFiles) -> pd.Series:
    """(rows of the files,) the date in the name of each one's file; none if not all files fit the pattern."""
    depth = source.files.text.count("/") + 1
    found = [source.files.moment_of("/".join(file.parts[-depth:])) for file in files]
    if None in found:
        return pd.Series(dtype=object)
    return pd.Series(np.repeat(np.array(found, dtype="datetime64[us]"), sizes))


def _of_their_rows(labels: pa.Table, rows: pa.Table, batches: np.ndarray, config: ModelConfig) -> np.ndarray:
    """(labels,) number of the batch of each label's row; negative for a label of no row."""
    key = list(config.rows.key)
    row_batches = rows.select(key).to_pandas().assign(_batch=batches).drop_duplicates(key, keep="first")
    found = labels.select(key).to_pandas().merge(row_batches, how="left", on=key)["_batch"]
    numbers: np.ndarray = found.fillna(-1).to_numpy(dtype=np.int64)
    return numbers


def _write(
    rows: pa.Table,
    batches: np.ndarray,
    folder: Path,
    source: FilesConfig,
    config: ModelConfig,
    none: Iterable[int] = (),
) -> dict[str, int]:
    """One file a batch; returns rows by batch.

    :param none: batches that have a file even without a row.
    """
    order = np.argsort(batches, kind="stable")
    whole, ordered = rows.take(pa.array(order)), batches[order]
    folder.mkdir(parents=True, exist_ok=True)
    counts = {}
    for number in sorted({*ordered.tolist(), *none}):
        if number < 0:
            continue
        first, last = np.searchsorted(ordered, [number, number + 1])
        batch = config.calendar.name(number)
        moment = config.calendar.moment(batch)
        counts[batch] = int(last - first)
        target = folder / source.files.name_for(moment)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(_encode(whole.slice(first, last - first), target.name, source))
        if source.complete.marker:
            (target.parent / fill_batch(source.complete.marker, moment)).touch()
    return counts


def _encode(rows: pa.Table, name: str, source: FilesConfig) -> bytes:
    """Rows of text in the form that a name asks for."""
    if name.lower().endswith(".gz"):
        # Without the time of writing, the same rows give the same bytes.
        return gzip.compress(_encode(rows, name[:-3], source), mtime=0)
    sink = io.BytesIO()
    if name.lower().endswith(".parquet"):
        parquet.write_table(rows, sink)
        return sink.getvalue()
    if name.lower().endswith(JSON_LINES):
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows.to_pylist())
        return "".join(lines).encode(source.encoding)
    csv.write_csv(rows, sink, csv.WriteOptions(delimiter=source.delimiter, quoting_style="needed"))
    return sink.getvalue().decode().encode(source.encoding)
