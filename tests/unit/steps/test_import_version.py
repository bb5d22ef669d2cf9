"""A version crosses into another environment: its very files, judged there on that environment's own labels."""

import tracemalloc
import zipfile
from dataclasses import replace

import pytest

from evergreen.config.locations import Locations
from evergreen.errors import NotReady, Refused
from evergreen.records import AttemptRecord, PromotionRecord
from evergreen.replay.status import describe_version
from evergreen.steps.check_drift import check_drift
from evergreen.steps.export_version import export_version
from evergreen.steps.import_version import describe_imported, import_version
from evergreen.steps.reproduce_model import reproduce_model
from evergreen.storage.exported import read_export
from evergreen.storage.ledger import Ledger
from evergreen.storage.model_store import ModelStore
from evergreen.storage.stores import open_stores
from tests.dying import Killed, dying
from tests.short_loop import lay_registry, records
from tests.unit.small_loop import SmallLoop, day, doubled, turned

NEVER = {"retrain": {"any": ["never"]}}


class Production(SmallLoop):
    """The same model in an environment with stores of its own."""

    @property
    def served(self):
        return list(open_stores(self.at, self.model.id).ledger.all(PromotionRecord, "champion"))


@pytest.fixture(scope="module")
def dev(tmp_path_factory):
    """Version 2 of dev has learnt the first three days."""
    loop = SmallLoop.begun(tmp_path_factory.mktemp("dev"), 3, **NEVER)
    assert [(one.version, one.baseline) for one in loop.promotions] == [(1, True), (2, False)]
    return loop


@pytest.fixture(scope="module")
def begun(dev, tmp_path_factory):
    """Production took in the same two days, and nobody serves there but the baseline."""
    at = Locations.under(tmp_path_factory.mktemp("production"), env="production")
    lay_registry(at)
    loop = Production(dev.model, at)
    loop.run(doubled, 1)
    loop.take(doubled, 2)
    return loop


@pytest.fixture
def production(begun, tmp_path):
    return begun.copied(tmp_path / "copy")


@pytest.fixture
def carried(dev, tmp_path):
    exported = export_version(dev.model, dev.at, 2)
    exported.write(tmp_path / "small-2.zip")
    return tmp_path / "small-2.zip", exported.sha256


def bring(loop, carried):
    return import_version(loop.model, loop.at, read_export(*carried), "ada: it did well")


def test_it_waits_for_labels_that_are_new_to_it_then_serves_as_it_is(dev, production, carried):
    with pytest.raises(NotReady, match=r"0 labels of production are new to both, 30 are needed .* nobody is scored"):
        bring(production, carried)
    before = production.served
    production.take(doubled, 3, 4)
    result = bring(production, carried)
    assert result.promotion == production.served[-1]
    assert (result.attempt.outcome, result.attempt.holdout) == ("passed", (day(4),))
    assert len(production.served) == len(before) + 1
    theirs, ours = dev.promotions[-1], production.served[-1]
    assert (ours.hashes, ours.code, ours.data, ours.trained_on) == (
        theirs.hashes, theirs.code, theirs.data, theirs.trained_on,
    )  # fmt: skip
    assert "promoted from dev, version 2 (ada: it did well): improvement" in result.attempt.why
    assert "serves from batch 2024-01-05" in next(describe_imported("small", "production", result))
    assert any("promoted from dev" in line for line in describe_version(production.model, production.at, ours.version))
    # Its card says where it was judged, and all that was known where it was made.
    ours_said, theirs_said = (
        one.stores.models.pages.read_card(v.version) for one, v in ((production, ours), (dev, theirs))
    )
    assert ours_said.startswith(
        f"Version {ours.version} of production.small. Judged here at batch 2024-01-04: promoted"
    )
    assert "written of it as version 2 of dev.small" in ours_said
    assert ours_said.endswith(theirs_said)
    assert "rows learnt from" in theirs_said
    # It scores, is checked and watched as any version; its rows are elsewhere.
    production.take(doubled, 5)
    assert set(production.predictions(5)["model_version"]) == {ours.version}
    assert check_drift(production.model, production.at, day(5)).version == ours.version
    with pytest.raises(Refused, match=r"promoted from dev, version 2 .* reproduce it there"):
        reproduce_model(production.model, production.at, ours.version, "ada: an audit")
    # Once more nothing is done.
    stand = records(production.model, production.at)
    assert bring(production, carried).promotion == ours
    assert records(production.model, production.at) == stand


