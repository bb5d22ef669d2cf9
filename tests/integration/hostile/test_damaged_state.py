"""State that was altered, cut or lost: the next step and `evergreen status` say which model, which file, what to do."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from evergreen.cli import cli
from evergreen.config.locations import Locations
from evergreen.config.model_folder import load_model_folder
from evergreen.errors import EvergreenError, ModelIncompatible, NotReady, Refused, SourceChanged
from evergreen.features.labelled import standing_claim
from evergreen.incidents import last_incident
from evergreen.records import ClaimRecord, DataRecord
from evergreen.replay.runner import Runner
from evergreen.steps.approve_model import approve_model
from evergreen.steps.ask_retraining import ask_retraining
from evergreen.steps.judge_model import judge_model
from evergreen.steps.promote_model import promote_model
from evergreen.steps.register_model import register_model
from evergreen.steps.rollback_model import plan_rollback, rollback_model
from evergreen.steps.score_batch import score_batch
from evergreen.steps.train_model import train_model
from evergreen.storage.loading import load_packed
from evergreen.storage.stores import open_stores
from tests.short_loop import lay_registry
from tests.unit.small_loop import SmallLoop, day, doubled


@pytest.fixture
def loop(tmp_path, monkeypatch) -> SmallLoop:
    """A loop that has run for three days: the baseline, then versions of the recipe."""
    home = tmp_path / "home"
    assert len(SmallLoop.begun(home, 3).promotions) > 1
    return at_home(home, monkeypatch)


def at_home(home: Path, monkeypatch) -> SmallLoop:
    """The loop in a folder, as a new process finds it."""
    monkeypatch.setenv("EVERGREEN_HOME", str(home))
    monkeypatch.setenv("EVERGREEN_MODELS", str(home / "models"))
    open_stores.cache_clear()
    return SmallLoop(load_model_folder(home / "models" / "small"), Locations.under(home))


def go_on(loop: SmallLoop, number: int = 4) -> None:
    """The next day's run."""
    loop.land(number, doubled)
    Runner(loop.model, loop.at, sinks=()).run_batch(day(number))


def refused(loop: SmallLoop, kind: type[EvergreenError], *told: str, number: int = 4) -> str:
    """What the next day's run is refused with."""
    with pytest.raises(kind) as error:
        go_on(loop, number)
    assert isinstance(error.value, Refused)
    for text in told:
        assert text in str(error.value), f"{text!r} is not in {error.value}"
    return str(error.value)


def status() -> str:
    """What `evergreen status` prints, without the breaks of its lines."""
    result = CliRunner().invoke(cli, ["status", "small"])
    said = str(result.exception) if result.exception is not None else ""
    return " ".join((result.output + said).split())


def packed_folders(loop: SmallLoop) -> list[Path]:
    """Where MLflow keeps packed models."""
    return [path.parent for path in Path(loop.at.lake).parent.glob("mlflow/**/packed/features.py")]


def packed_folder(loop: SmallLoop) -> Path:
    """Where the champion's files lie."""
    wanted = loop.promotions[-1].hashes["estimator.skops"]
    [folder] = [one for one in packed_folders(loop) if hash_of(one / "estimator.skops") == wanted]
    return folder


