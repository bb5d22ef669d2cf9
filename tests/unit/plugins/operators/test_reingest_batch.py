"""A batch is taken in again by a task; what is rejected again fails at its first try."""

from pathlib import Path

import pytest

from airflow_evergreen.operators.reingest_batch import ReingestBatchOperator
from evergreen.errors import BatchRejected, NotReady
from evergreen.records import BatchRecord, ClaimRecord
from evergreen.steps.ingest_batch import ingest_batch
from evergreen.steps.validate_batch import validate_batch

DAY = "2024-01-01"
SOUND = "id,at,distance,zone\n1,2024-01-01 10:00,1.5,a\n2,2024-01-01 11:00,2.5,b\n"


@pytest.fixture
def sealed(model, deployment):
    """A batch that was rejected for a column that it lacks."""

    def land(text):
        folder = Path(deployment.landing) / "taxi"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"trips_{DAY}.csv").write_text(text)
        (folder / f"trips_{DAY}.done").touch()

    land(SOUND.replace("distance", "km"))
    ingest_batch(model, deployment, DAY)
    assert validate_batch(model, deployment, DAY).state == "rejected"
    return land


def again(**settings):
    task = ReingestBatchOperator(task_id="reingest_batch", model_id="taxi", batch=DAY, **settings)
    return task.execute({})


def test_a_mended_batch_is_published_and_told_in_numbers(sealed):
    sealed(SOUND)
    told = {"batch": DAY, "state": "published", "rows_in": 2, "clean": 2, "quarantined": 0, "revision": 1}
    said = f"rows of batch {DAY}: revision 1, rejected before, published now"
    assert again() == {**told, "added": 2, "removed": 0, "changed": 0, "outcome": said}
    said = f"rows of batch {DAY}: nothing has changed since revision 1 (published); no revision was made"
    assert again() == {**told, "added": 0, "removed": 0, "changed": 0, "outcome": said}


def test_what_is_as_broken_as_before_fails_naming_the_column(sealed):
    sealed(SOUND.replace("distance", "miles"))
    with pytest.raises(BatchRejected, match="distance"):
        again()


def test_what_is_rejected_when_it_comes_again_is_named_as_itself_and_leaves_what_was_published(sealed, ledger):
    sealed(SOUND)
    again()
    nobody = {"version": None, "promotion": None, "why": "", "data": "", "label_cut": None}
    for day in range(1, 6):
        ledger.put(ClaimRecord(as_of=f"2024-01-0{day}", revision=0, **nobody))
    sealed(SOUND.replace("distance", "miles"))
    for _ in range(2):
        with pytest.raises(BatchRejected) as raised:
            again()
        said = str(raised.value)
        assert said.startswith(f"model taxi: revision 2 of rows of batch {DAY} rejected, ")
        assert "Revision 1 is read in its place. " in said
        assert said.endswith(f"or mend what is wrong here, then: evergreen reingest taxi {DAY}")
    assert ledger.get(BatchRecord, f"rows.{DAY}", 2).as_of == "2024-01-06"


def test_a_batch_that_nobody_took_in_is_not_ready(model, deployment):
    with pytest.raises(NotReady, match="not sealed"):
        again(feed="labels")
