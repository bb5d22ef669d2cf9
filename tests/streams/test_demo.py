"""The two commands a newcomer runs, as they run them: the demo's story, and its second run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from evergreen.cli import cli
from evergreen.config.locations import Locations, model_roots
from evergreen.config.model_folder import get_model_folder
from evergreen.demo.stream import DemoStream
from evergreen.replay.history import History
from evergreen.replay.measured_history import collect_history
from evergreen.replay.runner import Runner
from tests.s3 import SECRET, objects, s3, speaking_to, upload
from tests.short_loop import fingerprint, records, registry, tables

ROOT = Path(__file__).parent.parent.parent
EVERGREEN = [sys.executable, "-m", "evergreen.cli"]


def evergreen(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"EVERGREEN_HOME": str(home), "COLUMNS": "200"}
    return subprocess.run(
        [*EVERGREEN, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600
    )


def answer(home: Path, *arguments: str) -> Result:
    """The same in this process, which has imported what it takes."""
    return CliRunner(env={"EVERGREEN_HOME": str(home), "COLUMNS": "200"}).invoke(cli, arguments)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str], History]:
    home = tmp_path_factory.mktemp("demo")
    done = evergreen(home, "demo")
    model = get_model_folder("taxi", model_roots())
    return home, done, collect_history(model, Locations.under(home / "demo"), "2024-01-01", "2024-01-24")


def test_the_loop_closes_and_says_so(demo: tuple[Path, subprocess.CompletedProcess[str], History]) -> None:
    home, done, history = demo
    assert done.returncode == 0, done.stderr
    assert "loop          closed" in done.stdout
    report = home / "reports" / "demo.html"
    assert str(report) in done.stdout
    assert report.stat().st_size > 1_000_000
    table = pd.read_csv(report.with_suffix(".csv"))
    assert len(table) == len(history.batches) == 24
    assert (table["rows_in"] == table["clean"] + table["quarantined"]).all()


def test_the_demo_tells_its_story(demo: tuple[Path, subprocess.CompletedProcess[str], History]) -> None:
    """A baseline is beaten, a broken batch and a harmless shift pass by, twins are refused, then the change is met."""
    _, _, history = demo
    first, second, *others = history.attempts
    assert (first.as_of, first.baseline, first.outcome) == ("2024-01-01", True, "passed")
    assert second.judgement is not None
    assert (second.outcome, second.judgement.against) == ("passed", "version 1, the baseline")
    assert any(attempt.outcome == "refused" and attempt.judgement for attempt in others)

    verdicts = {one.batch: one.verdict for one in history.batches if one.verdict is not None}
    broken = next(one for one in history.batches if one.rows.state == "rejected")
    assert broken.batch == "2024-01-08"
    assert (broken.rows.clean, broken.rows.quarantined) == (0, broken.rows.rows_in)
    assert broken.claim is not None
    assert broken.claim.version is None

    for batch in ("2024-01-11", "2024-01-12", "2024-01-13"):
        assert verdicts[batch].inputs.state == "warn"
        assert verdicts[batch].inputs.numbers["drifted"] == ["passenger_count"]
    # Nothing but the calendar asks until trips take longer; then the outcomes do.
    assert {
        reason for batch, one in verdicts.items() if "2024-01-03" <= batch < "2024-01-16" for reason in one.reasons
    } == {"due"}
    assert next(batch for batch, one in verdicts.items() if "decay" in one.reasons) == "2024-01-16"
    before = [one.error for one in history.batches if "2024-01-16" <= one.batch <= "2024-01-17"]
    after = [one.error for one in history.batches if one.batch >= "2024-01-22"]
    # A judged challenger of the short window answers the change; refreshes come before and after it.
    judged = [one for one in history.attempts if one.outcome == "passed" and one.judgement and one.against > 1]
    assert any(one.as_of >= "2024-01-17" and one.window == "7" for one in judged)
    assert any(one.refresh and one.outcome == "passed" for one in history.attempts)
    assert max(error for error in after if error) < 0.6 * min(error for error in before if error)


def test_nobody_is_alarmed_by_what_is_routine(demo: tuple[Path, subprocess.CompletedProcess[str], History]) -> None:
    """The first batch, which nobody could score, the broken one and the shift are told; promotions and refusals not."""
    _, _, history = demo
    told = [(one.opened.cause, one.opened.as_of) for one in history.incidents]
    assert ("unscored", "2024-01-01") in told
    assert {cause for cause, _ in told} <= {"unscored", "fault-rows", "drift", "decay"}
    assert [one.opened.cause for one in history.incidents if one.resolved is None] == ["fault-rows"]
    shift = next(one.opened for one in history.incidents if one.opened.cause == "drift")
    assert shift.done == "A retraining is asked for; outcomes decide, not inputs."
    assert shift.todo.startswith("Look whether the source changed")


def test_a_second_run_continues_and_changes_nothing(
    demo: tuple[Path, subprocess.CompletedProcess[str], History],
) -> None:
    home, _, _ = demo
    model, at = get_model_folder("taxi", model_roots()), Locations.under(home / "demo")
    before = fingerprint(model, at)
    assert evergreen(home, "demo").returncode == 0
    assert fingerprint(model, at) == before


def test_status_and_why_answer_from_the_records(demo: tuple[Path, subprocess.CompletedProcess[str], History]) -> None:
    home, _, history = demo
    last = history.promotions[-1]
    status = answer(home / "demo", "status", "taxi").output
    assert f"version {last.version} serves since batch {last.effective_from}" in status
    assert "open verdict: none" in status
    why = answer(home / "demo", "why", "taxi", str(last.version)).output
    attempt = next(one for one in history.attempts if one.id == last.attempt)
    assert attempt.refresh
    assert attempt.why in why
    judged, judgement = [
        (promotion.version, one.judgement)
        for promotion in history.promotions
        for one in history.attempts
        if one.id == promotion.attempt and one.judgement
    ][-1]
    why = answer(home / "demo", "why", "taxi", str(judged)).output
    assert f"{judgement.champion:.4g} to {judgement.challenger:.4g} on {judgement.rows} rows" in why
    assert "windows, by their loss on these: all " in why
    wrong = evergreen(home / "demo", "why", "taxi", "99")
    assert wrong.returncode == 2
    assert "promoted versions: 1, 2" in wrong.stdout


def test_every_version_can_be_traced(demo: tuple[Path, subprocess.CompletedProcess[str], History]) -> None:
    """Tags for data, code and verdict, a signature, requirements, lineage and a made-up input example."""
    import mlflow
    from mlflow import MlflowClient

    home, _, history = demo
    at = Locations.under(home / "demo")
    client = MlflowClient(tracking_uri=at.tracking_uri, registry_uri=at.tracking_uri)
    mlflow.set_tracking_uri(at.tracking_uri)
    for promotion in history.promotions:
        version = client.get_model_version("dev.taxi", str(promotion.version))
        assert version.tags["evergreen.data"] == promotion.data
        assert version.tags["evergreen.code"] == promotion.code
        assert version.tags["evergreen.attempt"] == promotion.attempt
        assert promotion.attempt.startswith(version.tags["evergreen.verdict"])
        run = client.get_run(version.run_id)
        (lineage,) = run.inputs.dataset_inputs
        assert lineage.dataset.digest == promotion.data
        info = mlflow.models.get_model_info(f"models:/dev.taxi/{promotion.version}")
        assert [spec.name for spec in info.signature.inputs][:2] == ["trip_id", "lpep_pickup_datetime"]
        folder = Path(mlflow.artifacts.download_artifacts(f"models:/dev.taxi/{promotion.version}"))
        assert "scikit-learn==" in (folder / "requirements.txt").read_text()
        example = json.loads(Path(client.download_artifacts(version.run_id, "input_example.json")).read_text())
        assert example["data"][0][0] == "1"
    assert int(client.get_model_version_by_alias("dev.taxi", "champion").version) == history.promotions[-1].version


def test_mlflow_alone_can_predict_with_the_champion(
    demo: tuple[Path, subprocess.CompletedProcess[str], History],
) -> None:
    """Whoever serves the model elsewhere needs MLflow and the named packages, nothing of ours."""
    home, _, _ = demo
    at = Locations.under(home / "demo")
    rows = {
        "trip_id": ["x"], "lpep_pickup_datetime": ["2024-01-25 08:30:00"], "PULocationID": ["4"], "DOLocationID": ["5"],
        "passenger_count": [1.0], "trip_distance": [3.0], "payment_type": ["1"],
    }  # fmt: skip
    code = (
        "import mlflow, pandas as pd, sys\n"
        f"mlflow.set_tracking_uri({at.tracking_uri!r})\n"
        "model = mlflow.pyfunc.load_model('models:/dev.taxi@champion')\n"
        f"rows = pd.DataFrame({rows!r})\n"
        "rows['lpep_pickup_datetime'] = pd.to_datetime(rows['lpep_pickup_datetime'])\n"
        "print(float(model.predict(rows)[0]))\n"
        "assert not any(name.split('.')[0] == 'evergreen' for name in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=home, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert 5 < float(done.stdout.split()[-1]) < 60


def test_a_loop_that_never_retrains_does_not_close(tmp_path: Path) -> None:
    done = answer(tmp_path, "demo", "--policy", "never")
    assert done.exit_code == 1
    assert "did not close" in done.output


def test_on_s3_it_decides_the_same_on_the_same_rows(
    demo: tuple[Path, subprocess.CompletedProcess[str], History], tmp_path: Path
) -> None:
    """Landing, lake, ledger and MLflow's artefacts in a bucket: every record and every row as on a folder.

    Up to the eighth batch: the baseline, promotions, a refresh and a rejected batch are among them.
    """
    home, _, history = demo
    model, stream, last = get_model_folder("taxi", model_roots()), DemoStream(batches=8), "2024-01-08"
    assert any(one.refresh and one.outcome == "passed" and one.as_of <= last for one in history.attempts)
    there = Locations.under(home / "demo")
    here = Locations(
        env="dev",
        lake="s3://evergreen/lake",
        landing="s3://evergreen/landing",
        tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}",
        artifacts="s3://evergreen/mlflow",
    )
    with s3() as environment, speaking_to(environment):
        for number in range(1, stream.batches + 1):
            arrived = tmp_path / str(number)
            stream.land(arrived, number)
            upload(arrived, "s3://evergreen/landing/taxi")
            Runner(model, here, sinks=()).run_batch(model.config.calendar.name(number - 1))
        assert tables(model, here) == tables(model, there, last)
        # Who was told of an incident is no decision: the demo has a sink, this run has none.
        decided, expected = (
            {name: text for name, text in records(model, at, last).items() if not name.startswith("notice/")}
            for at in (here, there)
        )
        assert len(decided) > 60
        assert decided == expected
        versions = registry(model, here)
        assert versions.pop("alias") == f"{len(versions)} by promotion {len(versions)}"
        assert versions.items() <= registry(model, there).items()
        kept = objects("s3://evergreen")
    assert {path.partition("/")[0] for path in kept} == {"lake", "landing", "mlflow"}
    told = [path for path, content in kept.items() if SECRET.encode() in content]
    assert told == [], "credentials stand nowhere in the bucket"
