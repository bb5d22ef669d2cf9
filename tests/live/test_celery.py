"""A second executor by settings alone: a model's heavy tasks on a Celery worker, all else beside the scheduler."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from evergreen.demo.feeder import feed
from evergreen.records import PromotionRecord
from evergreen.storage.stores import Stores, open_stores
from tests.live.composed import POSTGRES, REDIS, Composed
from tests.short_loop import STREAM, short_model

HEAVY = {"train_model", "judge_model", "register_model"}
TASKS = {"poll": "1s", "retry_delay": "2s", "heavy": {"executor": "CeleryExecutor", "queue": "heavy"}}
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(POSTGRES is None, reason="no PostgreSQL in /usr/lib/postgresql (Debian's package)"),
    pytest.mark.skipif(REDIS is None, reason="no redis-server on the PATH (Debian's package)"),
]


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Composed, Stores]]:
    place = tmp_path_factory.mktemp("celery")
    model, executors = short_model(place, tasks=TASKS), {"AIRFLOW_EXECUTOR": "LocalExecutor,CeleryExecutor"}
    composed = Composed(place, ("celery",), executors, models=place / "models")
    with composed.running() as at:
        stores = open_stores(at, model.id)
        for _ in feed(model, at, replace(STREAM, batches=7), patience=300):
            if stores.ledger.last(PromotionRecord, "champion") is not None:
                break
        yield composed, stores


def test_the_promotion_comes_out(loop: tuple[Composed, Stores]) -> None:
    promotion = loop[1].ledger.last(PromotionRecord, "champion")
    assert promotion is not None
    assert (promotion.version, promotion.number) == loop[1].models.champion() == (1, 1)


def test_each_task_ran_where_its_model_says(loop: tuple[Composed, Stores]) -> None:
    sql = "SELECT dag_id, task_id, executor, queue, id::text FROM task_instance WHERE state = 'success'"
    ran: list[tuple[Any, ...]] = loop[0].query("airflow", sql)
    heavy = [row for row in ran if row[1] in HEAVY]
    assert {row[1] for row in heavy} == HEAVY
    assert {row[2:4] for row in heavy} == {("CeleryExecutor", "heavy")}
    light = [row for row in ran if row[1] not in HEAVY]
    assert {row[0] for row in light} == {"taxi__batch", "taxi__drift", "taxi__retrain", "evergreen__watch"}
    assert {row[2] for row in light} <= {None, "LocalExecutor"}
    # Not only meant for it: the worker itself tells which task instances it took.
    took = loop[0].log("worker-heavy")
    assert [row[1] for row in heavy if row[4] not in took] == []
    assert [row[1] for row in light if row[4] in took] == []


def test_the_worker_knows_no_database(loop: tuple[Composed, Stores]) -> None:
    """It ran all that without: what a task has to know, it asks the API server for."""
    known: dict[str, str] = loop[0].services["worker-heavy"]["environment"]
    assert [name for name, value in known.items() if "postgres" in value] == []