def hash_of(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_nothing_is_refused_where_nothing_is_damaged(loop):
    go_on(loop)
    assert loop.stores.ledger.get(ClaimRecord, day(4)).version == 2
    assert "cannot" not in status()


RAN = "import pathlib\n\npathlib.Path(__file__).with_name('ran').touch()\n"


def alter(folder: Path) -> None:
    (folder / "features.py").write_text(RAN + "def build_features(batch, history):\n    return batch[['x']] * 98\n")


def trust_more(folder: Path) -> None:
    spec = json.loads((folder / "spec.json").read_text())
    (folder / "spec.json").write_text(json.dumps(spec | {"trusted_types": ["os.system"]}))


def add(folder: Path) -> None:
    (folder / "sitecustomize.py").write_text(RAN)


def lose(folder: Path) -> None:
    (folder / "reference.json").unlink()


def cut(folder: Path) -> None:
    cut_half(folder / "estimator.skops")


def cut_half(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (alter, "features.py has SHA-256"),
        (trust_more, "spec.json has SHA-256"),
        (add, "sitecustomize.py is there, and was not packed"),
        (lose, "reference.json is missing"),
        (cut, "estimator.skops has SHA-256"),
        (shutil.rmtree, "it has no files at"),
    ],
)
def test_a_champion_whose_files_are_not_those_on_record_scores_nothing_and_is_told_once(damage, told, loop):
    kept = packed_folder(loop)
    backup = shutil.copytree(kept, kept.parents[3] / "backup")
    damage(kept)
    version = loop.promotions[-1].version
    which = f"model small, version {version} (promotion {version})"
    refused(loop, ModelIncompatible, which, told, "Restore the files", "evergreen rollback")
    refused(loop, ModelIncompatible, which, told, number=5)
    assert not list(kept.parent.glob("**/ran"))
    ledger = loop.stores.ledger
    assert ledger.get(ClaimRecord, day(4)) is None
    incident = last_incident(ledger, "unscored")
    assert (incident.opened.as_of, incident.sightings, incident.resolved) == (day(4), 2, None)
    assert told in incident.opened.told
    said = status()
    assert f"version {version} serves" in said
    assert "it cannot be loaded" in said
    assert told in said
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(backup, kept)
    go_on(loop, 4)
    go_on(loop, 5)
    assert ledger.get(ClaimRecord, day(4)).version == version
    assert last_incident(ledger, "unscored").resolved is not None
    assert "cannot be loaded" not in status()


def delete_version(loop):
    loop.stores.models._client.delete_model_version(loop.stores.models.name, "2")


def delete_model(loop):
    loop.stores.models._client.delete_registered_model(loop.stores.models.name)


def delete_experiment(loop):
    client = loop.stores.models._client
    client.delete_experiment(client.get_experiment_by_name("dev/small").experiment_id)


def lose_database(loop):
    Path(loop.at.tracking_uri.removeprefix("sqlite:///")).unlink()


def empty_database(loop):
    lose_database(loop)
    lay_registry(loop.at)


@pytest.mark.parametrize(
    ("damage", "kind", "told", "said"),
    [
        (delete_version, ModelIncompatible, "has no version 2 of dev.small: it was deleted", "it cannot be loaded"),
        (delete_model, ModelIncompatible, "has no version 2 of dev.small: it was deleted", "it cannot be loaded"),
        (empty_database, ModelIncompatible, "the database is another one", "it cannot be loaded"),
        (lose_database, Refused, "there is no MLflow database at", "it cannot be loaded"),
        (delete_experiment, Refused, "mlflow experiments restore --experiment-id", "no other can be trained"),
    ],
)
def test_what_is_gone_from_mlflow_is_named_and_not_retried(damage, kind, told, said, loop, monkeypatch):
    damage(loop)
    home = Path(loop.at.lake).parent
    loop = at_home(home, monkeypatch)
    refused(loop, kind, "model small", told)
    assert said in status()
    assert told in status()
    assert (home / "mlflow.db").exists() == (damage is not lose_database)


def test_a_home_that_was_moved_says_so_and_serves_again_once_it_is_linked(loop, tmp_path, monkeypatch):
    old, new = tmp_path / "home", tmp_path / "elsewhere"
    old.rename(new)
    moved = at_home(new, monkeypatch)
    refused(moved, ModelIncompatible, "model small", f"no files at file://{old}", "ln -s")
    assert "if EVERGREEN_HOME was moved" in status()
    with pytest.raises(Refused, match=r"its experiment dev/small .* is gone, while .* EVERGREEN_HOME was moved"):
        moved.stores.models.require_experiment()
    assert not old.exists()
    old.symlink_to(new)
    go_on(at_home(new, monkeypatch))
    assert "cannot be" not in status()


