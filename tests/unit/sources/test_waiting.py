"""Probing for a batch: it is there, awaited, overdue or missing, and probing changes nothing."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evergreen.config.model_folder import load_model_folder
from evergreen.errors import NotReady, Outage
from evergreen.records import ArrivalRecord, BatchRecord, ClaimRecord, SectionVerdict, VerdictRecord
from evergreen.sources.waiting import probe_batch, unordered, unsettled
from evergreen.steps.wait_for_batch import wait_for_batch
from evergreen.storage.stores import open_stores

BATCH = "2024-01-01"
END = datetime(2024, 1, 2, tzinfo=UTC)


@pytest.fixture
def model(write_folder):
    return load_model_folder(write_folder())


@pytest.fixture
def ledger(model, at):
    return open_stores(at, model.id).ledger


@pytest.fixture
def land(at):
    """Let a file arrive."""
    folder = Path(at.landing) / "taxi"

    def land(name):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("id\n1\n")

    return land


@pytest.fixture
def put(land):
    """Let a batch arrive whole."""
    return lambda batch: (land(f"trips_{batch}.csv"), land(f"trips_{batch}.done"))


def seal(ledger, state, batch=BATCH, feed="rows", brought=""):
    ledger.put(BatchRecord(as_of=batch, feed=feed, revision=0, state=state, brought=brought))


def test_a_batch_with_its_marker_is_complete(model, at, put):
    put(BATCH)
    seen = probe_batch(model, at, BATCH, END)
    assert (seen.state, seen.why) == ("complete", "1 files, marker trips_2024-01-01.done")
    assert seen.probe.sizes == (("trips_2024-01-01.csv", 5),)


@pytest.mark.parametrize(
    ("late", "state"),
    [
        (timedelta(hours=-9), "waiting"),
        (timedelta(hours=6, seconds=-1), "waiting"),
        (timedelta(hours=6), "overdue"),
        (timedelta(days=99), "overdue"),
    ],
)
def test_the_wait_counts_from_the_batchs_end(late, state, model, at, land):
    land("trips_2024-01-01.csv")
    seen = probe_batch(model, at, BATCH, END + late)
    assert (seen.state, seen.why) == (state, "1 files, marker trips_2024-01-01.done")


def test_a_batch_that_comes_after_its_time_is_still_taken(model, at, put):
    put(BATCH)
    assert probe_batch(model, at, BATCH, END + timedelta(days=99)).state == "complete"


@pytest.mark.parametrize("feed", ["rows", "labels"])
def test_a_landing_folder_that_is_gone_is_waited_for_and_then_an_outage(feed, model, at, land, ledger):
    land("trips_2024-01-01.csv")
    Path(at.landing).rename(Path(at.landing).with_name("lost"))
    seen = probe_batch(model, at, BATCH, END, feed=feed)
    assert (seen.state, seen.why) == ("waiting", f"landing folder {at.landing}/taxi is not there; mount it, or make it")
    told = f"model taxi, {feed} of batch 2024-01-01: landing folder {at.landing}/taxi is not there"
    with pytest.raises(Outage, match=told):
        wait_for_batch(model, at, BATCH, END + timedelta(days=1), feed=feed)
    assert ledger.get(BatchRecord, f"{feed}.{BATCH}") is None


@pytest.mark.parametrize(
    ("brought", "left", "state"), [(BATCH, "", "an outage"), (BATCH, ".keep", "missing"), ("", "", "missing")]
)
def test_a_bare_folder_from_which_files_came_has_lost_its_mount(brought, left, state, model, at, land, ledger):
    seal(ledger, "published", brought=brought)
    if left:
        land(left)
    second, later = "2024-01-02", END + timedelta(days=3)
    assert probe_batch(model, at, second, END).state == "waiting"
    if state == "missing":
        assert wait_for_batch(model, at, second, later).state == "missing"
        return
    told = f"rows of batch 2024-01-02: no file fits .* in {at.landing}/taxi, which is empty"
    with pytest.raises(Outage, match=f"{told}, though files of batch 2024-01-01 came from there"):
        wait_for_batch(model, at, second, later)
    assert ledger.get(BatchRecord, f"rows.{second}") is None


@pytest.mark.parametrize("feed", ["rows", "labels"])
def test_a_landing_folder_that_cannot_be_read_is_an_outage_at_once(feed, model, at, ledger):
    (Path(at.landing) / "taxi").rmdir()
    (Path(at.landing) / "taxi").write_text("a file in its place")
    for now in (END, END + timedelta(days=1)):
        with pytest.raises(Outage, match="taxi cannot be read: Not a directory"):
            wait_for_batch(model, at, BATCH, now, feed=feed)
    assert ledger.get(BatchRecord, f"{feed}.{BATCH}") is None


def test_an_endless_wait_is_never_overdue(write_folder, edit_config, at):
    model = load_model_folder(write_folder("bikes", config=edit_config("wait: 6h", "wait: forever")))
    assert probe_batch(model, at, BATCH, datetime(2999, 1, 1, tzinfo=UTC)).state == "waiting"


@pytest.mark.parametrize(
    ("sealed", "state"), [("published", "complete"), ("rejected", "complete"), ("missing", "missing")]
)
def test_a_sealed_batch_is_not_probed_for(sealed, state, model, at, ledger):
    seal(ledger, sealed)
    seen = probe_batch(model, at, BATCH, END + timedelta(days=99))
    assert (seen.state, seen.why, seen.probe) == (state, f"already {sealed}", None)


def test_an_ingested_batch_is_complete_though_its_files_are_gone(model, at, ledger):
    ledger.put(ArrivalRecord(as_of=BATCH, feed="rows", revision=0, files=()))
    assert probe_batch(model, at, BATCH, END + timedelta(days=99)).state == "complete"


def test_one_batch_after_another(model, at, ledger, put):
    put("2024-01-02")
    with pytest.raises(NotReady, match="rows of batch 2024-01-01 are not sealed"):
        probe_batch(model, at, "2024-01-02", END)
    seal(ledger, "missing")
    assert probe_batch(model, at, "2024-01-02", END).state == "complete"


def test_files_that_are_there_before_the_first_probe_are_not_overdue(write_folder, edit_config, at, land):
    """A schedule that catches up probes for the first time long after the wait is over."""
    marker = '{marker: "trips_{batch:%Y-%m-%d}.done"}'
    model = load_model_folder(write_folder(config=edit_config(marker, "{stable: 30s}")))
    late = END + timedelta(days=99)
    assert probe_batch(model, at, BATCH, late).state == "overdue"
    land("trips_2024-01-01.csv")
    first = probe_batch(model, at, BATCH, late)
    assert first.state == "waiting"
    assert probe_batch(model, at, BATCH, late, first.probe).state == "complete"
    land("trips_2024-01-01_b.csv")
    assert probe_batch(model, at, BATCH, late, first.probe).state == "waiting", "it has grown between the probes"


def test_labels_follow_labels_and_not_rows(model, at, ledger, land):
    seal(ledger, "published")
    land("labels_2024-01-02.csv")
    with pytest.raises(NotReady, match="labels of batch 2024-01-01"):
        probe_batch(model, at, "2024-01-02", END, None, "labels")
    seal(ledger, "published", feed="labels")
    first = probe_batch(model, at, "2024-01-02", END, None, "labels")
    assert first.state == "waiting"
    assert probe_batch(model, at, "2024-01-02", END, first.probe, "labels").state == "complete"


def test_labels_inside_the_rows_have_come_with_them(write_folder, edit_config, at):
    text = edit_config("labels:\n", "LABELS")
    text = text.partition("LABELS")[0] + "labels: {target: {minutes: float}}\n" + text[text.index("features: ") :]
    model = load_model_folder(write_folder("bikes", config=text))
    assert probe_batch(model, at, BATCH, END, None, "labels").state == "complete"


def test_probing_writes_nothing(model, at, tmp_path):
    probe_batch(model, at, BATCH, END + timedelta(days=99))
    assert not [path for path in Path(at.lake).rglob("*") if path.is_file()]


def test_a_batch_lacks_its_claim_then_its_labels_then_nothing(model, at, ledger):
    assert "batch 2024-01-01 has not been claimed" in unsettled(model, at, BATCH)
    nobody = {"version": None, "promotion": None, "why": "", "data": "d", "label_cut": None}
    ledger.put(ClaimRecord(as_of=BATCH, revision=0, **nobody))
    assert "labels of batch 2024-01-01 are not sealed" in unsettled(model, at, BATCH)
    seal(ledger, "missing", feed="labels")
    assert unsettled(model, at, BATCH) is None


def test_without_labels_a_claim_settles_it(write_folder, edit_config, at):
    text = edit_config("labels:\n", "LABELS")
    text = text.partition("LABELS")[0] + "labels: none\n" + text[text.index("features: ") :]
    model = load_model_folder(write_folder("bikes", config=text))
    nobody = {"version": None, "promotion": None, "why": "", "data": "d", "label_cut": None}
    open_stores(at, "bikes").ledger.put(ClaimRecord(as_of=BATCH, revision=0, **nobody))
    assert unsettled(model, at, BATCH) is None


@pytest.mark.parametrize(
    ("checked", "batch", "waits_for"),
    [
        ((), 3, None),
        ((), 4, 1),
        ((1,), 4, None),
        ((3,), 6, None),
        ((4,), 6, None),
        ((2,), 6, 3),
        ((6,), 6, 3),
    ],
)
def test_a_check_waits_for_the_one_before_it(checked, batch, waits_for, write_folder, edit_config, at):
    """With a check each third batch; after a change of `check.every` it may lie in between."""
    model = load_model_folder(write_folder(config=edit_config("check: {window: 2", "check: {every: 3, window: 2")))
    ok = SectionVerdict(state="ok", why="")
    for number in checked:
        open_stores(at, model.id).ledger.put(
            VerdictRecord(
                as_of=f"2024-01-0{number}", n=0, covers=(), promotion=1, version=1, freshness=ok, inputs=ok,
                predictions=ok, outcomes=ok, reasons=(), action="none", last_ask=None, previous_ask=None,
            )
        )  # fmt: skip
    told = unordered(model, at, f"2024-01-0{batch}")
    expected = f"batch 2024-01-0{waits_for} has not been checked; it is waited for, so that checks follow one another"
    assert told == (expected if waits_for else None)
