"""Labels that come in bulk count as many batches as they bring the labels of."""

import pytest

from evergreen.config.model_folder import load_model_folder
from evergreen.features.label_batches import last_label_batches
from evergreen.records import BatchRecord
from evergreen.storage.stores import open_stores


def day(number):
    return f"2024-01-{number:02d}"


@pytest.fixture
def seal(write_folder, edit_config, at):
    """Thirty days of ten rows each; labels by day, how many came."""
    model = load_model_folder(write_folder())
    stores = open_stores(at, model.id)

    def put(labels):
        for number in range(1, 31):
            for feed, clean in (("rows", 10), ("labels", labels.get(number, 0))):
                stores.ledger.put(BatchRecord(as_of=day(number), feed=feed, revision=0, state="published", clean=clean))
        return lambda up_to, n, **options: last_label_batches(
            model.config.data_schema, stores, day(up_to), n, **options
        )

    return put


def test_labels_that_come_each_day_count_one_however_few(seal):
    """Late labels, few and many: each batch of them counts one, as long as no day was without."""
    last = seal({number: 3 if number % 2 else 40 for number in range(1, 31)})
    assert last(30, 4) == [day(27), day(28), day(29), day(30)]
    assert last(30, 2, before=day(29)) == [day(27), day(28)]


def test_a_bulk_counts_the_days_that_it_brings(seal):
    last = seal({7: 70, 14: 70, 21: 70, 28: 70})
    assert last(30, 4) == [day(28)]
    assert last(30, 7) == [day(28)]
    assert last(30, 12) == [day(21), day(28)]
    assert last(30, 4, before=day(28)) == [day(21)]
    assert last(30, 12, after=day(21)) == [day(28)]
    assert last(30, 12, after=day(28)) == []
    assert last(30, 100) == [day(7), day(14), day(21), day(28)]


def test_labels_after_a_gap_count_by_their_number(seal):
    """After days without any, those of one day count one; a backlog counts the days that it makes up for."""
    last = seal({**{number: 10 for number in range(1, 11)}, 20: 10, 29: 30, 30: 10})
    assert last(30, 4) == [day(29), day(30)]
    assert last(30, 5) == [day(20), day(29), day(30)]
    assert last(20, 2) == [day(10), day(20)]
