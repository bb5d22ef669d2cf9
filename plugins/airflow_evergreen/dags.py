"""What DAG files need at parse time: the model folders, how a model's DAGs are described, and the files themselves."""

import runpy
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, get_args

from airflow.sdk import DAG, BaseOperator, Context, Param, get_parsing_context
from airflow.sdk.definitions.param import ParamsDict

from airflow_evergreen.alerts import FailureReport
from airflow_evergreen.links import model_page
from airflow_evergreen.operators.send_alerts import SendAlertsOperator
from airflow_evergreen.pods import ask_for
from evergreen.config.feeds_config import FilesConfig
from evergreen.config.locations import model_roots
from evergreen.config.model_folder import (
    BrokenFolder,
    ModelFolder,
    find_model_folders,
    is_model_folder,
    load_model_folder,
)
from evergreen.errors import ConfigInvalid
from evergreen.foreign_text import for_markdown
from evergreen.records import Cause

_LONGEST_DELAY = timedelta(minutes=30)
_HERE = Path(__file__).parent
# The DAG file that shows what is wrong with a folder.
_KIND_OF_BROKEN = "batch"
# The models whose DAGs the file that is being read asks for.
_asked: ContextVar[str] = ContextVar("asked", default="*")
_BROKEN = "**This model's folder does not load.** Its DAGs come back when it does.\n"


