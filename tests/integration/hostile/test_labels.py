"""Bad label feeds: no wrong label is learnt from, none is lost, and rows are scored all the same."""

from pathlib import Path
from typing import Any

import pytest

from evergreen.config.locations import Locations
from evergreen.features.labelled import match_labels
from evergreen.records import BatchRecord, ClaimRecord
from evergreen.storage.stores import open_stores
from tests.integration.hostile.small import CONFIG, Kind, check, csv, labels_of, land, land_sound, take, write_model

LABELS = labels_of(2)
GOOD = csv("id,minutes", *LABELS)
CLASSES: dict[str, Any] = {
    "model": {"task": "classification", "seed": 1},
    "gate": CONFIG["gate"] | {"metric": "logloss"},
    "labels": CONFIG["labels"] | {"target": {"late": "integer"}},
}
# The small model's expectations name the column minutes.
ROWS_ONLY = "rows:\n  - expect_column_values_to_be_between: {column: distance, min_value: 0}\n"


def classes(*lines: str) -> bytes:
    return csv("id,late", "200,0", "201,1", "202,0", "203,1", *lines)


# ruff: noqa: E501 - one row of the table a line, so that it can be read
KINDS = [
    Kind("labels for unknown keys", {".csv": csv("id,minutes", *LABELS, "999999,5")}, "fine", 5, 0),
    Kind("a label twice, equal", {".csv": csv("id,minutes", *LABELS, LABELS[0])}, "quarantined", 4, 1, ("an equal copy came before",)),
    Kind("a label twice, with two values", {".csv": csv("id,minutes", *LABELS, "200,99")}, "quarantined", 3, 2, ("copies of this key differ",)),
    Kind("a target that is null", {".csv": csv("id,minutes", *LABELS, "204,")}, "quarantined", 4, 1, ("minutes: minutes is missing",)),
    Kind("a key that is null", {".csv": csv("id,minutes", *LABELS, ",5")}, "quarantined", 4, 1, ("id: id is missing",)),
    Kind("a text for a number", {".csv": csv("id,minutes", *LABELS, "204,soon")}, "quarantined", 4, 1, ("minutes: 'soon' is not a finite number",)),
    Kind("infinity", {".csv": csv("id,minutes", *LABELS, "204,inf")}, "quarantined", 4, 1, ("minutes: 'inf' is not a finite number",)),
    Kind("extra columns", {".csv": csv("id,minutes,more", *(label + ",x" for label in LABELS))}, "fine", 4, 0),
    Kind("no key column", {".csv": csv("trip,minutes", *LABELS)}, "rejected", 0, 4, ("id", "no such column; undeclared ones are trip")),
    Kind("no target column", {".csv": csv("id,duration", *LABELS)}, "rejected", 0, 4, ("minutes", "no such column; undeclared ones are duration")),
    Kind("header only: no label became known", {".csv": b"id,minutes\n"}, "fine", 0, 0),
    Kind("an empty file", {".csv": b""}, "rejected", 0, 0, ("is empty; expected a header line",)),
    Kind("other units, within what is expected", {".csv": csv("id,minutes", *(f"{200 + i},{i * 60}" for i in range(4)))}, "fine", 4, 0),
    Kind("other units, beyond what is expected", {".csv": csv("id,minutes", *(f"{200 + i},{700 + i * 60}" for i in range(4)))}, "rejected", 0, 4, ("4 of 4 rows failed, more than 50%", "expect_column_values_to_be_between(min_value 0, max_value 600)")),
    Kind("labels as JSON Lines", {".jsonl": b'{"id": 200, "minutes": 5}\n{"id": 201, "minutes": 6.5}\n'}, "fine", 2, 0),
    Kind("a label that is an object", {".jsonl": b'{"id": 200, "minutes": 5}\n{"id": 201, "minutes": {"value": 6}}\n'}, "quarantined", 1, 1, ("holds an object in column 'minutes'",)),
    Kind("two files that contradict each other", {"_1.csv": GOOD, "_2.csv": csv("id,minutes", "200,99")}, "quarantined", 3, 2, ("copies of this key differ",)),
    Kind("classes", {".csv": classes()}, "fine", 4, 0, (), CLASSES),
    Kind("a third class", {".csv": classes("204,2")}, "quarantined", 4, 1, ("late", "expect_column_values_to_be_in_set(value_set [0, 1])", "such as 2"), CLASSES),
    Kind("a class that is a text", {".csv": classes("204,yes")}, "quarantined", 4, 1, ("late: 'yes' is not a whole number",), CLASSES),
    Kind("a share for a class", {".csv": classes("204,0.7")}, "quarantined", 4, 1, ("late: '0.7' is not a whole number",), CLASSES),
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_bad_label_feed(kind: Kind, tmp_path: Path) -> None:
    texts = {"expectations": ROWS_ONLY} if "model" in kind.config else {}
    model, at = write_model(tmp_path, config=kind.config, **texts), Locations.under(tmp_path)
    land_sound(model, at, 1)
    take(model, at, 1)
    land_sound(model, at, 2, ("rows",))
    land(model, at, "labels", 2, kind.files)
    take(model, at, 2)
    stores = open_stores(at, model.id)
    claim, rows = stores.ledger.get(ClaimRecord, "2024-01-02"), stores.ledger.get(BatchRecord, "rows.2024-01-02")
    assert claim is not None, "labels are never in the way of scoring"
    assert rows is not None
    assert (rows.state, rows.clean) == ("published", 4)
    check(model, at, "labels", kind)
    labelled = match_labels(model.config.data_schema, stores, "2024-01-02", "2024-01-02")
    sound = kind.clean - (kind.name == "labels for unknown keys")
    assert (len(labelled.rows), labelled.unmatched) == (sound, kind.clean - sound)


def test_a_correction_in_a_later_batch_counts_from_then_on(tmp_path: Path) -> None:
    model, at = write_model(tmp_path), Locations.under(tmp_path)
    for day in (1, 2):
        land_sound(model, at, day)
        if day == 2:
            land(model, at, "labels", 2, {".csv": csv("id,minutes", *LABELS, "100,77")})
        take(model, at, day)
    stores = open_stores(at, model.id)
    schema = model.config.data_schema
    known_then = match_labels(schema, stores, "2024-01-01", "2024-01-01").rows.set_index("id")["minutes"]
    known_now = match_labels(schema, stores, "2024-01-01", "2024-01-02").rows.set_index("id")["minutes"]
    assert (known_then[100], known_now[100]) == (4.5, 77.0)
