"""compute_views: the declared views' folders are found and handed to the step; what it came to is told."""

from airflow_evergreen.operators.compute_views import ComputeViewsOperator
from evergreen.config.model_folder import load_model_folder

VIEW = """\
version: 3
source: taxi
key: [zone]
event_time: at
columns: {trips: integer}
ttl: 7d
"""


def test_the_step_gets_the_folders_of_the_views_that_config_yaml_declares(
    write_folder, edit_config, deployment, step, context_of, tmp_path, monkeypatch
):
    model = load_model_folder(write_folder(config=edit_config("lookback: 0, rowwise: true", "views: {zones: 3}")))
    folder = tmp_path / "views" / "zones"
    folder.mkdir(parents=True)
    (folder / "view.yaml").write_text(VIEW)
    (folder / "view.py").write_text("def build_view(rows):\n    return rows\n")
    monkeypatch.setenv("EVERGREEN_FEATURES", str(tmp_path / "views"))
    compute = step("compute_views", {"zones.v3": "2024-01-02"})
    operator = ComputeViewsOperator(task_id="compute_views", model_id="taxi")
    assert operator.execute(context_of()) == {"batch": "2024-01-02", "views": {"zones.v3": "2024-01-02"}}
    (given, at, batch, folders), _ = compute.call_args
    assert (given.id, at, batch) == (model.id, deployment, "2024-01-02")
    assert {name: (one.path, one.config.version) for name, one in folders.items()} == {"zones": (folder, 3)}
