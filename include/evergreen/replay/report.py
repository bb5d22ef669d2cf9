"""The report: one HTML file that shows a span of batches on one time line, and loads nothing from anywhere."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from evergreen.foreign_text import one_line, restrict
from evergreen.replay.chart import build_chart, find_faults, tell_span
from evergreen.replay.history import History

TEMPLATES = Path(__file__).parent / "templates"


def write_report(history: History, path: Path) -> None:
    """Write a span of batches as one HTML file that needs no network.

    :param history: what happened.
    :param path: the file; its folder exists.
    """
    html = open_templates(TEMPLATES).get_template("report.html.j2").render(**lay_out(history), plotly_js=get_plotlyjs())
    path.write_text(restrict(html), encoding="utf-8")


def open_templates(*folders: Path) -> Environment:
    """Templates whose every value is escaped, and of which none may be missing.

    :param folders: where they are looked for, in this order.
    """
    templates = Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        finalize=lambda value: one_line(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["span"] = tell_span
    return templates


def lay_out(history: History) -> dict[str, Any]:
    """What the templates of a history want: it, the faults of its batches, and its chart."""
    return {
        "history": history,
        "faults": {one.batch: find_faults(one) for one in history.batches},
        "chart": build_chart(history) if history.batches else None,
    }
