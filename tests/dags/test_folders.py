"""DAGs are made of model folders: each of its own, described in its own words, and broken on its own."""

import time
from datetime import timedelta

import pytest
import yaml

from airflow_evergreen import dags
from airflow_evergreen.alerts import FailureReport
from airflow_evergreen.dags import ReadConfigOperator
from evergreen.errors import ConfigInvalid
from evergreen.foreign_text import for_markdown
from tests.dags.parsing import parse

LEVERS = ["rollback", "reingest", "rescore", "reproduce", "forget", "acknowledge"]
KINDS = ["batch", "drift", "retrain", *LEVERS]


@pytest.mark.parametrize("kind", KINDS)
def test_a_dag_is_described_in_its_models_own_words(kind, taxi):
    dag = taxi[f"taxi__{kind}"]
    assert dag.description.startswith("Green taxi trip duration: ")
    assert "How many minutes a green taxi's trip will take" in dag.doc_md
    assert f"[The model's page](/dags/{dag.dag_id}/plugin/evergreen-model)" in dag.doc_md
    for fact in (
        "one a day, from 2024-01-01",
        for_markdown("green_{batch:%Y-%m-%d}*.csv.gz"),
        for_markdown("trip_minutes"),
        "mae",
        "has grown by",
    ):
        assert fact in dag.doc_md
    assert dag.tags == {"evergreen", "taxi", kind}
    assert dag.is_paused_upon_creation is False


def test_tasks_are_owned_retried_and_reported_as_the_model_says(add_model):
    add_model("bikes", owner="ada", tasks={"retries": 5, "retry_delay": "3m"})
    for dag in (bag := parse()).dags.values():
        if not dag.dag_id.startswith("bikes__"):
            continue
        for task in dag.tasks:
            assert (task.owner, task.retries) == ("ada", 5), task
            assert (task.retry_delay, task.max_retry_delay) == (timedelta(minutes=3), timedelta(minutes=30))
            assert float(task.retry_exponential_backoff) == 2.0
            if dag.dag_id.partition("__")[2] in LEVERS:
                assert not task.on_failure_callback
                continue
            (callback,) = task.on_failure_callback
            assert isinstance(callback, FailureReport)
            assert callback.failure == f"failed-{dag.dag_id.partition('__')[2]}"
    assert set(bag.dags) == {"evergreen__watch", *(f"bikes__{kind}" for kind in KINDS)}


@pytest.mark.parametrize(
    ("tasks", "light", "heavy"),
    [
        ({}, timedelta(hours=2), timedelta(hours=12)),
        ({"timeout": "30m", "heavy": {"timeout": "forever"}}, timedelta(minutes=30), None),
    ],
)
def test_every_task_has_a_time_limit(tasks, light, heavy, add_model):
    add_model("bikes", tasks=tasks)
    (add_model("cabs") / "config.yaml").write_text("title: [")
    long = {"train_model", "judge_model", "register_model", "reproduce_model"}
    limits = {(dag.dag_id, task.task_id): task.execution_timeout for dag in parse().dags.values() for task in dag.tasks}
    of_model = {name: limit for (dag_id, name), limit in limits.items() if dag_id.startswith("bikes__")}
    assert of_model == {name: heavy if name in long else light for name in of_model}
    assert long < set(of_model)
    assert all(limit is not None for (dag_id, _), limit in limits.items() if not dag_id.startswith("bikes__"))
    # Airflow counts the waiting of a task that begins in the triggerer, and the trigger ends after an hour.
    assert limits["evergreen__watch", "wait_for_verdict"] > timedelta(hours=1)


def test_sensors_look_as_often_as_the_model_says(add_model):
    add_model("bikes", tasks={"poll": "45s"})
    sensors = [
        task
        for dag in parse().dags.values()
        for task in dag.tasks
        if task.task_id in ("wait_for_batch", "wait_for_labels", "wait_for_scores")
    ]
    assert [sensor.poke_interval for sensor in sensors] == [45.0] * 3


def test_a_broken_folder_shows_its_reason_and_harms_no_other(add_model):
    add_model("taxi")
    path = add_model("bikes")
    config = yaml.safe_load((path / "config.yaml").read_text())
    (path / "config.yaml").write_text(yaml.safe_dump(config | {"shedule": {}}))
    bag = parse()
    assert bag.import_errors == {}
    assert set(bag.dags) == {"bikes__broken", "evergreen__watch", *(f"taxi__{kind}" for kind in KINDS)}
    broken = bag.dags["bikes__broken"]
    assert broken.task_ids == ["read_config"]
    assert "shedule: unknown field; did you mean schedule?" in broken.doc_md
    assert "shedule" in broken.description
    assert broken.tags == {"evergreen", "broken"}
    assert broken.fileloc.endswith("batch.py")
    for kind in KINDS:
        assert "read_config" not in bag.dags[f"taxi__{kind}"].task_ids


