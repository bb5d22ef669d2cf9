"""One prediction traced back: to its file and row, its validation, its version, and what that came of."""

import json
from collections.abc import Iterator

import numpy as np
import pandas as pd

from evergreen.checks.raw_files import read_arrived
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import EvergreenError, Refused, RowsRemoved
from evergreen.features.building import claimed_data
from evergreen.features.labelled import standing_claim
from evergreen.features.reading import partition_of
from evergreen.judging.champion import predictions_of
from evergreen.judging.promotions import require_promoted
from evergreen.records import BatchRecord, ClaimRecord, DataRecord, RescoreRecord, SourceFile
from evergreen.replay.status import describe_version
from evergreen.sources.casting import cast_column
from evergreen.storage.columns import find_column
from evergreen.storage.removals import find_forgetting, follow_file, require_retained, tell_removed
from evergreen.storage.revisions import record_of, sealed_batch
from evergreen.storage.stores import Stores, stores_of

Sections = dict[str, list[str]]


def trace_prediction(model: ModelFolder, at: Locations, batch: str, key: tuple[str, ...]) -> Sections:
    """Trace the predictions of one key, by section: prediction, file, validation, and each version that predicted.

    :param batch: the batch that it came in.
    :param key: the values of ``rows.key``, as text.
    :raises Refused: if there is no such prediction, saying whether the row is in quarantine.
    :raises RowsRemoved: if it was forgotten, or removed by retention.
    :raises NotReady: if the batch was not scored yet.
    """
    stores = stores_of(model, at)
    found = find_predictions(model, stores, batch, key)
    sections = {"prediction": [tell_scores(scores, value) for scores, value in found]}
    for record in {_rows_of(stores, scores).revision: _rows_of(stores, scores) for scores, _ in found}.values():
        revision = f", revision {record.revision}" if record.revision else ""
        sections[f"file{revision}"] = list(_tell_files(model, stores, record, key))
        removed = tell_removed(stores.ledger, [partition_of(record)])
        sections[f"validation{revision}"] = [*_tell_validation(record), *removed]
    for version in dict.fromkeys(scores.version for scores, _ in found if scores.version is not None):
        data = stores.ledger.require(DataRecord, require_promoted(stores, version).data)
        told = [line.strip() for line in describe_version(model, at, version)]
        removed = tell_removed(stores.ledger, data.partitions)
        sections[f"version {version}"] = [*told, *_tell_training(data), *removed]
    return sections


def find_predictions(
    model: ModelFolder, stores: Stores, batch: str, key: tuple[str, ...]
) -> list[tuple[ClaimRecord, float]]:
    """What was predicted for a key of a batch, each time that it was scored. Parameters and errors: as above."""
    names = model.config.rows.key
    try:
        model.config.calendar.moment(batch)
    except ValueError as error:
        raise Refused(f"model {model.id}: {error}") from error
    if len(key) != len(names):
        raise Refused(f"model {model.id}: a key is {', '.join(names)}; {len(key)} values were given: {', '.join(key)}")
    forgotten = find_forgetting(stores.ledger, names, key)
    if forgotten is not None and any(one.batch == batch for one in forgotten.partitions):
        raise RowsRemoved(f"model {model.id}: the row of this key in batch {batch} was {forgotten.told}")
    claim = standing_claim(stores, batch)
    again = [one.scores for one in stores.ledger.all(RescoreRecord, "batches") if one.batch == batch]
    made = [(one, _find_prediction(model, stores, one, key)) for one in (claim, *again) if one.version is not None]
    found = [(scores, value) for scores, value in made if value is not None]
    if not found:
        why = _tell_absence(model, stores, claim, key, bool(made))
        raise Refused(f"model {model.id}: batch {batch} has no prediction for {_name(model, key)}: {why}")
    return found


def _find_prediction(model: ModelFolder, stores: Stores, scores: ClaimRecord, key: tuple[str, ...]) -> float | None:
    rows = predictions_of(model.config.data_schema, stores, scores)
    at = positions_of(rows, key, model.config.rows.key)
    return float(rows["prediction"].iloc[at[0]]) if len(at) else None


def positions_of(rows: pd.DataFrame, key: tuple[str, ...], names: tuple[str, ...]) -> np.ndarray:
    """Positions of the rows of a key; values are compared as they are written."""
    same = [rows[name].astype(str).to_numpy() == value for name, value in zip(names, key, strict=True)]
    return np.flatnonzero(np.logical_and.reduce(same))


