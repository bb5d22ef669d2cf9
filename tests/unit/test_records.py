"""Records: places, equality, and the data version that a list of partitions has."""

import pytest
from pydantic import ValidationError

from evergreen.records import BatchRecord, ClosingRecord, DataRecord, Partition, PromotionRecord

ROWS = Partition(table="clean", batch="2024-01-01", revision=0, content="a")
LABELS = Partition(table="labels", batch="2024-01-01", revision=0, content="b")


def test_equality_ignores_meta_and_nothing_else():
    record = ClosingRecord(as_of="2024-01-01", verdict="2024-01-01.0", outcome="promoted", why="x")
    assert record == record.model_copy(update={"meta": {"run": "another"}})
    for change in ({"as_of": "2024-01-02"}, {"verdict": "2024-01-02.0"}, {"outcome": "failed"}, {"why": "y"}):
        assert record != record.model_copy(update=change)
    assert hash(record) == hash(record.model_copy(update={"meta": {"run": "another"}}))


def test_the_data_version_does_not_depend_on_the_order_of_reading():
    one = DataRecord(as_of="2024-01-01", partitions=(ROWS, LABELS))
    other = DataRecord(as_of="2024-01-02", partitions=(LABELS, ROWS))
    assert one.id == other.id
    assert one.address == (one.id, 0)


@pytest.mark.parametrize(
    "change", [{"table": "labels"}, {"batch": "2024-01-02"}, {"revision": 1}, {"content": "c"}], ids=str
)
def test_the_data_version_changes_with_every_part_of_a_partition(change):
    before = DataRecord(as_of="2024-01-01", partitions=(ROWS,))
    after = DataRecord(as_of="2024-01-01", partitions=(ROWS.model_copy(update=change),))
    assert before.id != after.id


def test_places_are_by_feed_and_by_number():
    batch = BatchRecord(as_of="2024-01-01", feed="labels", revision=2, state="missing")
    assert batch.address == ("labels.2024-01-01", 2)
    promotion = PromotionRecord(
        as_of="2024-01-01",
        number=3,
        version=7,
        attempt="2024-01-01.0",
        code="c",
        data="d",
        trained_on=("2023-12-01", "2024-01-01"),
        effective_from="2024-01-02",
        error=None,
    )
    assert promotion.address == ("champion", 2)


def test_a_record_is_frozen_and_refuses_what_it_does_not_know():
    record = BatchRecord(as_of="2024-01-01", feed="rows", revision=0, state="missing")
    with pytest.raises(ValidationError, match="frozen"):
        record.state = "published"
    with pytest.raises(ValidationError, match="reviewed"):
        BatchRecord(as_of="2024-01-01", feed="rows", revision=0, state="missing", reviewed=True)


def test_a_revision_above_0_names_its_batch_beside_the_one_at_which_it_was_made():
    old = BatchRecord.model_validate_json('{"as_of": "2024-01-01", "feed": "rows", "revision": 0, "state": "missing"}')
    assert old == BatchRecord(as_of="2024-01-01", feed="rows", batch="2024-01-01", revision=0, state="missing")
    assert old.columns == {}
    later = BatchRecord(as_of="2024-01-09", feed="rows", batch="2024-01-01", revision=1, state="published")
    assert later.address == ("rows.2024-01-01", 1)
