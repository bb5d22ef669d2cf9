"""Labelled rows: placed by the arrival of their first label, valued by the newest one known at the cut."""

import pandas as pd
import pyarrow as pa
import pytest

from evergreen.config.model_folder import load_model_folder
from evergreen.features.label_batches import label_batches, last_label_batches
from evergreen.features.labelled import LabelledRows, _positions, count_expected, match_labels
from evergreen.features.reading import published
from evergreen.records import BatchRecord, DataRecord, RevisionRecord
from evergreen.storage.content import content_hash
from evergreen.storage.stores import open_stores


def day(number):
    return f"2024-01-{number:02d}"


@pytest.fixture
def model(write_folder, edit_config):
    return load_model_folder(write_folder(config=edit_config("  wait: 12h", "  max_delay: 5\n  wait: 12h")))


@pytest.fixture
def stores(model, at):
    return open_stores(at, model.id)


@pytest.fixture
def publish(stores):
    """Publish batches of one feed: by day, ids of rows or minutes by id of labels."""

    def put(feed, batches, revision=0, as_of=None):
        for number, content in batches.items():
            columns = {"id": pa.array(list(content), pa.int64())}
            if feed == "labels":
                columns["minutes"] = pa.array(list(content.values()), pa.float64())
            table = pa.table(columns).sort_by("id")
            stores.lake.replace("labels" if feed == "labels" else "clean", day(number), revision, table, {})
            record = BatchRecord(
                as_of=day(number),
                feed=feed,
                revision=revision,
                state="published",
                clean=table.num_rows,
                content=content_hash(table),
            )
            stores.ledger.put(record)
            if revision:
                n = len(list(stores.ledger.all(RevisionRecord, "batches")))
                changes = {"added": 0, "removed": 0, "changed": 0}
                stores.ledger.put(
                    RevisionRecord(
                        as_of=day(as_of), n=n, feeds=(feed,), batch=day(number), revision=revision, **changes
                    )
                )

    return put


def match(model, stores, first, last, **options):
    found = match_labels(model.config.data_schema, stores, day(first), day(last), **options)
    rows = found.rows[["id", "minutes", "batch", "known"]].to_dict("split")["data"]
    return [(i, minutes, int(batch[-2:]), int(known[-2:])) for i, minutes, batch, known in rows], found.unmatched


def test_a_row_is_placed_where_its_label_became_known(model, stores, publish):
    publish("rows", {1: [11, 12, 13], 2: [21, 22], 3: [31]})
    publish("labels", {1: {11: 1.0}, 2: {21: 2.0, 12: 3.0}, 3: {13: 4.0}})
    assert match(model, stores, 1, 3) == ([(11, 1.0, 1, 1), (12, 3.0, 1, 2), (13, 4.0, 1, 3), (21, 2.0, 2, 2)], 0)
    assert match(model, stores, 2, 2) == ([(12, 3.0, 1, 2), (21, 2.0, 2, 2)], 0)
    assert match(model, stores, 3, 3) == ([(13, 4.0, 1, 3)], 0)


def test_rows_of_the_same_batches_that_have_no_label_yet_wait(model, stores, publish):
    publish("rows", {1: [11, 12, 13], 2: [21, 22], 3: [31]})
    publish("labels", {1: {11: 1.0}, 2: {21: 2.0, 12: 3.0}, 4: {13: 4.0, 22: 5.0, 31: 6.0}})

    def waiting(first, last):
        return (
            match_labels(model.config.data_schema, stores, day(first), day(last))
            .waiting[["id", "batch"]]
            .to_numpy()
            .tolist()
        )

    assert waiting(1, 1) == [[12, day(1)], [13, day(1)]]
    assert waiting(1, 3) == [[13, day(1)], [22, day(2)]]
    # What was labelled before the span does not wait, nor does a batch that brought nothing to learn from.
    assert waiting(2, 2) == [[13, day(1)], [22, day(2)]]
    assert waiting(1, 4) == []


def test_each_row_is_in_one_place_only(model, stores, publish):
    publish("rows", {1: [11, 12, 13, 14], 2: [21, 22], 3: [31, 32], 4: [41]})
    publish("labels", {1: {11: 1.0}, 2: {12: 1.0, 21: 1.0, 11: 5.0}, 3: {13: 1.0, 12: 5.0, 31: 1.0}, 4: {22: 1.0}})
    singles = [row[0] for number in (1, 2, 3, 4) for row in match(model, stores, number, number)[0]]
    assert len(singles) == len(set(singles))
    assert sorted(singles) == sorted(row[0] for row in match(model, stores, 1, 4)[0])