def _rows_of(stores: Stores, scores: ClaimRecord) -> BatchRecord:
    """The record of the rows that were scored."""
    listed = claimed_data(stores, scores).partitions
    (partition,) = [one for one in listed if (one.table, one.batch) == ("clean", scores.as_of)]
    record = record_of(stores.ledger, partition)
    assert record is not None
    return record


def tell_scores(scores: ClaimRecord, value: float) -> str:
    """What was predicted, by which version and why by it."""
    return f"revision {scores.revision}: {value:.10g} by version {scores.version}, {scores.why}; data {scores.data}"


def _tell_files(model: ModelFolder, stores: Stores, record: BatchRecord, key: tuple[str, ...]) -> Iterator[str]:
    """The file that a key came in, with its rows; where that cannot be told, all files of its batch."""
    places = {file.name: _find_in_file(model, stores, file, key) for file in record.files}
    for file in record.files:
        if places[file.name] or not any(places.values()):
            rows = ", row " + " and ".join(map(str, places[file.name])) if places[file.name] else ""
            yield f"{file.name}{rows}: {file.size} bytes, sha256 {file.sha256}, {_tell_copy(stores, file)}"


def _tell_copy(stores: Stores, file: SourceFile) -> str:
    if not file.raw:
        return f"not kept: {file.refused}"
    try:
        now, told = follow_file(stores.ledger, file)
        require_retained(stores.ledger, "raw", file.raw.split("/")[1])
    except RowsRemoved as error:
        return f"not kept: {error}"
    return f"kept as {now.raw}{f', {told}' if told else ''}"


def _find_in_file(model: ModelFolder, stores: Stores, file: SourceFile, key: tuple[str, ...]) -> list[int]:
    """The numbers of a file's rows that have a key: 1 is the first below the header."""
    try:
        parsed = read_arrived(model, stores, "rows", file)
        columns, rows = {}, parsed.rows
        for name in model.config.rows.key:
            declared = model.config.rows.columns[name]
            source = find_column(name, declared, parsed.column_names)
            values = cast_column(rows.column(str(source)), declared, model.config.source.nulls).values
            columns[name] = values.to_pandas()
    except (EvergreenError, KeyError, TypeError):
        return []
    return [int(parsed.numbers[at]) for at in positions_of(pd.DataFrame(columns), key, model.config.rows.key)]


def _tell_validation(record: BatchRecord) -> Iterator[str]:
    counts = f"{record.rows_in} rows came, {record.clean} clean, {record.quarantined} in quarantine"
    yield f"batch {record.batch} {record.state}: {counts}; content {record.content}"
    for reason in record.reasons:
        yield f"{reason.column or reason.file or 'batch'}: {reason.expectation}: {reason.found} ({reason.rows} rows)"


def _tell_training(data: DataRecord) -> Iterator[str]:
    for table, what in (("clean", "rows"), ("labels", "labels")):
        batches = sorted({one.batch for one in data.partitions if one.table == table})
        if batches:
            yield f"learnt from {what} of {len(batches)} batches, {batches[0]} to {batches[-1]}"


def _tell_absence(model: ModelFolder, stores: Stores, claim: ClaimRecord, key: tuple[str, ...], scored: bool) -> str:
    """Why there is no prediction for a key."""
    record = sealed_batch(stores.ledger, "rows", claim.as_of)
    kept = stores.lake.read_any("quarantine_rows", claim.as_of, record.revision if record is not None else 0)
    for row in kept.to_pylist():
        content = json.loads(row["content"])
        if isinstance(content, dict) and [str(content.get(name)) for name in model.config.rows.key] == [*key]:
            return f"it is in quarantine, {row['file']}, row {row['row']}: {row['reason']}"
    rows = partition_of(record) if record is not None else None
    listed = [rows, rows.model_copy(update={"table": "quarantine_rows"})] if rows is not None else []
    absent = "no row of it has that key" if scored else f"nobody scored it: {claim.why}"
    return "; ".join([absent, *tell_removed(stores.ledger, listed)])


def _name(model: ModelFolder, key: tuple[str, ...]) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(model.config.rows.key, key, strict=True))
