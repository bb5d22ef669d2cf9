"""The watch over folders: what breaks or stands still is on record once, and over once it is mended."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evergreen.config.locations import Locations
from evergreen.config.model_folder import find_model_folders
from evergreen.incidents import last_incident
from evergreen.records import ClaimRecord, SectionVerdict, VerdictRecord
from evergreen.steps.watch_models import find_changes, report_changes
from evergreen.storage.identity import put_identity
from evergreen.storage.stores import open_stores

NOON = datetime(2030, 1, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def folder(write_folder, edit_config, tmp_path):
    """Write the folder of a model whose first batch is 2030-01-01; find it as the watch does."""
    path = write_folder(config=edit_config("start: 2024-01-01", "start: 2030-01-01"))

    def find(old=None, new=None, file="config.yaml"):
        if old is not None:
            text = (path / file).read_text()
            assert old in text
            (path / file).write_text(text.replace(old, new))
        (found,) = find_model_folders([tmp_path / "models"]).values()
        return found

    return find


@pytest.fixture
def work(at):
    """Put the claims, and the checks, of the days up to one; each was written at a moment."""

    def put(last, checked=None, moment=NOON):
        ledger, meta = open_stores(at, "taxi").ledger, {"written_at": moment.isoformat()}
        for day in range(1, last + 1):
            nobody = {"revision": 0, "version": None, "promotion": None, "why": "", "data": "d", "label_cut": None}
            ledger.put(ClaimRecord(as_of=f"2030-01-{day:02d}", meta=meta, **nobody))
        for day in range(1, (last if checked is None else checked) + 1):
            as_of, ok = f"2030-01-{day:02d}", SectionVerdict(state="ok", why="")
            sections = dict.fromkeys(("freshness", "inputs", "predictions", "outcomes"), ok)
            asked = {"last_ask": None, "previous_ask": None, "reasons": (), "action": "none"}
            common = {"covers": (as_of,), "promotion": None, "version": None, "meta": meta}
            ledger.put(VerdictRecord(as_of=as_of, n=0, **sections, **asked, **common))

    return put


def open_texts(at: Locations, cause: str) -> list[str]:
    last = last_incident(open_stores(at, "taxi").ledger, cause)
    if last is None or last.resolved is not None:
        return []
    return [last.opened.told, *([last.seen.told] if last.seen else [])]


def test_a_folder_that_is_refused_is_told_though_no_run_of_it_begins(folder, at):
    put_identity(folder(), at, open_stores(at, "taxi").ledger, "rows", "2030-01-01")
    later = folder("start: 2030-01-01", "start: 2031-01-01")
    assert report_changes(later, at, NOON)
    (told,) = open_texts(at, "broken")
    assert "Every run is refused." in told
    assert "schedule.start: found 2031-01-01; on record: 2030-01-01" in told
    assert find_changes(later, at, NOON + HOUR) == []
    report_changes(folder("start: 2031-01-01", "start: 2030-01-01"), at, NOON + HOUR)
    assert open_texts(at, "broken") == []


def test_a_record_that_only_the_watch_reads_is_told_of_where_it_is_damaged(folder, at, work):
    """Nothing is retrained then, and no run fails by it."""
    work(9)
    path = Path(at.lake) / "ledger" / at.env / "taxi" / "verdict" / "2030-01-09" / "0.json"
    content = path.read_bytes()
    path.write_bytes(content[:40])
    open_stores.cache_clear()
    assert report_changes(folder(), at, NOON)
    assert report_changes(folder(), at, NOON + HOUR)
    (told,) = open_texts(at, "broken")
    assert "taxi: record " in told
    assert "verdict/2030-01-09/0.json is damaged" in told
    path.write_bytes(content)
    report_changes(folder(), at, NOON + HOUR)
    assert open_texts(at, "broken") == []


def test_a_broken_folder_is_one_incident_until_it_loads(folder, at, work):
    work(9)
    assert not report_changes(folder(), at, NOON)
    broken = folder("title: Taxi trips", "titel: Taxi trips")
    for hour in range(3):
        assert report_changes(broken, at, NOON + hour * HOUR)
    (text,) = open_texts(at, "broken")
    assert "config.yaml: titel: unknown field; did you mean title?" in text
    assert find_changes(broken, at, NOON + 3 * HOUR) == []
    sound = folder("titel", "title")
    assert report_changes(sound, at, NOON + 4 * HOUR)
    assert open_texts(at, "broken") == []
    assert not report_changes(sound, at, NOON + 4 * HOUR)
    assert report_changes(folder("def ", "deaf ", "features.py"), at, NOON + 5 * HOUR)
    assert last_incident(open_stores(at, "taxi").ledger, "broken").opened.n == 1


def test_another_cause_joins_the_open_incident(folder, at):
    report_changes(folder("title: Taxi trips", "titel: Taxi trips"), at, NOON)
    report_changes(folder("wait: 6h", "wait: soon"), at, NOON + HOUR)
    first, then = open_texts(at, "broken")
    assert "titel" in first
    assert "titel" in then
    assert "source.wait" in then


def test_a_folder_without_its_config_is_not_passed_over(folder, at, tmp_path):
    (tmp_path / "models" / "taxi" / "config.yaml").rename(tmp_path / "models" / "taxi" / "config.yml")
    assert report_changes(folder(), at, NOON)
    assert "config.yaml: cannot be read: No such file" in open_texts(at, "broken")[0]


# Batch 2030-01-09 ends with the day; its files are waited for until six.
@pytest.mark.parametrize(
    ("scored", "checked", "now", "said"),
    [
        (9, 9, NOON, None),
        (8, 8, datetime(2030, 1, 10, 6, 59, tzinfo=UTC), None),
        (8, 8, datetime(2030, 1, 10, 7, 1, tzinfo=UTC), "none was scored since 2030-01-08"),
        (0, 0, NOON, "none was scored so far"),
        (9, 8, NOON, None),
        (9, 8, datetime(2030, 1, 10, 14, 1, tzinfo=UTC), "none was checked since 2030-01-08"),
    ],
    ids=["on time", "waits for files", "late", "never ran", "waits for labels", "never checked"],
)
def test_a_night_in_which_nobody_ran_is_told_by_the_schedule(scored, checked, now, said, folder, at, work):
    work(scored, checked, NOON - timedelta(days=1))
    assert report_changes(folder(), at, now) is (said is not None)
    told = open_texts(at, "late")
    assert [said in text for text in told] == ([True] if said else [])


def test_a_night_is_told_once_and_is_over_with_the_last_batch(folder, at, work):
    work(5, moment=NOON - timedelta(days=4))
    for hour in range(3):
        report_changes(folder(), at, NOON + hour * HOUR)
    (text,) = open_texts(at, "late")
    assert "taxi__batch" in text
    # It catches up: what is late goes on being late, and nobody is told again.
    work(7, moment=NOON + 3 * HOUR)
    report_changes(folder(), at, NOON + 3 * HOUR)
    assert len(open_texts(at, "late")) == 1
    work(9, moment=NOON + 4 * HOUR)
    report_changes(folder(), at, NOON + 4 * HOUR)
    assert open_texts(at, "late") == []
    assert find_changes(folder(), at, NOON + 5 * HOUR) == []


def test_who_catches_up_is_not_late(folder, at, work):
    work(3, moment=NOON - timedelta(minutes=5))
    assert find_changes(folder(), at, NOON) == []


@pytest.mark.parametrize(("days", "late"), [(0, 0), (2, 1)])
def test_a_folder_that_has_come_with_a_past_is_late_once_a_batch_falls_due(days, late, folder, at):
    model = folder("start: 2030-01-01", "start: 2024-01-01")
    assert len(find_changes(model, at, datetime.now(UTC) + timedelta(days=days))) == late


def test_a_stream_that_ended_before_its_folder_came_is_not_late(folder, at):
    assert find_changes(folder("start: 2030-01-01", "start: 2024-01-01, end: 2024-01-24"), at, NOON) == []


def test_who_waits_for_ever_is_never_late(folder, at):
    assert find_changes(folder("wait: 6h", "wait: forever"), at, NOON) == []


@pytest.mark.parametrize("now", [datetime(2029, 12, 1, tzinfo=UTC), datetime(2030, 1, 1, 12, tzinfo=UTC)])
def test_before_the_first_batch_nothing_is_late(now, folder, at):
    assert find_changes(folder(), at, now) == []


def test_after_the_last_batch_nothing_is_late(folder, at, work):
    work(9)
    model = folder("start: 2030-01-01", "start: 2030-01-01, end: 2030-01-09")
    assert find_changes(model, at, NOON + timedelta(days=90)) == []