def test_a_lake_that_is_gone_is_not_begun_anew(loop, monkeypatch):
    home = Path(loop.at.lake).parent
    shutil.rmtree(loop.at.lake)
    assert "there is no lake at" in status()
    loop = at_home(home, monkeypatch)
    with pytest.raises(NotReady, match=rf"rows of batch {day(3)} are not sealed.*None ever was at {loop.at.lake}"):
        go_on(loop)
    told = "has none, and MLflow at"
    refused(loop, Refused, "model small", told, "knows promotion 2 of dev.small", "EVERGREEN_LAKE", number=1)
    assert loop.stores.ledger.get(ClaimRecord, day(1)) is None


@pytest.mark.parametrize("content", [b"", b"{", b"\xff"])
@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("promotion/champion/1.json", "PromotionRecord is expected"),
        (f"claim/{day(3)}/0.json", "ClaimRecord is expected"),
        (f"attempt/{day(2)}.0/0.json", "AttemptRecord is expected"),
    ],
)
def test_a_record_that_is_empty_or_garbled_is_named_with_the_way_out(content, path, names, loop):
    file = Path(loop.at.lake, "ledger", "dev", "small", path)
    file.write_bytes(content)
    assert f"record {file} is damaged" in status()
    assert names in status()
    assert "Restore the file from a backup" in status()


def test_a_record_that_others_name_and_is_gone_is_named(loop):
    file = Path(loop.at.lake, "ledger", "dev", "small", f"attempt/{day(2)}.0/0.json")
    file.unlink()
    assert f"record {file} is gone, and other records name it; an AttemptRecord is expected" in status()


def logs(table: Path) -> list[Path]:
    return sorted(table.glob("_delta_log/*.json"))


def parts(table: Path) -> list[Path]:
    return sorted(table.rglob("*.parquet"))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda table: logs(table)[0].unlink(), f"_delta_log/{0:020}.json is gone"),
        (lambda table: logs(table)[1].unlink(), f"_delta_log/{1:020}.json is gone"),
        (lambda table: cut_half(logs(table)[1]), f"_delta_log/{1:020}.json is cut or damaged"),
        (lambda table: logs(table)[-1].write_bytes(b"\xff\x00"), f"_delta_log/{2:020}.json is cut or damaged"),
        (lambda table: parts(table)[-1].unlink(), f"table {{uri}}: batch={day(3)}/revision=0/"),
        (lambda table: parts(table)[-1].write_bytes(b""), f"table {{uri}}: batch={day(3)}/revision=0/"),
        (lambda table: cut_half(parts(table)[-1]), f"table {{uri}}: batch={day(3)}/revision=0/"),
        (shutil.rmtree, f"batch {day(3)} revision 0 is not what its record says (0 rows"),
    ],
)
def test_a_table_that_is_cut_says_which_file_of_it(damage, told, loop, monkeypatch):
    home = Path(loop.at.lake).parent
    table = home / "lake" / "tables" / "dev" / "small" / "clean"
    damage(table)
    told = told.format(uri=table)
    loop = at_home(home, monkeypatch)
    data = loop.stores.ledger.require(DataRecord, standing_claim(loop.stores, day(3)).data)
    [partition] = [one for one in data.partitions if one.table == "clean"]
    for read in (lambda: loop.stores.lake.read(partition, ["id"]), lambda: go_on(loop)):
        with pytest.raises(SourceChanged, match=re.escape(told)) as error:
            read()
        assert "estore" in str(error.value)
        assert "docs/runbook.md#when-state-is-damaged" in str(error.value)


def test_an_older_version_serves_the_batch_that_waits_unless_it_was_altered_too(loop):
    folders = {hash_of(folder / "estimator.skops"): folder for folder in packed_folders(loop)}
    older, champion = (folders[one.hashes["estimator.skops"]] for one in loop.promotions)
    alter(champion)
    refused(loop, ModelIncompatible, "version 2", "features.py has SHA-256")
    kept = (older / "features.py").read_bytes()
    alter(older)
    plan = plan_rollback(loop.model, loop.at, 1, "the champion was altered")
    assert "features.py has SHA-256" in plan.doubt or "labels are new to both" in plan.doubt
    with pytest.raises(ModelIncompatible, match=r"model small, version 1: .*features\.py has SHA-256"):
        rollback_model(loop.model, loop.at, plan)
    assert len(loop.promotions) == 2
    (older / "features.py").write_bytes(kept)
    assert rollback_model(loop.model, loop.at, plan).version == 1
    go_on(loop)
    assert standing_claim(loop.stores, day(4)).version == 1
    assert len(loop.predictions(4)) > 0
    assert not list(Path(loop.at.lake).parent.glob("mlflow/**/ran"))