def test_a_correction_counts_from_its_arrival_on_and_moves_no_row(model, stores, publish):
    publish("rows", {1: [11], 2: [21], 3: [31]})
    publish("labels", {1: {11: 1.0}, 2: {21: 1.0}, 3: {11: 9.0}})
    assert match(model, stores, 1, 2)[0] == [(11, 1.0, 1, 1), (21, 1.0, 2, 2)]
    assert match(model, stores, 1, 3)[0] == [(11, 9.0, 1, 1), (21, 1.0, 2, 2)]
    assert match(model, stores, 3, 3)[0] == []


def test_nothing_later_than_the_span_is_read(model, stores, publish):
    publish("rows", {1: [11, 12], 2: [21]})
    publish("labels", {1: {11: 1.0}, 2: {}})
    before = match_labels(model.config.data_schema, stores, day(1), day(2))
    publish("rows", {3: [31, 12]})
    publish("labels", {3: {11: 9.0, 12: 9.0, 21: 9.0}})
    after = match_labels(model.config.data_schema, stores, day(1), day(2))
    assert after.rows.equals(before.rows)
    assert after.partitions == before.partitions


def test_a_label_before_its_row_waits_for_it(model, stores, publish):
    publish("rows", {1: [11], 3: [31]})
    publish("labels", {1: {11: 1.0, 31: 3.0}, 3: {}})
    assert match(model, stores, 1, 2) == ([(11, 1.0, 1, 1)], 1)
    assert match(model, stores, 1, 3)[0] == [(11, 1.0, 1, 1), (31, 3.0, 3, 3)]
    assert match(model, stores, 3, 3)[0] == [(31, 3.0, 3, 3)]


def test_labels_of_no_row_or_of_a_too_old_one_are_counted(model, stores, publish):
    publish("rows", {1: [11, 12], 7: [71]})
    publish("labels", {6: {11: 1.0}, 7: {12: 1.0, 71: 2.0, 99: 3.0}})
    assert match(model, stores, 6, 6) == ([(11, 1.0, 1, 6)], 0)
    assert match(model, stores, 7, 7) == ([(71, 2.0, 7, 7)], 2)


def test_how_late_a_label_may_come_does_not_depend_on_the_span(model, stores, publish):
    publish("rows", {1: [11, 12], 2: [21]})
    publish("labels", {6: {12: 1.0}, 7: {11: 1.0, 21: 2.0}})
    assert match(model, stores, 2, 7) == ([(12, 1.0, 1, 6), (21, 2.0, 2, 7)], 1)
    assert match(model, stores, 7, 7) == ([(21, 2.0, 2, 7)], 1)


def test_a_key_that_arrives_twice_counts_as_its_first_arrival(model, stores, publish):
    publish("rows", {1: [11], 2: [11, 21]})
    publish("labels", {2: {11: 1.0}})
    assert match(model, stores, 1, 2) == ([(11, 1.0, 1, 2)], 0)


def test_only_published_batches_that_hold_labels_count(model, stores, publish):
    publish("labels", {1: {11: 1.0}, 3: {12: 1.0}, 4: {}, 6: {13: 1.0}})
    for number, state in ((2, "missing"), (5, "rejected")):
        stores.ledger.put(BatchRecord(as_of=day(number), feed="labels", revision=0, state=state))
    assert label_batches(model.config.data_schema, stores, day(6)) == [day(1), day(3), day(6)]
    assert label_batches(model.config.data_schema, stores, day(6), after=day(1)) == [day(3), day(6)]
    assert label_batches(model.config.data_schema, stores, day(5)) == [day(1), day(3)]
    assert last_label_batches(model.config.data_schema, stores, day(6), 2) == [day(3), day(6)]
    assert last_label_batches(model.config.data_schema, stores, day(5), 2) == [day(1), day(3)]
    assert last_label_batches(model.config.data_schema, stores, day(6), 9) == [day(1), day(3), day(6)]


def test_a_recorded_data_version_is_read_again_as_it_was(model, stores, publish):
    publish("rows", {1: [11, 12]})
    publish("labels", {1: {11: 1.0}})
    found = match_labels(model.config.data_schema, stores, day(1), day(2))
    data = DataRecord(as_of=day(2), partitions=found.partitions)
    publish("labels", {2: {11: 9.0, 12: 2.0}})
    assert match(model, stores, 1, 2, data=data)[0] == [(11, 1.0, 1, 1)]
    assert match(model, stores, 1, 2)[0] == [(11, 9.0, 1, 1), (12, 2.0, 1, 2)]


