"""The two commands a newcomer runs, as they run them: the demo's story, and its second run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from include.config.locations import Locations, model_roots
from include.config.model_folder import get_model_folder, parse_policies
from include.demo.stream import DemoStream
from include.replay.history import History, collect_history
from include.replay.runner import Runner
from tests.s3 import SECRET, objects, s3, speaking_to, upload
from tests.short_loop import fingerprint, records, registry, tables

ROOT = Path(__file__).parent.parent.parent
EVERGREEN = [sys.executable, "-m", "include.cli"]


def evergreen(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"EVERGREEN_HOME": str(home), "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return subprocess.run(
        [*EVERGREEN, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600
    )


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
    """Version 1 beats a constant, a broken batch and a harmless shift pass by, one refusal, then the change is met."""
    _, _, history = demo
    first, *others = history.attempts
    assert first.outcome == "passed"
    assert first.judgement is not None
    assert first.judgement.against.startswith("the constant")
    assert any(attempt.outcome == "refused" and attempt.judgement for attempt in others)

    broken = next(one for one in history.batches if one.rows.state == "rejected")
    assert broken.batch == "2024-01-08"
    assert (broken.rows.clean, broken.rows.quarantined) == (0, broken.rows.rows_in)
    assert broken.claim is not None
    assert broken.claim.version is None
    assert broken.verdict is not None
    assert broken.verdict.action == "none"

    for batch in (one for one in history.batches if "2024-01-11" <= one.batch <= "2024-01-13"):
        assert batch.verdict is not None
        assert batch.verdict.inputs.state == "warn"
        assert batch.verdict.inputs.numbers["drifted"] == ["passenger_count"]
        assert batch.verdict.action == "none"

    asked = [one.verdict for one in history.batches if one.verdict is not None and one.verdict.action == "retrain"]
    assert [reasons for verdict in asked for reasons in verdict.reasons] == ["bootstrap", "due", "decay"]
    second = history.promotions[-1]
    assert (second.number, second.version) == (2, 2)
    assert second.attempt.startswith(asked[-1].id)
    scored = [one for one in history.batches if one.claim is not None and one.claim.version == 2]
    assert scored
    assert scored[0].batch == second.effective_from
    before = [one.error for one in history.batches if "2024-01-16" <= one.batch < second.effective_from]
    after = [one.error for one in scored]
    assert max(error for error in after if error) < 0.6 * min(error for error in before if error)


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
    status = evergreen(home / "demo", "status", "taxi").stdout
    assert f"version 2 serves since batch {history.promotions[-1].effective_from}" in status
    assert "open verdict: none" in status
    why = evergreen(home / "demo", "why", "taxi", "2").stdout
    judgement = history.attempts[-1].judgement
    assert judgement is not None
    assert f"{judgement.champion:.4g} to {judgement.challenger:.4g} on {judgement.rows} rows" in why
    wrong = evergreen(home / "demo", "why", "taxi", "9")
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
        assert example["data"][0][0] == "text"
    assert client.get_model_version_by_alias("dev.taxi", "champion").version == 2


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
        "assert not any(name.split('.')[0] == 'include' for name in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=home, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert 5 < float(done.stdout.split()[-1]) < 60


def test_a_loop_that_never_retrains_does_not_close(tmp_path: Path) -> None:
    done = evergreen(tmp_path, "demo", "--policy", "never")
    assert done.returncode == 1
    assert "did not close" in done.stdout


def test_under_an_input_policy_the_harmless_shift_does_retrain(tmp_path: Path) -> None:
    assert evergreen(tmp_path, "demo", "--policy", "input_drift").returncode in (0, 1)
    model = get_model_folder("taxi", model_roots())
    model = model.replace(model.config.model_copy(update={"retrain": parse_policies("input_drift")}))
    at = Locations.under(tmp_path / "policy-input_drift")
    history = collect_history(model, at, "2024-01-01", "2024-01-24")
    asked = [one.verdict for one in history.batches if one.verdict is not None and one.verdict.action == "retrain"]
    assert [(verdict.as_of, verdict.reasons) for verdict in asked][1] == ("2024-01-11", ("drift",))


def test_on_s3_it_decides_the_same_on_the_same_rows(
    demo: tuple[Path, subprocess.CompletedProcess[str], History], tmp_path: Path
) -> None:
    """Landing, lake, ledger and MLflow's artefacts in a bucket: every record and every row as on a folder."""
    home, _, _ = demo
    model, stream = get_model_folder("taxi", model_roots()), DemoStream()
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
        assert tables(model, here) == tables(model, there)
        # Who was told of an incident is no decision: the demo has a sink, this run has none.
        decided, expected = (
            {name: text for name, text in records(model, at).items() if not name.startswith("notice/")}
            for at in (here, there)
        )
        assert decided == expected
        assert registry(model, here) == registry(model, there)
        kept = objects("s3://evergreen")
    assert {path.partition("/")[0] for path in kept} == {"lake", "landing", "mlflow"}
    told = [path for path, content in kept.items() if SECRET.encode() in content]
    assert told == [], "credentials stand nowhere in the bucket"