def test_a_batch_that_an_altered_version_had_claimed_waits_until_another_one_serves(loop, monkeypatch):
    def dies(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("evergreen.steps.score_batch.put_predictions", dies)
        with pytest.raises(KeyboardInterrupt):
            go_on(loop)
    alter(packed_folder(loop))
    load_packed.cache_clear()
    refused(loop, ModelIncompatible, "version 2", "features.py has SHA-256")
    assert standing_claim(loop.stores, day(4)).version == 2
    rollback_model(loop.model, loop.at, plan_rollback(loop.model, loop.at, 1, "the champion was altered"))
    claim = score_batch(loop.model, loop.at, day(4)).claim
    assert (claim.revision, claim.version, claim.unscored) == (1, None, "failed")


def test_a_retraining_that_a_person_approves_serves_the_batch_that_waits(loop):
    alter(packed_folder(loop))
    refused(loop, ModelIncompatible, "version 2", "or retrain")
    due = ask_retraining(loop.model, loop.at, "by hand", "the champion was altered").attempt
    judged = judge_model(loop.model, loop.at, due, train_model(loop.model, loop.at, due))
    assert judged.outcome == "needs approval"
    assert "the champion cannot score the holdout: model small, version 2" in judged.why
    approve_model(loop.model, loop.at, due, True, "a person")
    promote_model(loop.model, loop.at, due, register_model(loop.model, loop.at, due).version)
    go_on(loop)
    assert standing_claim(loop.stores, day(4)).version == 3


def test_what_was_loaded_is_neither_read_again_nor_served_under_other_hashes(loop):
    champion = loop.promotions[-1]
    packed = loop.stores.models.load_promoted(champion)
    alter(packed_folder(loop))
    assert loop.stores.models.load_promoted(champion) is packed
    assert "98" not in packed.code["features.py"]
    other = champion.model_copy(update={"hashes": champion.hashes | {"features.py": "0" * 64}})
    with pytest.raises(ModelIncompatible, match=r"features\.py has SHA-256 .*, expected 0000000000000000"):
        loop.stores.models.load_promoted(other)


def test_a_challenger_is_what_was_trained_until_it_serves(tmp_path):
    loop = SmallLoop.under(tmp_path / "home")
    loop.take(doubled, 1, 2, 3)
    due = loop.ask(3)

    def altered(role: str, step: Callable[[], object]) -> None:
        """What a step is refused with while a file of the role's model is another."""
        [folder] = [one for one in packed_folders(loop) if (one / "reference.json").exists() == (role == "champion")]
        kept = (folder / "features.py").read_bytes()
        alter(folder)
        # As in a process of its own: what this one has loaded it would not read again.
        load_packed.cache_clear()
        told = r"model small, .*features\.py has SHA-256 .* Nothing of them was run"
        with pytest.raises(ModelIncompatible, match=told):
            step()
        assert not (folder / "ran").exists()
        (folder / "features.py").write_bytes(kept)

    trained = train_model(loop.model, loop.at, due)
    altered("challenger", lambda: judge_model(loop.model, loop.at, due, trained))
    judged = judge_model(loop.model, loop.at, due, trained)
    assert (judged.outcome, judged.baseline) == ("passed", False)
    altered("challenger", lambda: register_model(loop.model, loop.at, due))
    version = register_model(loop.model, loop.at, due).version
    altered("champion", lambda: promote_model(loop.model, loop.at, due, version))
    assert loop.promotions == []
    promotion = promote_model(loop.model, loop.at, due, version)
    files = {"spec.json", "features.py", "estimator.py", "estimator.skops", "reference.json", "explanation.json"}
    assert set(promotion.hashes) == files