def test_without_labels_rows_count_in_their_place(write_folder, edit_config, at, publish, stores):
    text = edit_config("labels:\n", "LABELS")
    text = text.partition("LABELS")[0] + "labels: none\n" + text[text.index("features: ") :]
    model = load_model_folder(write_folder("other", config=text))
    publish("rows", {1: [11, 12], 2: [21]})
    found = match_labels(model.config.data_schema, stores, day(1), day(2))
    assert found.rows[["id", "batch", "known"]].to_numpy().tolist() == [
        [11, day(1), day(1)],
        [12, day(1), day(1)],
        [21, day(2), day(2)],
    ]
    assert label_batches(model.config.data_schema, stores, day(2)) == [day(1), day(2)]
    assert found.partitions == tuple(published(stores, "rows", [day(1), day(2)]))


@pytest.mark.parametrize(
    ("rows", "labels", "placed"),
    [
        ({3: [31]}, {1: {31: 1.0}, 7: {31: 9.0}}, 3),
        ({1: [31], 7: [31]}, {1: {31: 1.0}, 7: {31: 9.0}}, 1),
    ],
    ids=["label before row", "row again"],
)
def test_what_was_learnt_from_is_not_judged_on(rows, labels, placed, model, stores, publish):
    publish("rows", rows)
    publish("labels", labels)
    assert [row[0] for row in match(model, stores, placed, placed)[0]] == [31]
    assert match(model, stores, 7, 7)[0] == []


def test_a_revision_counts_from_the_batch_on_at_which_it_was_made(model, stores, publish):
    publish("rows", {1: [11, 12], 2: [21]})
    publish("labels", {1: {11: 1.0}, 2: {21: 2.0}, 4: {}})
    publish("rows", {1: [11, 13]}, revision=1, as_of=4)
    publish("labels", {1: {11: 5.0, 13: 6.0}}, revision=1, as_of=4)
    assert match(model, stores, 1, 3)[0] == [(11, 1.0, 1, 1), (21, 2.0, 2, 2)]
    assert match(model, stores, 1, 4)[0] == [(11, 5.0, 1, 1), (13, 6.0, 1, 1), (21, 2.0, 2, 2)]
    found = match_labels(model.config.data_schema, stores, day(1), day(4))
    assert {batch[-1]: one.revision for batch, one in found.sources.items()} == {"1": 1, "2": 0}


def test_a_revision_moves_no_row_or_label_that_an_earlier_one_has_placed(model, stores, publish):
    publish("rows", {1: [11, 12], 4: [12]})
    publish("labels", {1: {11: 1.0, 12: 2.0}, 4: {11: 7.0, 12: 2.0}})
    publish("rows", {1: [11]}, revision=1, as_of=3)
    publish("labels", {1: {12: 2.0}}, revision=1, as_of=3)
    assert match(model, stores, 4, 4)[0] == []
    assert match(model, stores, 1, 4)[0] == [(11, 7.0, 1, 1), (12, 2.0, 4, 1)]


def test_rows_that_were_sealed_without_a_declared_column_are_not_offered(model, stores, publish):
    publish("rows", {2: [21]})
    publish("labels", {2: {21: 2.0, 11: 1.0}})
    rows = pa.table({"id": pa.array([11], pa.int64())})
    stores.lake.replace("clean", day(1), 0, rows, {})
    record = BatchRecord(
        as_of=day(1), feed="rows", revision=0, state="published", clean=1, content=content_hash(rows),
        columns={"id": "integer"},
    )  # fmt: skip
    stores.ledger.put(record)
    assert match(model, stores, 1, 2) == ([(21, 2.0, 2, 2)], 1)


def test_a_key_of_any_name_finds_its_rows():
    rows = pd.DataFrame({"position": [10, 20, 30]})
    assert _positions(rows, pd.DataFrame({"position": [30, 10]}), ("position",)).tolist() == [2, 0]


@pytest.mark.parametrize(
    ("delays", "cautious", "expected"),
    [
        ((0, 0, 0), False, 0),
        ((2, 2, 2), False, 2),
        ((0, 1, 3), False, 2),
        ((0, 0, 0), True, 1),
        ((1, 1, 1), True, 3),
        ((2, 2, 2), True, 5),
    ],
)
def test_rows_that_are_older_than_any_label_was_late_get_none_any_more(model, delays, cautious, expected):
    """Days 1 to 5 have a row each that waits; labels came so many days after days 1, 2 and 3."""
    rows = pd.DataFrame({"batch": [day(n) for n in (1, 2, 3)], "known": [day(n + d) for n, d in enumerate(delays, 1)]})
    waiting = pd.DataFrame({"batch": [day(n) for n in range(1, 6)]})
    assert count_expected(model.config.data_schema, LabelledRows(rows, 0, (), waiting), day(5), cautious) == expected