class ReadConfigOperator(BaseOperator):
    """Tell what is wrong with a model folder: the only task of a broken model's DAGs.

    :param path: the file at fault.
    :param problems: what is wrong with it, one line each.
    """

    ui_color = "#f5c6c6"

    def __init__(self, *, path: str, problems: list[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.path, self.problems = path, problems

    def execute(self, context: Context) -> None:
        """Fail with the reason."""
        raise ConfigInvalid(self.path, self.problems)


def models_for(kind: str) -> Iterator[ModelFolder]:
    """The models to build a DAG for; a broken folder gets ``<model>__broken``, which shows its reason, instead.

    The DAGs of a folder that has broken are missing until it is mended, and go on then where they were: a DAG of the
    same name with other tasks and another schedule would end their runs and move their clock. A worker that runs a task
    asks for its own DAG alone, and reads no other folder.

    :param kind: the DAG's kind, such as ``batch`` of ``taxi__batch``.
    """
    wanted = get_parsing_context().dag_id
    for model in _read_folders(wanted, kind):
        if not fnmatchcase(model.id, _asked.get()):
            continue
        if isinstance(model, ModelFolder):
            yield model
        elif kind == _KIND_OF_BROKEN:
            _show_problem(model)


def wire(models: str) -> dict[str, DAG]:
    """The DAGs of all DAG files, by their ids.

    The files are a part of the installed package, in a checkout ``dags``. A worker that runs a task runs its own DAG's
    file alone: ``drift.py`` for ``taxi__drift``.

    :param models: a pattern of the models' ids, such as ``[a-m]*``.
    """
    folder = installed if (installed := _HERE / "wiring").is_dir() else _HERE.parents[1] / "dags"
    kind = (get_parsing_context().dag_id or "").rpartition("__")[2]
    own = folder / f"{_KIND_OF_BROKEN if kind == 'broken' else kind}.py"
    files = [own] if own.exists() else sorted(folder.glob("[!_]*.py"))
    # The watch belongs to no model, and goes by its own name. What a file has made Airflow takes, named or not.
    files = [file for file in files if file.stem != "watch" or fnmatchcase("evergreen", models)]
    token = _asked.set(models)
    try:
        named = [value for file in files for value in runpy.run_path(str(file)).values()]
    finally:
        _asked.reset(token)
    return {one.dag_id: one for one in named if isinstance(one, DAG)}


def describe(model: ModelFolder, kind: str, what: str) -> dict[str, Any]:
    """The arguments that all DAGs of a model share.

    :param what: what the DAG does, for the list of DAGs.
    """
    config = model.config
    now = f"[The model's page]({model_page(f'{model.id}__{kind}')}) tells who serves, how it does, and what is open."
    return {
        "dag_id": f"{model.id}__{kind}",
        "dag_display_name": f"{model.id}__{kind}",
        "description": f"{config.title}: {what}",
        "doc_md": "\n\n".join(
            filter(None, [f"**{for_markdown(config.title)}**: {what}.", config.description, _facts(model), now])
        ),
        "tags": {"evergreen", model.id, kind},
        "is_paused_upon_creation": False,
        "default_args": {
            "owner": config.owner,
            "retries": config.tasks.retries,
            "retry_delay": config.tasks.retry_delay,
            "retry_exponential_backoff": 2.0,
            "max_retry_delay": _LONGEST_DELAY,
            "execution_timeout": _limit(config.tasks.timeout),
            # Who starts a lever by hand sees what became of it.
            "on_failure_callback": FailureReport(f"failed-{kind}") if f"failed-{kind}" in get_args(Cause) else None,
        },
    }


@contextmanager
def lever(model: ModelFolder, verb: str, what: str, params: dict[str, Param]) -> Iterator[DAG]:
    """The DAG of what a person does to a model: one task, which is put into it, and then who is told.

    :param verb: the DAG's kind, such as ``rollback`` of ``taxi__rollback``.
    :param what: what it does, for the list of DAGs.
    :param params: the form that the person fills in.
    """
    with DAG(**describe(model, verb, what), schedule=None, max_active_runs=1) as dag:
        yield dag
        dag.tasks >> SendAlertsOperator(task_id="send_alerts", model_id=model.id).as_teardown()
    # After the tasks: Airflow would copy them into each, once for each class that it is made by.
    dag.params = ParamsDict(params)


def one_run_a_batch(model: ModelFolder) -> dict[str, Any]:
    """The arguments of a DAG that runs once a batch, from the first to the last.

    Sixteen runs may be open at once: rows go on while earlier batches wait for their labels, and an old run can be
    cleared while later ones wait. Order is kept by the sensors.
    """
    schedule = model.config.schedule
    return {
        "start_date": schedule.start,
        "end_date": schedule.last_moment,
        "catchup": True,
        "max_active_runs": 16,
    }


def shortest_poll() -> float:
    """Seconds between two probes of the watch: as often as any model asks for."""
    models = find_model_folders(model_roots()).values()
    return min((m.config.tasks.poll.total_seconds() for m in models if isinstance(m, ModelFolder)), default=30.0)


def heavy(model: ModelFolder) -> dict[str, Any]:
    """Where a model's heavy tasks run, and how long they may take."""
    settings = model.config.tasks.heavy
    chosen: dict[str, Any] = {"executor": settings.executor, "queue": settings.queue, "pool": settings.pool}
    if settings.cpu is not None or settings.memory is not None:
        chosen["executor_config"] = ask_for(settings.cpu, settings.memory)
    limit = {"execution_timeout": _limit(settings.timeout)}
    return {name: value for name, value in chosen.items() if value is not None} | limit


def _limit(timeout: timedelta) -> timedelta | None:
    """A task's time limit as Airflow takes it: ``forever`` is none."""
    return timeout if timeout < timedelta.max else None


def _read_folders(wanted: str | None, kind: str) -> Iterator[ModelFolder | BrokenFolder]:
    """The folders; where one DAG is wanted, only its own, if its name tells which."""
    for root in model_roots() if wanted is not None else ():
        path = root / str(wanted).removesuffix(f"__{kind}")
        if is_model_folder(path):
            try:
                yield load_model_folder(path)
            except ConfigInvalid as error:
                yield BrokenFolder(path.name, path, error)
            return
    if wanted is None or wanted.endswith("__broken"):
        yield from find_model_folders(model_roots()).values()


def _show_problem(model: BrokenFolder) -> None:
    with DAG(
        f"{model.id}__broken",
        description=f"Broken model folder: {model.error}",
        doc_md="\n- ".join([_BROKEN, *map(for_markdown, str(model.error).splitlines())]),
        tags={"evergreen", "broken"},
        # Once a day it fails, so that a folder that broke is not only silent.
        schedule="@daily",
        start_date=datetime(2024, 1, 1, tzinfo=UTC),
        catchup=False,
        is_paused_upon_creation=False,
        default_args={"owner": "evergreen", "retries": 0, "execution_timeout": timedelta(minutes=5)},
    ):
        ReadConfigOperator(task_id="read_config", path=model.error.path, problems=model.error.problems)


def _facts(model: ModelFolder) -> str:
    config, source = model.config, model.config.source
    lines = {
        "Batches": f"one a {config.schedule.every}, from {config.calendar.name(0)}",
        "Rows": for_markdown(str(source.files) if isinstance(source, FilesConfig) else source.sql),
        "Labels": "none" if config.labels is None else for_markdown(config.labels.column),
        "Judged by": f"{config.gate.metric}, on the newest {config.gate.min_rows} labels and more",
        "Retrained": ", or ".join(policy.describe() for policy in config.policies),
    }
    return "\n".join(f"- {name}: {text}" for name, text in lines.items())
