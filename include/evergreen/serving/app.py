"""The service's routes, and what OpenAPI says of them."""

import hmac
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import WithJsonSchema
from starlette.exceptions import HTTPException as NoRoute

from evergreen.serving.answer_log import AnswerLog
from evergreen.serving.champions import Champion
from evergreen.serving.describing import describe_contract, describe_route
from evergreen.serving.metrics import Metrics
from evergreen.serving.service import Limits, Service

# Read here, so that what is no number is answered as whatever else is not there.
_Version = Annotated[str, WithJsonSchema({"type": "integer"})]


def build_app(
    champions: Mapping[str, Champion],
    limits: Limits,
    token: str | None = None,
    env: str = "dev",
    logs: Mapping[str, AnswerLog] = MappingProxyType({}),
) -> FastAPI:
    """The service as an ASGI application.

    :param champions: who answers, by model.
    :param token: what a caller's ``Authorization: Bearer`` must hold; None where anybody may ask.
    :param env: the deployment's name, a label of the metrics.
    :param logs: where answers are kept, of the models of which they are.
    :raises ExtraMissing: without prometheus-client.
    """
    service = Service(champions, limits, Metrics(env, champions, logs), logs)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        # Here, for after a signal uvicorn lets its caller do nothing more.
        for log in logs.values():
            await run_sync(log.flush)

    told = "Predictions of the champions."
    app = FastAPI(title="Evergreen", description=told, openapi_url=None, lifespan=lifespan)
    guarded = [Depends(_require(token))] if token else []
    # Who asks whether it lives has no token, and is told no more.
    app.get("/health", summary="Whether the process answers")(lambda: {"status": "alive"})
    app.get("/ready", summary="Whether each model has a version that answers")(lambda: _tell_ready(champions))

    @app.get("/openapi.json", dependencies=guarded, include_in_schema=False)
    def openapi() -> dict[str, Any]:
        return app.openapi()

    @app.get("/metrics", dependencies=guarded, summary="Requests, times and versions for Prometheus")
    def metrics() -> Response:
        return Response(service.metrics.write(), media_type="text/plain; version=0.0.4")

    @app.get("/models", dependencies=guarded, summary="The models, and who answers for them")
    def models() -> dict[str, Any]:
        return {name: _tell_champion(champion) for name, champion in champions.items()}

    @app.get("/models/{model}", dependencies=guarded, summary="What a row must be, and who answers")
    def model(model: str) -> dict[str, Any]:
        if model not in champions:
            raise HTTPException(404, f"no model {model!r} is served here; there are: {', '.join(champions)}")
        return _tell_champion(champions[model]) | describe_contract(champions[model].model, service.contracts[model])

    _add_ways(app, service, guarded)
    app.add_exception_handler(NoRoute, _tell_problem)
    return app


def _add_ways(app: FastAPI, service: Service, guarded: list[Any]) -> None:
    """The routes that take rows."""
    for way in service.ways:
        for name, champion in service.champions.items():
            current, calendar = champion.current, champion.model.config.calendar
            batch = current.batch if current is not None else calendar.name(0)
            said = describe_route(champion.model, service.contracts[name], batch, way)
            _add_routes(app, service, name, guarded, said, way)
        # Beside those, for names that are not served: an answer in the same form.
        for path in (f"/models/{{model}}/{way}", f"/models/{{model}}/versions/{{version}}/{way}"):
            app.post(path, dependencies=guarded, include_in_schema=False)(_of_any(service, way))


async def _tell_problem(_: Request, error: Exception) -> JSONResponse:
    """What is not there, or asks for a token, in the form of all other answers."""
    assert isinstance(error, NoRoute)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def _add_routes(app: FastAPI, service: Service, name: str, guarded: list[Any], said: dict[str, Any], way: str) -> None:
    """Two routes of one model: its champion, and a version by its number."""

    async def by_champion(request: Request) -> Response:
        return await service.respond(name, None, request, way)

    async def by_version(version: _Version, request: Request) -> Response:
        return await service.respond(name, version, request, way)

    told = {"methods": ["POST"], "dependencies": guarded, **said}
    by, asked = f"/models/{name}/versions/{{version}}/{way}", f"{name}: {way}"
    app.add_api_route(f"/models/{name}/{way}", by_champion, summary=f"{asked}, by the champion", **told)
    app.add_api_route(by, by_version, summary=f"{asked}, by a version that was promoted once", **told)


def _of_any(service: Service, way: str) -> Any:
    async def respond(model: str, request: Request) -> Response:
        return await service.respond(model, request.path_params.get("version"), request, way)

    return respond


def _require(token: str) -> Any:
    expected = f"Bearer {token}".encode()

    def guard(authorization: Annotated[str, Header()] = "") -> None:
        if not hmac.compare_digest(authorization.encode(), expected):
            problem = "no or another token; send Authorization: Bearer and what EVERGREEN_SERVE_TOKEN says"
            raise HTTPException(401, problem, {"WWW-Authenticate": "Bearer"})

    return guard


def _tell_ready(champions: Mapping[str, Champion]) -> JSONResponse:
    versions = {name: champion.current and champion.current.version for name, champion in champions.items()}
    return JSONResponse(versions, 503 if None in versions.values() else 200)


def _tell_champion(champion: Champion) -> dict[str, Any]:
    current = champion.current
    told: dict[str, Any] = {"version": None, "trouble": champion.trouble}
    if current is not None:
        told |= {"version": current.version, "promotion": current.promotion, "batch": current.batch}
    if (arms := champion.arms) is not None:
        told |= {"challenger": arms.challenger.version, "share": arms.share}
    return told
