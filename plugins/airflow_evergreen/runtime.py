"""What every task of a model needs to know at run time: its folder, its locations, its batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast, get_args

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from airflow_evergreen.hooks.tracking import MlflowHook
from evergreen.config.locations import Locations, model_roots
from evergreen.config.model_folder import ModelFolder, get_model_folder
from evergreen.errors import Refused
from evergreen.records import Feed
from evergreen.sources.intake import source_of
from evergreen.storage.ledger import acting
from evergreen.storage.stores import stores_of


def load_model(model_id: str) -> ModelFolder:
    """The model folder of a task.

    :raises ModelNotFound: naming the models that there are.
    :raises ConfigInvalid: if the folder breaks its contract.
    """
    return get_model_folder(model_id, model_roots())


def locate(mlflow_conn_id: str = MlflowHook.default_conn_name) -> Locations:
    """Where the deployment keeps its state: the environment, and MLflow by its Airflow connection if there is one."""
    return MlflowHook(mlflow_conn_id).locate(Locations.from_environment())


def batch_of(model: ModelFolder, given: str | None, context: Context) -> str:
    """The batch that a run is for: as given, else as the Param ``batch`` says, else by the run's data interval.

    :raises Refused: if the run has none of them, or no batch has that name.
    :raises IdentityChanged: if it lies before the start, and the ledger's batches do not begin there.
    """
    named = given or context.get("params", {}).get("batch")
    if named:
        try:
            if model.config.calendar.index(str(named)) >= 0:
                return str(named)
            problem = f"{named!r} lies before the schedule's start {model.config.calendar.name(0)}"
        except ValueError as error:
            problem = str(error)
        raise Refused(f"model {model.id}: the batch to process: {problem}")
    end: datetime | None = context.get("data_interval_end")
    if end is None:
        raise Refused(f"model {model.id}: this run has no data interval; give it the Param batch")
    # Airflow's own kind of datetime cannot be divided by a timedelta.
    batch = model.config.schedule.last_ended(datetime.fromtimestamp(end.timestamp(), UTC))
    if model.config.calendar.index(batch) < 0:
        # Where the start was moved, the batch was taken in before: that is refused rather than skipped.
        stores_of(model, Locations.from_environment())
        raise AirflowSkipException(f"batch {batch} lies before the schedule's start {model.config.calendar.name(0)}")
    return batch


def who_triggered(context: Context) -> str:
    """The name of the person who has started the run, as far as Airflow knows it."""
    return getattr(context["dag_run"], "triggering_user_name", None) or "somebody"


def feed_of(given: str) -> Feed:
    """The feed that a task is for.

    :raises Refused: if there is no such feed.
    """
    if given not in get_args(Feed):
        raise Refused(f"feed: found {given!r}; valid: {', '.join(get_args(Feed))}")
    return cast("Feed", given)


def patience(model: ModelFolder) -> timedelta | None:
    """How long a run may wait for what other runs have to do first: as long as files are waited for, and a day."""
    feeds: tuple[Feed, ...] = ("rows", "labels")
    waits = [source.wait for source in (source_of(model, feed) for feed in feeds) if source is not None]
    return None if timedelta.max in waits else max(waits) + timedelta(days=1)


@contextmanager
def acting_for(context: Context) -> Iterator[None]:
    """Let the records that are written meanwhile say by which task."""
    task: Any = context.get("ti")
    token = acting.set(str(getattr(task, "log_url", "")))
    try:
        yield
    finally:
        acting.reset(token)
