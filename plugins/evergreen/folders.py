"""What DAG files need at parse time: the model folders, and how a model's DAGs are described."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, BaseOperator, Context, get_parsing_context

from evergreen.alerts import FailureReport
from include.config.locations import model_roots
from include.config.model_folder import BrokenFolder, ModelFolder, find_model_folders, load_model_folder
from include.errors import ConfigInvalid

_LONGEST_DELAY = timedelta(minutes=30)


class ReadConfigOperator(BaseOperator):
    """Tell what is wrong with a model folder: the only task of a broken model's DAGs.

    :param problem: what is wrong.
    """

    ui_color = "#f5c6c6"

    def __init__(self, *, problem: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.problem = problem

    def execute(self, context: Context) -> None:
        """Fail with the reason."""
        raise ConfigInvalid(self.problem.partition(": ")[0], [self.problem.partition(": ")[2]])


def models_for(kind: str) -> Iterator[ModelFolder]:
    """The models to build a DAG for; a broken folder gets one that shows its reason instead.

    A worker that runs a task asks for its own DAG alone, and reads no other folder.

    :param kind: the DAG's kind, such as ``batch`` of ``taxi__batch``.
    """
    wanted = get_parsing_context().dag_id
    if wanted is not None and not wanted.endswith(f"__{kind}"):
        return
    for model in _read_folders(wanted.removesuffix(f"__{kind}") if wanted is not None else None):
        if isinstance(model, ModelFolder):
            yield model
        else:
            _show_problem(model, kind)


def describe(model: ModelFolder, kind: str, what: str) -> dict[str, Any]:
    """The arguments that all DAGs of a model share.

    :param what: what the DAG does, for the list of DAGs.
    """
    config = model.config
    return {
        "dag_id": f"{model.id}__{kind}",
        "dag_display_name": f"{model.id}__{kind}",
        "description": f"{config.title}: {what}",
        "doc_md": "\n\n".join(filter(None, [f"**{config.title}**: {what}.", config.description, _facts(model)])),
        "tags": {"evergreen", model.id, kind},
        "is_paused_upon_creation": False,
        "default_args": {
            "owner": config.owner,
            "retries": config.tasks.retries,
            "retry_delay": config.tasks.retry_delay,
            "retry_exponential_backoff": 2.0,
            "max_retry_delay": _LONGEST_DELAY,
            "on_failure_callback": FailureReport(f"failed-{kind}"),
        },
    }


def shortest_poll() -> float:
    """Seconds between two looks of the watch: as often as any model is looked after."""
    models = find_model_folders(model_roots()).values()
    return min((m.config.tasks.poll.total_seconds() for m in models if isinstance(m, ModelFolder)), default=30.0)


def heavy(model: ModelFolder) -> dict[str, Any]:
    """Where a model's heavy tasks run."""
    place = model.config.tasks.heavy
    chosen = {"executor": place.executor, "queue": place.queue, "pool": place.pool}
    return {name: value for name, value in chosen.items() if value is not None}


def _read_folders(model_id: str | None) -> Iterator[ModelFolder | BrokenFolder]:
    if model_id is None:
        yield from find_model_folders(model_roots()).values()
        return
    for root in model_roots():
        path = root / model_id
        if (path / "config.yaml").exists():
            try:
                yield load_model_folder(path)
            except ConfigInvalid as error:
                yield BrokenFolder(model_id, path, error)
            return


def _show_problem(model: BrokenFolder, kind: str) -> None:
    dag_id = f"{''.join(letter if letter.isalnum() or letter in '_-.' else '_' for letter in model.id)}__{kind}"
    with DAG(
        dag_id,
        description=f"Broken model folder: {model.error}",
        doc_md=f"**The folder of this model does not load.** It runs again when it does.\n\n```\n{model.error}\n```",
        tags={"evergreen", "broken", kind},
        # Once a day it fails, so that a folder that broke is not only silent.
        schedule="@daily" if kind == "batch" else None,
        catchup=False,
        is_paused_upon_creation=False,
    ):
        ReadConfigOperator(task_id="read_config", problem=str(model.error))


def _facts(model: ModelFolder) -> str:
    config = model.config
    lines = {
        "Batches": f"one a {config.schedule.every}, from {config.calendar.name(0)}",
        "Rows": f"`{config.source.files}`",
        "Labels": "none" if config.labels == "none" else f"`{config.labels.column}`",
        "Judged by": f"{config.gate.metric}, on {config.gate.holdout} later batches of labels",
        "Retrained": ", or ".join(policy.policy for policy in config.retrain.any),
    }
    return "\n".join(f"- {name}: {text}" for name, text in lines.items())
