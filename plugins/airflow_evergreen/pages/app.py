"""The pages' application: routes, and what every answer carries."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import get_user
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_evergreen.pages import describing, listing
from airflow_evergreen.pages.access import Model, Models, ModelWithRows, Starter
from airflow_evergreen.pages.metrics import write_metrics
from airflow_evergreen.pages.rendering import render
from evergreen.config.locations import Locations
from evergreen.errors import EvergreenError, Refused
from evergreen.records import Feed

_STATIC = {path.name: path for path in (Path(__file__).parent / "static").iterdir()}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; frame-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'self'"
)
# Evidently's page carries scripts of its own: they run, but as a page of no origin, which can ask nobody for anything.
_FOREIGN_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; frame-ancestors 'self'"
)
_WATCH = "evergreen__watch"
# Files that change with the installed version only.
_KEPT = {"Cache-Control": "public, max-age=86400"}

app = FastAPI(title="Evergreen", openapi_url=None, docs_url=None, redoc_url=None)
_signed_in = Depends(get_user)


@app.middleware("http")
async def _guard_answers(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    """Let the browser run and load nothing but what these pages bring."""
    response = await answer(request)
    response.headers.setdefault("Content-Security-Policy", _POLICY)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    response.headers.setdefault("Cache-Control", "no-store")
    return response


@app.exception_handler(HTTPException)
def _tell_refusal(request: Request, error: HTTPException) -> HTMLResponse:
    return render(request, "problem.html", status=error.status_code, problem=str(error.detail))


@app.exception_handler(EvergreenError)
def _tell_trouble(request: Request, error: EvergreenError) -> HTMLResponse:
    return render(request, "problem.html", status=422 if type(error) is Refused else 503, problem=str(error))


@app.get("/models")
def show_models(request: Request, models: Models, session: SessionDep) -> HTMLResponse:
    """The state of all models that the user may read, what needs a person first."""
    dag_ids = [f"{name}__batch" for name in models]
    wanted = select(DagModel.dag_id, DagModel.next_dagrun_create_after, DagModel.is_paused)
    found = session.execute(wanted.where(DagModel.dag_id.in_(dag_ids))).all()
    next_runs = {dag_id: "paused" if paused else listing.tell_moment(moment) for dag_id, moment, paused in found}
    rows, now = listing.list_models(models), datetime.now(UTC)
    return render(
        request,
        "models.html",
        rows=rows,
        common=listing.list_common(rows),
        ages=listing.list_ages(rows, models, now),
        watch=_tell_watch(session, now),
        next_runs=next_runs,
    )


def _tell_watch(session: Session, now: datetime) -> str:
    """What is wrong with the watch; empty if nothing is, or Airflow does not know it yet."""
    paused = session.scalar(select(DagModel.is_paused).where(DagModel.dag_id == _WATCH))
    runs = select(DagRun).where(DagRun.dag_id == _WATCH).limit(1)
    last = session.scalar(runs.where(DagRun.state == "success").order_by(DagRun.id.desc()))
    first = last or session.scalar(runs.order_by(DagRun.id))
    return listing.tell_watch(bool(paused), (first.end_date or first.queued_at) if first is not None else None, now)


@app.get("/views")
def show_views(request: Request, models: Models) -> HTMLResponse:
    """The feature views that are computed from models which the user may read: whose they are, and how new."""
    return render(request, "views.html", views=listing.list_readable_views(models))


@app.get("/models/{model}")
@app.get("/dags/{dag_id}")
def show_model(
    request: Request,
    folder: Model,
    may_start: Starter,
    last: str | None = None,
    batches: Annotated[int, Query(ge=1, le=1100)] = 60,
) -> HTMLResponse:
    """One model over its batches; also a tab of its DAGs."""
    return render(request, "model.html", may_start=may_start, **describing.describe_model(folder, last, batches))


@app.get("/models/{model}/versions")
def show_versions(
    request: Request, folder: Model, version: Annotated[list[int] | None, Query(max_length=6)] = None
) -> HTMLResponse:
    """Promoted versions side by side: those that were chosen, or the champion and the one that it replaced."""
    return render(request, "versions.html", **describing.describe_versions(folder, version or []))


@app.get("/models/{model}/versions/{version}/explanation")
def tell_explanation(folder: Model, version: int) -> dict[str, Any]:
    """What a version goes by, which the script of the model's page draws: MLflow is asked only after the page is there.

    What it is that cannot be told stands in the answer, for the script to say.
    """
    try:
        return describing.describe_explanation(folder, version)
    except EvergreenError as error:
        return {"features": [], "trouble": str(error)}


@app.get("/models/{model}/data")
@app.get("/models/{model}/data/{batch}")
def show_data(request: Request, folder: ModelWithRows, batch: str | None = None) -> HTMLResponse:
    """What came as a batch, column by column, beside what the champion had learnt from."""
    return render(request, "data.html", **describing.describe_data(folder, batch))


@app.get("/models/{model}/trace")
def show_trace(
    request: Request, folder: ModelWithRows, batch: str = "", key: Annotated[list[str] | None, Query()] = None
) -> HTMLResponse:
    """One prediction traced to its file, validation, version, judgement and verdict; a form that asks which."""
    return render(request, "trace.html", **describing.describe_trace(folder, batch, tuple(key or ())))


@app.get("/dags/{dag_id}/runs/{run_id:path}")
def show_run(request: Request, folder: Model, dag_id: str, run_id: str, session: SessionDep) -> HTMLResponse:
    """What one run has made: how its batch was validated, scored and checked, or how its attempt was judged."""
    wanted = select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
    run = session.scalars(wanted).one_or_none()
    if run is None:
        raise HTTPException(404, f"{dag_id} has no run {run_id!r}.")
    conf: dict[str, Any] = dict(run.conf or {})
    end: datetime | None = run.data_interval_end
    batch = conf.get("batch") or (folder.config.schedule.last_ended(end.astimezone(UTC)) if end is not None else None)
    described = describing.describe_run(folder, batch, conf.get("verdict"), run_id)
    return render(request, "run.html", run_id=run_id, **described)


@app.get("/models/{model}/drift/{batch}")
def show_drift_page(folder: ModelWithRows, batch: str) -> HTMLResponse:
    """Evidently's page of a check."""
    page = describing.read_drift_page(folder, batch)
    if page is None:
        raise HTTPException(404, f"No page was drawn for the check of {batch}; check.html in config.yaml says when.")
    return HTMLResponse(page, headers={"Content-Security-Policy": _FOREIGN_POLICY})


@app.get("/models/{model}/quarantine/{feed}/{batch}")
def download_quarantine(folder: ModelWithRows, feed: Feed, batch: str) -> Response:
    """The rows of a batch that are in quarantine, with their reasons, as CSV."""
    rows = describing.read_quarantine(folder, feed, batch)
    named = {"Content-Disposition": f'attachment; filename="{folder.id}-{feed}-{batch}-quarantine.csv"'}
    return Response(rows, media_type="text/csv; charset=utf-8", headers=named)


@app.get("/metrics")
def tell_metrics(models: Models) -> Response:
    """The state of all models that the user may read, for Prometheus."""
    text = write_metrics(Locations.from_environment().env, listing.list_models(models), models)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


@app.get("/static/{name}", dependencies=[_signed_in])
def serve_file(name: str) -> Response:
    """Style, scripts, and the library that draws."""
    if name == "plotly.js":
        return Response(describing.plotly_js(), media_type="text/javascript", headers=_KEPT)
    if name == "chart.js":
        return Response(describing.chart_js(), media_type="text/javascript", headers=_KEPT)
    if name not in _STATIC:
        raise HTTPException(404, f"There is no file {name!r}.")
    return FileResponse(_STATIC[name], headers=_KEPT)
