"""What is wrong with a delivery as such: copies of files and rows, and dates in another order."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from evergreen.batches import Calendar
from evergreen.checks.deliveries import find_exchanged_dates
from evergreen.checks.sealing import seal
from evergreen.config.fields import ColumnType
from evergreen.config.model_folder import load_model_folder
from evergreen.sources.intake import take_in
from evergreen.steps.validate_batch import describe_fault, validate_batch
from evergreen.storage.stores import open_stores

FIRST, SECOND = "2024-01-01", "2024-01-02"
HEADER = "id,at,distance,zone\n"
ONE, OTHER = "1,2024-01-01 08:00,2.5,a\n2,2024-01-01 09:00,3.5,b\n", "3,2024-01-02 08:00,2.5,a\n"
STAMP = ColumnType(type="timestamp", format="%Y-%m-%d")


@pytest.fixture
def model(write_folder):
    return load_model_folder(write_folder())


@pytest.fixture
def arrive(model, at):
    """Land files of a batch, take them in and seal them."""

    def put(batch, files, feed="rows"):
        for name, content in files.items():
            path = Path(at.landing, model.id) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        take_in(model, at, feed, batch)
        return seal(model, at, feed, batch)

    return put


def quarantined(model, at, batch):
    kept = open_stores(at, model.id).lake.read_any("quarantine_rows", batch, 0).to_pylist()
    return [(row["file"], row["reason"]) for row in kept]


def test_the_second_of_two_equal_files_goes_to_quarantine(model, at, arrive):
    record = arrive(FIRST, {f"trips_{FIRST}.csv": HEADER + ONE, f"trips_{FIRST}_b.csv": HEADER + ONE})
    assert (record.state, record.rows_in, record.clean, record.quarantined) == ("published", 4, 2, 2)
    told = f"trips_{FIRST}_b.csv is a copy of trips_{FIRST}.csv"
    assert quarantined(model, at, FIRST) == 2 * [(f"trips_{FIRST}_b.csv", f"trips_{FIRST}_b.csv: {told}")]
    assert told in describe_fault(model, record).text


def test_a_file_of_an_earlier_batch_in_the_place_of_todays_rejects_it(model, at, arrive):
    arrive(FIRST, {f"trips_{FIRST}.csv": HEADER + ONE})
    record = arrive(SECOND, {f"trips_{SECOND}.csv": HEADER + ONE})
    assert (record.state, record.clean, record.quarantined) == ("rejected", 0, 2)
    assert f"is a copy of trips_{FIRST}.csv of batch {FIRST}" in record.reasons[0].found


def test_a_copy_of_an_earlier_file_beside_todays_own_is_left_out(model, at, arrive):
    """It comes late under another name, and would join the open batch."""
    arrive(FIRST, {f"trips_{FIRST}.csv": HEADER + ONE})
    record = arrive(SECOND, {f"trips_{SECOND}.csv": HEADER + OTHER, f"trips_{FIRST}_again.csv": HEADER + ONE})
    assert (record.state, record.clean, record.quarantined) == ("published", 1, 2)
    assert [reason.file for reason in record.reasons] == [f"trips_{FIRST}_again.csv"]


def test_the_same_rows_in_other_bytes_are_found_by_their_content(arrive):
    arrive(FIRST, {f"trips_{FIRST}.csv": HEADER + ONE})
    turned = "".join(reversed(ONE.splitlines(keepends=True)))
    record = arrive(SECOND, {f"trips_{SECOND}.csv": HEADER + turned})
    assert record.state == "rejected"
    assert f"its 2 rows are those of batch {FIRST}" in record.reasons[0].found


@pytest.mark.parametrize("second", [ONE.replace("2.5", "2.6"), OTHER])
def test_other_rows_are_no_copy(arrive, second):
    arrive(FIRST, {f"trips_{FIRST}.csv": HEADER + ONE})
    assert arrive(SECOND, {f"trips_{SECOND}.csv": HEADER + second}).state == "published"


def test_a_rejected_batch_is_no_original(arrive):
    """Its rows were never published; delivered again for the next batch, they are new."""
    wrong = HEADER + ONE.replace("2.5", "-2.5")
    assert arrive(FIRST, {f"trips_{FIRST}.csv": wrong}).state == "rejected"
    record = arrive(SECOND, {f"trips_{SECOND}.csv": wrong})
    assert "delivered once" not in {reason.expectation for reason in record.reasons}


def test_labels_may_come_again_and_empty_files_are_no_copies(model, arrive):
    """A feed may repeat what it has said, and bring nothing for days: neither is a fault."""
    again = "id,minutes\n1,9\n"
    assert arrive(FIRST, {f"labels_{FIRST}.csv": again}, "labels").state == "published"
    record = arrive(SECOND, {f"labels_{SECOND}.csv": again}, "labels")
    assert (record.state, record.clean) == ("published", 1)
    for batch in ("2024-01-03", "2024-01-04"):
        record = arrive(batch, {f"labels_{batch}.csv": "id,minutes\n"}, "labels")
        assert (record.state, describe_fault(model, record)) == ("published", None)


@pytest.mark.parametrize(("wrong", "told"), [(1, False), (2, True)])
def test_half_as_many_failing_rows_as_reject_a_batch_are_told_of(model, at, arrive, wrong, told):
    """Up to a fifth may fail; from a tenth on it is an incident, which names the column."""
    rows = [f"{i},2024-01-01 08:00,{-1 if i < wrong else 2},a\n" for i in range(15)]
    record = arrive(FIRST, {f"trips_{FIRST}.csv": HEADER + "".join(rows)})
    assert (record.state, record.quarantined) == ("published", wrong)
    fault = describe_fault(model, record)
    assert (fault is not None) == told
    if fault is not None:
        text = fault.text
        assert f"{wrong} of 15 rows in quarantine, {15 - wrong} published" in text
        assert "distance: expect_column_values_to_be_between" in text
    assert validate_batch(model, at, FIRST) == record


def dates(*moments):
    return pa.table({"at": pa.array(moments, pa.timestamp("us", tz="UTC"))})


@pytest.mark.parametrize(
    ("every", "start", "batch", "moment"),
    [
        ("day", datetime(2024, 1, 1), "2024-01-06", datetime(2024, 6, 1, 8)),
        ("day", datetime(2024, 1, 1), "2024-02-01", datetime(2024, 1, 2, 23)),
        ("hour", datetime(2024, 1, 1), "2024-03-04T05", datetime(2024, 4, 3, 5)),
        ("month", datetime(2024, 1, 1), "2024-01-01", datetime(2024, 7, 1)),
    ],
)
def test_exchanged_dates_are_found_for_every_length_of_batches(every, start, batch, moment):
    calendar = Calendar(every, start.replace(tzinfo=UTC))
    found = find_exchanged_dates([dates(*[moment.replace(tzinfo=UTC)] * 3)], "at", STAMP, calendar, batch)
    assert found is not None
    assert (found.column, found.rows) == ("at", 3)
    assert f"such as {moment:%Y-%m-%d}" in found.found
    assert "%Y-%m-%d" in found.found


@pytest.mark.parametrize("days_late", [0, 1, 5, 30, 400])
def test_rows_that_are_merely_late_are_no_fault(days_late):
    calendar = Calendar("day", datetime(2024, 1, 1, tzinfo=UTC))
    moment = datetime(2025, 3, 7, 12, tzinfo=UTC) - timedelta(days=days_late)
    assert find_exchanged_dates([dates(*[moment] * 3)], "at", STAMP, calendar, "2025-03-07") is None


def test_a_whole_month_that_comes_a_month_late_is_no_fault():
    """One of its days reads as a day of the batch with day and month exchanged."""
    calendar = Calendar("month", datetime(2024, 1, 1, tzinfo=UTC))
    late = [datetime(2024, 1, day, tzinfo=UTC) for day in range(1, 32)]
    assert find_exchanged_dates([dates(*late)], "at", STAMP, calendar, "2024-02-01") is None


def test_dates_without_a_time_are_read_too():
    calendar = Calendar("week", datetime(2024, 1, 1, tzinfo=UTC))
    column = pa.table({"at": pa.array([datetime(2024, 8, 1).date()] * 4, pa.date32())})
    found = find_exchanged_dates([column], "at", ColumnType(type="date"), calendar, "2024-01-08")
    assert found is not None
    assert "ISO 8601" in found.found