def test_a_broken_folder_fails_once_a_day_so_that_it_is_noticed(add_model):
    (add_model("bikes") / "config.yaml").write_text("title: [")
    dag = parse("batch.py").dags["bikes__broken"]
    assert (dag.timetable.expression, dag.catchup, dag.is_paused_upon_creation) == ("0 0 * * *", False, False)
    (task,) = dag.tasks
    assert (task.owner, task.retries) == ("evergreen", 0)
    with pytest.raises(ConfigInvalid, match=r"bikes/config\.yaml: is not YAML"):
        task.execute({})


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_folder_makes_no_runs_under_its_models_name(kind, add_model):
    path = add_model("bikes") / "config.yaml"
    sound = path.read_text()
    path.write_text("title: [")
    shown = ["bikes__broken"] if kind == "batch" else []
    assert list(parse(f"{kind}.py").dags) == shown
    assert f"bikes__{kind}" not in parse(f"{kind}.py", f"bikes__{kind}").dags
    path.write_text(sound)
    assert list(parse(f"{kind}.py").dags) == [f"bikes__{kind}"]


def test_the_task_of_a_broken_model_fails_with_the_reason():
    operator = ReadConfigOperator(
        task_id="read_config", path="models/bikes/config.yaml", problems=["shedule: unknown field"]
    )
    with pytest.raises(ConfigInvalid, match=r"models/bikes/config\.yaml: shedule: unknown field"):
        operator.execute({})


def test_a_worker_finds_the_task_of_a_broken_model_too(add_model):
    add_model("taxi")
    (add_model("bikes") / "config.yaml").write_text("title: [")
    assert parse("batch.py", "bikes__broken").dags["bikes__broken"].task_ids == ["read_config"]


@pytest.mark.parametrize("name", ["taxi trips", "taxi+", "t" * 250])
def test_a_folder_whose_name_is_no_dag_id_harms_no_other(name, add_model):
    add_model(name)
    add_model("bikes")
    bag = parse()
    assert bag.import_errors == {}
    assert bag.dags["bikes__batch"].task_ids[0] == "wait_for_batch"
    (broken,) = (dag for dag in bag.dags.values() if "broken" in dag.tags)
    assert "the folder's name: found" in broken.doc_md


def test_a_second_folder_of_a_name_harms_not_the_first(add_model, tmp_path, monkeypatch):
    add_model("taxi")
    add_model("taxi", tmp_path / "more")
    monkeypatch.setenv("EVERGREEN_MODELS", f"{tmp_path / 'models'}:{tmp_path / 'more'}")
    bag = parse()
    assert bag.import_errors == {}
    (broken,) = {*bag.dags} - {"evergreen__watch", *(f"taxi__{kind}" for kind in KINDS)}
    assert broken.startswith("taxi_")
    assert broken.endswith("__broken")
    assert broken != "taxi__broken"
    assert for_markdown(f"already served from {tmp_path / 'models' / 'taxi'}") in bag.dags[broken].doc_md
    assert bag.dags["taxi__batch"].task_ids[0] == "wait_for_batch"
    assert broken in parse("batch.py", broken).dags
    assert "read_config" not in parse("batch.py", "taxi__batch").dags["taxi__batch"].task_ids


def test_a_worker_finds_the_task_of_a_broken_model_of_any_name(add_model):
    (add_model("taxi trips") / "config.yaml").write_text("title: [")
    (dag_id,) = parse("batch.py").dags
    assert dag_id in parse("batch.py", dag_id).dags


def test_fifty_models_are_parsed_in_seconds(add_model, capsys):
    for number in range(50):
        add_model(f"m{number:02}")
    began = time.process_time()
    bag = parse()
    took = time.process_time() - began
    with capsys.disabled():
        print(f"\n50 models, {len(bag.dags)} DAGs: {took:.1f} CPU s in one process")
    assert bag.import_errors == {}
    assert len(bag.dags) == 451
    assert took < 20


@pytest.fixture
def read(monkeypatch):
    """The folders that are read."""
    names, load = [], dags.load_model_folder
    monkeypatch.setattr(dags, "load_model_folder", lambda path: names.append(path.name) or load(path))

    def find(roots):
        names.append("all of them")
        return {}

    monkeypatch.setattr(dags, "find_model_folders", find)
    return names


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_reads_its_own_folder_alone(kind, add_model, read):
    for number in range(5):
        add_model(f"m{number}")
    assert list(parse(f"{kind}.py", f"m3__{kind}").dags) == [f"m3__{kind}"]
    assert read == ["m3"]


@pytest.mark.parametrize("dag_id", ["m3__drift", "evergreen__watch", "gone__batch"])
def test_a_worker_of_another_dag_reads_nothing(dag_id, add_model, read):
    add_model("m3")
    assert parse("batch.py", dag_id).dags == {}
    assert read == []


def test_a_model_may_be_named_like_a_kind(add_model):
    add_model("x__batch")
    assert "x__batch__batch" in parse("batch.py", "x__batch__batch").dags
    assert parse("batch.py", "x__batch__drift").dags == {}
    assert "x__batch__drift" in parse("drift.py", "x__batch__drift").dags
