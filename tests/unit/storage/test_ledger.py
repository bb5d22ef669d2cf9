"""The ledger: one record a place, the first stands; the newest is found without reading the rest."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import obstore
import pytest

import evergreen.storage.ledger
from evergreen.batches import Calendar
from evergreen.errors import RecordUnreadable
from evergreen.records import BatchRecord, ClaimRecord, ClosingRecord, ResolutionRecord, SightingRecord
from evergreen.storage.cache import ByteCache
from evergreen.storage.ledger import Ledger

DAYS = Calendar("day", datetime(2020, 1, 1, tzinfo=UTC))
COUNTS = [0, 1, 2, 3, 7, 8, 9, 100]


@pytest.fixture
def ledger(tmp_path):
    return Ledger(str(tmp_path), "dev", "taxi")


@pytest.fixture
def reads(monkeypatch):
    """The paths that the ledger asks its store for, as they are asked for."""
    paths = []
    get = obstore.get

    def counted(store, path, **options):
        paths.append(path)
        return get(store, path, **options)

    monkeypatch.setattr(evergreen.storage.ledger.obstore, "get", counted)
    return paths


def closing(why, **meta):
    return ClosingRecord(as_of="2024-01-01", verdict="2024-01-01.0", outcome="promoted", why=why, meta=meta)


def sighting(n):
    return SightingRecord(as_of="2024-01-01", incident="drift.0", n=n, text=f"sighting {n}")


def claim(batch):
    return ClaimRecord(as_of=batch, revision=0, version=None, promotion=None, why="", data="d", label_cut=None)


def elsewhere(tmp_path):
    """Another process on the same store."""
    return Ledger(str(tmp_path), "dev", "taxi")


def test_the_first_record_of_a_place_stands(ledger, tmp_path):
    first = ledger.put(closing("first"))
    assert ledger.put(closing("second")).why == "first"
    assert elsewhere(tmp_path).put(closing("third")).why == "first"
    assert elsewhere(tmp_path).get(ClosingRecord, "2024-01-01.0") == first


def test_a_record_put_elsewhere_since_stands_too(ledger, tmp_path):
    assert ledger.get(ClosingRecord, "2024-01-01.0") is None
    elsewhere(tmp_path).put(closing("elsewhere"))
    assert ledger.put(closing("here")).why == "elsewhere"
    assert ledger.get(ClosingRecord, "2024-01-01.0").why == "elsewhere"


def test_meta_keeps_when_and_who_outside_equality(ledger, tmp_path):
    record = closing("first", run="scheduled__1")
    standing = ledger.put(record)
    assert standing == record
    assert record.meta == {"run": "scheduled__1"}
    again = elsewhere(tmp_path).get(ClosingRecord, "2024-01-01.0")
    assert again == record
    assert again.meta["run"] == "scheduled__1"
    assert datetime.fromisoformat(again.meta["written_at"]).tzinfo == UTC


def test_a_record_is_read_back_as_it_was_put(ledger, tmp_path):
    record = BatchRecord(
        as_of="2024-01-01",
        feed="rows",
        revision=0,
        state="rejected",
        files=({"name": "é ü.csv", "size": 3, "sha256": "s", "raw": "rows/x"},),
        rows_in=3,
        quarantined=3,
        reasons=({"expectation": "declared columns", "column": "x", "found": "no such column\n", "rows": 0},),
        left_out=("a", "b"),
    )
    ledger.put(record)
    assert elsewhere(tmp_path).get(BatchRecord, "rows.2024-01-01") == record


def test_places_do_not_mix(tmp_path):
    taxi = Ledger(str(tmp_path), "dev", "taxi")
    taxi.put(closing("taxi"))
    assert Ledger(str(tmp_path), "dev", "bikes").get(ClosingRecord, "2024-01-01.0") is None
    assert Ledger(str(tmp_path), "prod", "taxi").get(ClosingRecord, "2024-01-01.0") is None
    assert taxi.get(ClosingRecord, "2024-01-01.1") is None
    assert taxi.get(ClosingRecord, "2024-01-01.0", 1) is None
    assert taxi.get(SightingRecord, "2024-01-01.0") is None


@pytest.mark.parametrize("count", COUNTS)
def test_last_finds_the_highest_number(count, ledger, tmp_path):
    for n in range(count):
        ledger.put(sighting(n))
    for one in (ledger, elsewhere(tmp_path)):
        last = one.last(SightingRecord, "drift.0")
        assert (last.n if last else None) == (count - 1 if count else None)
        assert [record.n for record in one.all(SightingRecord, "drift.0")] == list(range(count))


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("prefix", ["", "rows."])
def test_last_batch_finds_the_newest(count, prefix, ledger, tmp_path):
    kind = BatchRecord if prefix else ClaimRecord
    for i in range(count):
        batch = DAYS.name(i)
        ledger.put(BatchRecord(as_of=batch, feed="rows", revision=0, state="missing") if prefix else claim(batch))
    for one in (ledger, elsewhere(tmp_path)):
        assert one.last_batch(kind, DAYS, prefix) == (DAYS.name(count - 1) if count else None)


def test_last_follows_what_is_put_meanwhile(ledger, tmp_path):
    other = elsewhere(tmp_path)
    for n in range(20):
        (ledger if n % 3 else other).put(sighting(n))
        assert ledger.last(SightingRecord, "drift.0").n == n
        assert other.last(SightingRecord, "drift.0").n == n
    assert ledger.last(SightingRecord, "drift.1") is None


def test_a_thousand_records_are_not_read_to_find_the_last(ledger, tmp_path, reads):
    for n in range(1000):
        ledger.put(sighting(n))
        ledger.put(claim(DAYS.name(n)))
    fresh = elsewhere(tmp_path)
    reads.clear()
    assert fresh.last(SightingRecord, "drift.0").n == 999
    assert 0 < len(reads) < 25
    reads.clear()
    assert fresh.last_batch(ClaimRecord, DAYS) == DAYS.name(999)
    assert 0 < len(reads) < 25


def test_a_known_last_costs_one_look(ledger, reads):
    for n in range(50):
        ledger.put(sighting(n))
    ledger.last(SightingRecord, "drift.0")
    reads.clear()
    assert ledger.last(SightingRecord, "drift.0").n == 49
    assert len(reads) == 1
    ledger.put(sighting(50))
    reads.clear()
    assert ledger.last(SightingRecord, "drift.0").n == 50
    assert len(reads) <= 2


def test_a_record_that_was_read_is_not_read_again(ledger, tmp_path, reads):
    ledger.put(closing("first"))
    fresh = elsewhere(tmp_path)
    reads.clear()
    for _ in range(3):
        assert fresh.get(ClosingRecord, "2024-01-01.0").why == "first"
    assert len(reads) == 1


def test_of_many_writers_at_once_one_stands(tmp_path):
    barrier = Barrier(8)

    def write(name):
        ledger = elsewhere(tmp_path)
        barrier.wait()
        return ledger.put(closing(name)).why

    with ThreadPoolExecutor(8) as pool:
        standing = set(pool.map(write, [f"writer {i}" for i in range(8)]))
    assert len(standing) == 1
    assert {elsewhere(tmp_path).get(ClosingRecord, "2024-01-01.0").why} == standing


DAMAGED = "is damaged: .*; a ClosingRecord is expected. Restore the file from a backup"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", DAMAGED),
        (b"{", DAMAGED),
        (b"[1]", DAMAGED),
        (b"\xff\xfe", DAMAGED),
        (b'{"as_of": "2024-01-01"}', DAMAGED),
        (b'{"schema_number": "two"}', DAMAGED),
        (
            b'{"schema_number": 2, "more": 1}',
            "it has schema 2, and this version of Evergreen reads up to 1; upgrade it",
        ),
    ],
)
def test_a_record_that_cannot_be_read_says_which_and_what_to_do(tmp_path, content, told):
    Ledger(str(tmp_path), "dev", "taxi").put(closing("x"))
    [file] = tmp_path.rglob("*.json")
    file.write_bytes(content)
    with pytest.raises(RecordUnreadable, match=told) as error:
        Ledger(str(tmp_path), "dev", "taxi").get(ClosingRecord, "2024-01-01.0")
    assert str(file) in str(error.value)


def test_records_say_the_number_of_their_schema(ledger, tmp_path):
    ledger.put(closing("x"))
    [file] = tmp_path.rglob("*.json")
    assert '"schema_number": 1' in file.read_text()


def test_many_nights_take_the_memory_of_a_few(ledger, tmp_path, monkeypatch):
    bound = ByteCache(100_000, evergreen.storage.ledger._KEPT.getsizeof)
    monkeypatch.setattr(evergreen.storage.ledger, "_KEPT", bound)
    monkeypatch.setattr(evergreen.storage.ledger, "_ROWS", 20)
    written, read = Ledger(str(tmp_path), "dev", "taxi"), Ledger(str(tmp_path), "dev", "taxi")
    taken = {}
    tracemalloc.start()
    for night in range(1, 401):
        name = DAYS.name(night - 1)
        written.put(claim(name))
        assert read.last(ClaimRecord, read.last_batch(ClaimRecord, DAYS)).as_of == name
        taken[night] = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    # Each keeps some kilobytes of a night where it keeps all.
    assert taken[400] - taken[100] < 100_000
    assert [read.get(ClaimRecord, DAYS.name(night)).as_of for night in (0, 399)] == [DAYS.name(0), DAYS.name(399)]


def test_half_a_character_stands_on_record_as_its_escape(ledger, tmp_path):
    """As of ``--why`` from a terminal in another encoding, or of an exception of a model's own code."""
    over = ResolutionRecord(as_of="2024-01-03", incident="drift.0", text="f\udcfcr 'dr\u00fcben'")
    assert ledger.put(over) == over
    (file,) = tmp_path.rglob("0.json")
    assert ResolutionRecord.model_validate_json(file.read_bytes()).text == "f\\udcfcr 'dr\u00fcben'"
