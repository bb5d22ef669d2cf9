"""What the DAGs of a model make, as assets that other DAGs are scheduled on."""

from airflow.sdk import Asset

from airflow_evergreen.assets import asset_of, product_of
from tests.dags.parsing import ROOT, DagBag


def test_each_product_of_a_model_is_the_outlet_of_the_tasks_that_make_it(taxi):
    made = {
        f"{dag.dag_id}.{task.task_id}": [outlet.uri for outlet in task.outlets]
        for dag in taxi.values()
        for task in dag.tasks
        if task.outlets
    }
    assert made == {
        "taxi__batch.validate_batch": ["evergreen://taxi/rows"],
        "taxi__batch.validate_labels": ["evergreen://taxi/labels"],
        "taxi__batch.score_batch": ["evergreen://taxi/predictions"],
        "taxi__retrain.promote_model": ["evergreen://taxi/model"],
        "taxi__rollback.rollback_model": ["evergreen://taxi/model"],
        "taxi__rescore.rescore_batches": ["evergreen://taxi/predictions"],
        "taxi__reingest.reingest_batch": ["evergreen://taxi/rows", "evergreen://taxi/labels"],
    }


def test_who_names_the_uri_means_the_same_asset():
    assert Asset("evergreen://taxi_2/model") == asset_of("taxi_2", "model")
    assert product_of(Asset("evergreen://taxi_2/model")) == ("taxi_2", "model")
    assert [product_of(one) for one in (Asset("evergreen://taxi/other"), Asset("s3://taxi/rows"), Asset("rows"))] == [
        None, None, None,
    ]  # fmt: skip


def test_the_example_is_scheduled_on_them():
    bag = DagBag(ROOT / "docs" / "examples" / "dags" / "taxi_follow.py")
    assert bag.import_errors == {}
    waits = {dag_id: dag.schedule.uri for dag_id, dag in bag.dags.items()}
    assert waits == {
        "taxi_follow_scores": "evergreen://taxi/predictions",
        "taxi_follow_champion": "evergreen://taxi/model",
    }
