"""Pages inside Airflow: the state of all models, of one, and what a run has made."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from airflow.configuration import conf

from airflow_evergreen.links import PREFIX

Message = MutableMapping[str, Any]


async def pages(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """The application (ASGI), imported at its first request: each of Airflow's processes imports the plugin."""
    from airflow_evergreen.pages.app import app
    from evergreen.storage import answer_soon

    answer_soon()
    await app(scope, receive, send)


def list_views() -> list[dict[str, str]]:
    """Where Airflow shows the pages: in the navigation, and as tabs of a DAG, a run and a task."""
    base = urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/") + PREFIX
    dag = f"{base}/dags/{{DAG_ID}}"
    run = f"{dag}/runs/{{RUN_ID}}"
    icons = {"icon": f"{base}/static/models.svg", "icon_dark_mode": f"{base}/static/models-dark.svg"}
    return [
        {"name": "Models", "href": f"{base}/models", "destination": "nav", "url_route": "evergreen-models", **icons},
        {"name": "Model", "href": dag, "destination": "dag", "url_route": "evergreen-model"},
        {"name": "Outcome", "href": run, "destination": "dag_run", "url_route": "evergreen-run"},
        {"name": "Outcome", "href": run, "destination": "task_instance", "url_route": "evergreen-task"},
    ]