def test_what_is_worse_on_their_own_labels_is_refused(production, carried):
    production.take(doubled, 3)
    production.take(turned, 4)
    result = bring(production, carried)
    assert (result.attempt.outcome, result.promotion) == ("refused", None)
    assert next(describe_imported("small", "production", result)).startswith("small: production refuses it at batch")
    assert [one.attempt for one in production.served if one.attempt.startswith("import.")] == []


def test_where_a_person_has_to_say_yes_it_is_theirs_who_bring_it(production, carried):
    asking = replace(
        production, model=production.using(gate={"metric": "mae", "min_rows": 30, "approval": "required"}).model
    )
    asking.take(doubled, 3, 4)
    result = bring(asking, carried)
    assert (result.attempt.outcome, result.promotion.attempt) == ("needs approval", result.attempt.id)


def test_an_altered_export_is_refused_and_nothing_of_it_is_run(production, carried, tmp_path):
    path, sha256 = carried
    altered = tmp_path / "altered.zip"
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(altered, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            after.writestr(name, content + b"\nraise SystemExit" if name.endswith("features.py") else content)
    with pytest.raises(Refused, match=r"features\.py: not as exported. Nothing of it was run"):
        read_export(altered, sha256)
    with pytest.raises(Refused, match=r"its manifest has SHA-256 .*, expected 0000"):
        read_export(path, "0" * 64)
    (tmp_path / "no.zip").write_bytes(b"no archive")
    with pytest.raises(Refused, match=r"no\.zip: cannot be read"):
        read_export(tmp_path / "no.zip", sha256)
    content = bytearray(path.read_bytes())
    content[60:80] = bytes(20)
    (tmp_path / "torn.zip").write_bytes(content)
    with pytest.raises(Refused, match=r"torn\.zip: cannot be read: .*; export the version once more"):
        read_export(tmp_path / "torn.zip", sha256)


def test_an_entry_that_was_blown_up_is_never_held_in_memory(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", bytes(64 << 20))
        archive.writestr("packed/../../features.py", bytes(64 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(Refused, match=r"its manifest has SHA-256 .* Nothing of it was run"):
            read_export(tmp_path / "bomb.zip", "0" * 64)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_the_same_version_gives_the_same_bytes(dev, carried, tmp_path):
    export_version(dev.model, dev.at, 2).write(tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == carried[0].read_bytes()


def test_a_version_of_another_model_is_refused(dev, carried):
    with pytest.raises(Refused, match=r"dev has exported it itself"):
        import_version(dev.model, dev.at, read_export(*carried), "ada")
    other = dev.using(schedule={"every": "week", "start": "2024-01-01"})
    with pytest.raises(Refused, match=r"schedule.every 'day', here 'week'"):
        import_version(other.model, replace(dev.at, env="elsewhere"), read_export(*carried), "ada")


def test_killed_after_any_write_it_goes_on_to_one_version(begun, carried, tmp_path, monkeypatch):
    writes = [(Ledger, "put"), (ModelStore, "log_model"), (ModelStore, "create_version"), (ModelStore, "move_alias")]
    originals = {(owner, name): getattr(owner, name) for owner, name in writes}

    def attempt(place, after, written):
        loop = begun.copied(place)
        loop.take(doubled, 3, 4)
        for (owner, name), original in originals.items():
            monkeypatch.setattr(owner, name, dying(original, written, after))
        try:
            bring(loop, carried)
        except Killed:
            pass
        finally:
            for (owner, name), original in originals.items():
                monkeypatch.setattr(owner, name, original)
        return loop

    written = []
    attempt(tmp_path / "whole", None, written)
    for after in range(1, len(written)):
        loop = attempt(tmp_path / str(after), after, [])
        promoted = bring(loop, carried).promotion
        served = [one for one in loop.served if one.attempt.startswith("import.")]
        assert served == [promoted], after
        assert loop.stores.models.champion() == (promoted.version, promoted.number)
        assert loop.stores.ledger.get(AttemptRecord, promoted.attempt).version == promoted.version
