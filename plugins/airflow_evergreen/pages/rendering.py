"""A page from its template; every value is escaped."""

import functools
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment

from airflow_evergreen import __version__
from airflow_evergreen.links import PREFIX
from evergreen.batches import tell_duration
from evergreen.replay.column_bars import tell_number
from evergreen.replay.report import TEMPLATES, open_templates


@functools.cache
def _templates() -> Environment:
    templates = open_templates(Path(__file__).parent / "templates", TEMPLATES)
    templates.filters["figure"] = tell_number
    templates.filters["duration"] = tell_duration
    return templates


def render(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page.

    :param template: its name.
    :param status: of the answer.
    :param values: what it shows.
    """
    base = request.scope.get("root_path", "")
    known = {"base": base, "api": f"{base.removesuffix(PREFIX)}/api/v2", "installed": __version__}
    html = _templates().get_template(template).render(**known, **values)
    return HTMLResponse(html, status_code=status)
