"""Online answers as the lake keeps them, one row an answered row."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import pandas as pd
import pyarrow as pa

from evergreen.config.contract import ModelConfig
from evergreen.features.labelled import gather_rows, match_labels
from evergreen.records import AnswersRecord
from evergreen.storage.frames import to_frame
from evergreen.storage.removals import removed_by_age
from evergreen.storage.stores import Stores

# ``decision`` is the number of the arms' record that was obeyed, ``failed`` where the challenger could not answer,
# ``shadow`` what it would have answered.
ANSWERS = pa.schema(
    [
        pa.field("request_id", pa.string()),
        pa.field("row", pa.int64()),
        pa.field("at", pa.timestamp("us", "UTC")),
        pa.field("online_batch", pa.string()),
        pa.field("key", pa.string()),
        pa.field("values", pa.string()),
        pa.field("version", pa.string()),
        pa.field("arm", pa.string()),
        pa.field("prediction", pa.float64()),
        pa.field("decision", pa.int64()),
        pa.field("shadow", pa.float64()),
        pa.field("failed", pa.bool_()),
    ]
)
# Of callers that name their requests alike, each is answered; one that asks again brings the same key.
ONCE = ["request_id", "row", "key"]
# What a row's slice is stands in labelled answers under the column's name behind it.
SLICE = "slice "


def as_json(value: Any) -> Any:
    """A moment as text; anything else as it is."""
    return value.isoformat() if isinstance(value, datetime) else value


def key_texts(columns: Iterable[Sequence[Any]]) -> list[str]:
    """Keys, each as one text that is the same wherever the key comes from.

    :param columns: of each column of the key, in the contract's order, a value a row.
    """
    return [json.dumps([as_json(one) for one in key], ensure_ascii=False) for key in zip(*columns, strict=True)]


def read_answers(stores: Stores, as_of: str, first: str = "") -> pd.DataFrame:
    """The answers that were taken into the lake from one batch to another, each row of a request once.

    :param as_of: the last batch.
    :param first: the first batch; by default all.
    :returns: (n, columns of ``ANSWERS``) by time.
    """
    pieces, record = [ANSWERS.empty_table()], stores.ledger.last(AnswersRecord, "batches")
    while record is not None and record.as_of >= first:
        is_there = record.rows and removed_by_age(stores.ledger, "answers", record.as_of) is None
        if is_there and record.as_of <= as_of and (rows := stores.lake.read(record.partition, ONCE)).num_rows:
            pieces.append(rows.select(ANSWERS.names).cast(ANSWERS))
        record = stores.ledger.get(AnswersRecord, "batches", record.n - 1) if record.n else None
    answers = to_frame(pa.concat_tables(pieces)).sort_values(["at", *ONCE], ignore_index=True)
    return answers.drop_duplicates(ONCE, ignore_index=True)


def label_answers(config: ModelConfig, stores: Stores, answers: pd.DataFrame, first: str, last: str) -> pd.DataFrame:
    """Answers with the labels that became known from one batch to another; all of them for a model without labels.

    What came online alone is left out: whoever makes up keys decides nothing.

    :param answers: as ``read_answers`` returns them, each key once.
    :returns: (m, key, arm, decision, failed, prediction, shadow, target, and a column a slice of the gate).
    """
    schema, slices = config.data_schema, sorted(config.gate.slices)
    numbers = {name: answers[name].astype(float) for name in ("prediction", "shadow")}
    failed = answers["failed"].fillna(False).astype(bool)
    plain = answers[["key", "arm", "decision"]].assign(failed=failed, **numbers)
    if schema.labels is None:
        return plain.assign(target=float("nan"))
    labelled = match_labels(schema, stores, first, last)
    texts = key_texts([labelled.rows[name].tolist() for name in schema.key])
    known = pd.DataFrame({"key": texts, "target": labelled.rows[schema.labels.column].to_numpy(dtype=float)})
    if slices:
        rows = gather_rows(schema, stores, labelled)
        known = known.assign(**{SLICE + name: rows[name].to_numpy() for name in slices})
    return plain.merge(known, on="key")
