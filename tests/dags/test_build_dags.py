"""One DAG file of three lines makes what the files of dags/ make."""

import pytest

from airflow_evergreen import dags
from tests.dags.parsing import edges, parse

LINES = "from airflow_evergreen import build_dags\n\nbuild_dags(globals())\n"


@pytest.fixture
def file(tmp_path):
    """The DAG file, outside any checkout."""
    (tmp_path / "evergreen.py").write_text(LINES)
    return str(tmp_path / "evergreen.py")


def test_its_dags_are_those_of_the_files(file, add_model):
    add_model("first")
    (add_model("second") / "config.yaml").write_text("title: [")
    ours, theirs = parse(file), parse()
    assert ours.import_errors == {}
    assert {name: edges(dag) for name, dag in ours.dags.items()} == {
        name: edges(dag) for name, dag in theirs.dags.items()
    }
    assert "second__broken" in ours.dags
    assert {dag.fileloc for dag in ours.dags.values()} == {file}


@pytest.mark.parametrize(
    ("dag_id", "read"),
    [
        ("m3__batch", ["m3"]),
        ("m3__drift", ["m3"]),
        ("m3__retrain", ["m3"]),
        ("evergreen__watch", ["all of them"]),
        ("gone__batch", []),
    ],
)
def test_a_worker_reads_what_its_own_dag_is_made_of(file, add_model, monkeypatch, dag_id, read):
    for number in range(5):
        add_model(f"m{number}")
    seen, load, find = [], dags.load_model_folder, dags.find_model_folders
    monkeypatch.setattr(dags, "load_model_folder", lambda path: seen.append(path.name) or load(path))
    monkeypatch.setattr(dags, "find_model_folders", lambda roots: seen.append("all of them") or find(roots))
    assert set(parse(file, dag_id).dags) == ({dag_id} if read else set())
    assert seen == read


def test_a_worker_finds_the_task_of_a_broken_model(file, add_model):
    (add_model("taxi") / "config.yaml").write_text("title: [")
    assert "taxi__broken" in parse(file, "taxi__broken").dags


def test_models_are_shared_out_over_files_by_their_names(tmp_path, add_model):
    for name in ("ants", "bees", "cats"):
        add_model(name)
    (add_model("dogs") / "config.yaml").write_text("title: [")
    shares = {"first": "[a-b]*", "second": "[!a-b]*"}
    for name, models in shares.items():
        text = LINES.replace("globals()", f'globals(), models="{models}"')
        (tmp_path / f"{name}.py").write_text(text)
    first, second = (set(parse(str(tmp_path / f"{name}.py")).dags) for name in shares)
    assert {dag_id.rpartition("__")[0] for dag_id in first} == {"ants", "bees"}
    assert {dag_id.rpartition("__")[0] for dag_id in second} == {"cats", "dogs", "evergreen"}
    assert first | second == set(parse().dags)
    assert set(parse(str(tmp_path / "first.py"), "ants__drift").dags) == {"ants__drift"}
