"""A batch taken in again: one further revision, whatever happens on the way."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from evergreen.cli import cli
from evergreen.config.locations import Locations
from evergreen.config.model_folder import load_model_folder
from evergreen.errors import ConfigInvalid
from evergreen.features.reading import published
from evergreen.incidents import FAULT, STALE, last_incident, report
from evergreen.records import ArrivalRecord, BatchRecord, ClaimRecord, RevisionRecord
from evergreen.steps.ingest_batch import ingest_batch
from evergreen.steps.reingest_batch import reingest_batch
from evergreen.steps.validate_batch import validate_batch
from evergreen.storage.content import printed_hash
from evergreen.storage.lake import Lake
from evergreen.storage.ledger import Ledger
from evergreen.storage.revisions import sealed_batch
from evergreen.storage.stores import open_stores
from tests.dying import Killed, dying
from tests.short_loop import records, tables
from tests.unit.conftest import CONFIG

DAY, NEXT = "2024-01-01", "2024-01-02"
HEADER = "id,at,distance,zone,minutes\n"
WRITES = [(Ledger, "put"), (Lake, "replace"), (Lake, "put_raw")]


@pytest.fixture
def model(write_folder):
    """A model whose labels stand inside its rows: a revision of one is a revision of both."""
    begin, end = CONFIG.index("labels:\n"), CONFIG.index("features: ")
    return load_model_folder(
        write_folder(config=f"{CONFIG[:begin]}labels: {{target: {{minutes: float}}}}\n{CONFIG[end:]}")
    )


def land(model, at, *rows, batch=DAY):
    folder = Path(at.landing, model.id)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"trips_{batch}.csv").write_text(HEADER + "".join(f"{row}\n" for row in rows))
    (folder / f"trips_{batch}.done").touch()


def seal(model, at, *rows, batch=DAY):
    land(model, at, *rows, batch=batch)
    ingest_batch(model, at, batch)
    validate_batch(model, at, batch)
    return validate_batch(model, at, batch, "labels")


def row(number, distance=1.0, minutes=5.0):
    return f"{number},2024-01-01 08:00,{distance},a,{minutes}"


def claim(model, at, batch):
    record = ClaimRecord(as_of=batch, revision=0, version=None, promotion=None, why="", data="", label_cut=None)
    open_stores(at, model.id).ledger.put(record)


def test_rows_and_the_labels_inside_them_change_together(model, at):
    seal(model, at, row(1), row(2), row(3))
    claim(model, at, DAY)
    land(model, at, row(1), row(2, distance=9), row(4, minutes=7))
    result = reingest_batch(model, at, DAY)
    assert result.keys == {"added": ["4"], "removed": ["3"], "changed": ["2"]}
    stores = open_stores(at, model.id)
    for feed in ("rows", "labels"):
        assert [p.revision for p in published(stores, feed, [DAY], DAY)] == [0]
        assert [p.revision for p in published(stores, feed, [DAY], NEXT)] == [1]
    assert len(list(stores.ledger.all(RevisionRecord, "batches"))) == 1
    assert sorted(one["id"] for one in stores.lake.read_any("labels", DAY, 1).to_pylist()) == [1, 2, 4]


def test_before_a_batch_is_claimed_its_revision_is_the_one_that_is_scored(model, at):
    seal(model, at, row(1))
    land(model, at, row(1), row(2))
    result = reingest_batch(model, at, DAY)
    assert result.revision.as_of == DAY
    assert sealed_batch(open_stores(at, model.id).ledger, "rows", DAY, DAY).revision == 1


def test_the_same_files_under_other_rules_are_another_revision(model, at):
    seal(model, at, row(1, distance=-1), row(2))
    assert sealed_batch(open_stores(at, model.id).ledger, "rows", DAY).state == "rejected"
    (model.path / "expectations.yaml").write_text("rows: []\n")
    result = reingest_batch(load_model_folder(model.path), at, DAY)
    assert (result.before.state, result.after.state, result.after.clean) == ("rejected", "published", 2)


def test_the_same_rows_are_no_revision_of_a_batch_that_version_0_2_0_sealed(model, at):
    seal(model, at, row(1), row(2))
    for feed, table in (("rows", "clean"), ("labels", "labels")):
        path = Path(at.lake, "ledger", at.env, model.id, "batch", f"{feed}.{DAY}", "0.json")
        body = json.loads(path.read_text())
        kept = open_stores(at, model.id).lake.read_any(table, DAY, 0).sort_by("id")
        path.write_text(json.dumps(body | {"content": printed_hash(kept)}))
    open_stores.cache_clear()
    stores = open_stores(at, model.id)
    (partition,) = published(stores, "rows", [DAY])
    assert stores.lake.read(partition, ["id"]).column("id").to_pylist() == [1, 2]
    assert reingest_batch(model, at, DAY).revision is None
    land(model, at, row(1), row(2, distance=9))
    assert reingest_batch(model, at, DAY).keys["changed"] == ["2"]


def test_a_batch_that_was_declared_missing_comes_after_all(model, at):
    ledger = open_stores(at, model.id).ledger
    report(ledger, STALE["rows"], DAY, "never came")
    for feed in ("rows", "labels"):
        ledger.put(BatchRecord(as_of=DAY, feed=feed, revision=0, state="missing"))
    claim(model, at, DAY)
    land(model, at, row(1))
    result = reingest_batch(model, at, DAY)
    assert (result.after.state, result.after.revision) == ("published", 1)
    assert last_incident(ledger, "stale-rows").resolved.as_of == NEXT
    assert reingest_batch(model, at, DAY).revision is None


def test_an_incident_of_two_batches_closes_with_the_second(model, at):
    ledger = open_stores(at, model.id).ledger
    seal(model, at, "x", batch=DAY)
    seal(model, at, "y", batch=NEXT)
    assert last_incident(ledger, FAULT["rows"]).sightings == 2
    land(model, at, row(1), batch=NEXT)
    reingest_batch(model, at, NEXT)
    assert last_incident(ledger, FAULT["rows"]).resolved is None
    land(model, at, row(2), batch=DAY)
    reingest_batch(model, at, DAY)
    assert last_incident(ledger, FAULT["rows"]).resolved is not None


def test_labels_inside_the_rows_are_taken_in_with_them(model, at):
    seal(model, at, row(1))
    with pytest.raises(ConfigInvalid, match=r"valid: reingest the rows of batch 2024-01-01"):
        reingest_batch(model, at, DAY, "labels")


def test_killed_after_any_write_the_next_call_ends_in_the_same_state(model, at, tmp_path, monkeypatch):
    seal(model, at, row(1), row(2))
    seal(model, at, "x", batch=NEXT)
    land(model, at, row(1), row(3), batch=DAY)
    shutil.copytree(at.lake, tmp_path / "kept")

    def reingest(number, dies_after=None):
        lake = tmp_path / f"lake{number}"
        if not lake.exists():
            shutil.copytree(tmp_path / "kept", lake)
        place = Locations("dev", str(lake), at.landing, "http://127.0.0.1:1")
        open_stores.cache_clear()
        written = []
        with monkeypatch.context() as patch:
            for owner, name in WRITES:
                patch.setattr(owner, name, dying(getattr(owner, name), written, dies_after))
            reingest_batch(model, place, DAY)
        return records(model, place) | tables(model, place), len(written)

    expected, writes = reingest(0)
    assert writes >= 8
    assert "arrival/rows.2024-01-01/1.json" in expected
    for n in range(1, writes + 1):
        with pytest.raises(Killed):
            reingest(n, dies_after=n)
        assert reingest(n)[0] == expected, f"killed after write {n}"


@pytest.mark.parametrize("rule", ["{marker: 'trips_{batch:%Y-%m-%d}.done'}", "{stable: 1s}"])
def test_the_command_says_what_has_changed(rule, model, at, monkeypatch):
    config = model.path / "config.yaml"
    config.write_text(config.read_text().replace('{marker: "trips_{batch:%Y-%m-%d}.done"}', rule))
    for name, value in (("LAKE", at.lake), ("LANDING", at.landing), ("MODELS", str(model.path.parent))):
        monkeypatch.setenv(f"EVERGREEN_{name}", value)
    seal(model, at, row(1), row(2))
    land(model, at, row(1), row(3))
    done = CliRunner().invoke(cli, ["reingest", model.id, DAY])
    assert done.exit_code == 0, done.output
    assert done.output.splitlines() == [
        "rows of batch 2024-01-01: revision 1, published before, published now",
        "  clean rows: 2 before, 2 now",
        "  rows in quarantine: 0 before, 0 now",
        "  1 rows added: 3",
        "  1 rows removed: 2",
        "  0 rows changed",
        "  read from batch 2024-01-01 on; predictions and verdicts that stand are left as they are",
    ]
    land(model, at, "x")
    assert CliRunner().invoke(cli, ["reingest", model.id, DAY]).exit_code == 1


def test_files_that_changed_after_a_kill_make_a_revision_of_their_own(model, at):
    seal(model, at, row(1))
    land(model, at, row(1), row(2))
    stores = open_stores(at, model.id)
    first = stores.ledger.get(ArrivalRecord, f"rows.{DAY}")
    copied = reingest_files(model, at)
    stores.ledger.put(first.model_copy(update={"revision": 1, "files": copied, "meta": {}}))
    land(model, at, row(1), row(3))
    result = reingest_batch(model, at, DAY)
    assert result.after.revision == 2
    assert [(one.revision, one.added, one.removed) for one in stores.ledger.all(RevisionRecord, "batches")] == [
        (1, 1, 0),
        (2, 1, 1),
    ]


def reingest_files(model, at):
    from evergreen.sources.intake import take_in_again

    return take_in_again(model, at, "rows", DAY, 1, DAY).files


def test_rows_that_are_named_by_a_moment_are_compared_too(write_folder, at):
    begin, end = CONFIG.index("labels:\n"), CONFIG.index("features: ")
    text = f"{CONFIG[:begin]}labels: none\n{CONFIG[end:]}".replace("key: [id]", "key: [at]")
    model = load_model_folder(write_folder(config=text))
    land(model, at, "1,some day,1,a,1")
    ingest_batch(model, at, DAY)
    assert validate_batch(model, at, DAY).state == "rejected"
    land(model, at, row(1))
    assert reingest_batch(model, at, DAY).keys["added"] == ["2024-01-01 08:00:00"]
