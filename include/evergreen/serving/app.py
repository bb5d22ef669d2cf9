"""The service: rows in, predictions out, each answer with the version and the promotion that made it."""

import hmac
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any

import anyio
from anyio.to_thread import run_sync
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from evergreen.errors import EvergreenError, ModelNotFound, NotReady, Outage
from evergreen.foreign_text import one_line
from evergreen.serving.answer_log import AnswerLog, LoggedAnswer
from evergreen.serving.arms import Answered
from evergreen.serving.champions import Champion
from evergreen.serving.describing import describe_contract, describe_route
from evergreen.serving.explaining import explain
from evergreen.serving.metrics import Metrics
from evergreen.serving.request import RowContract, RowsInvalid

_logger = logging.getLogger(__name__)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True)
class Limits:
    """What one process takes on.

    :param rows: of a request.
    :param body: bytes of a request.
    :param at_once: predictions that are made at the same time.
    :param waiting: requests that may wait for that; one more is told to come again.
    :param seconds: that a request may wait.
    """

    rows: int = 1_000
    body: int = 1_000_000
    at_once: int = 2
    waiting: int = 64
    seconds: float = 5.0


class _Service:
    """What the routes share.

    :param champions: by model.
    """

    def __init__(
        self, champions: Mapping[str, Champion], limits: Limits, metrics: Metrics, logs: Mapping[str, AnswerLog]
    ) -> None:
        self.champions, self.logs = champions, logs
        self.contracts = {name: RowContract.of(one.model, limits.rows) for name, one in champions.items()}
        self.limits, self.metrics = limits, metrics
        self._slots = anyio.CapacityLimiter(limits.at_once)
        # What is told of rows, by the last part of the address that they came to.
        self.ways = {"predict": self._predict, "explain": self._explain}

    async def respond(self, name: str, version: int | None, request: Request, way: str) -> Response:
        """Answer one request; whatever happens is counted, and told under the request's id."""
        begun, given = time.perf_counter(), request.headers.get("x-request-id", "")
        id_ = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        status, answer = await self._answer(name, version, request, id_, way)
        self.metrics.count(name, status, time.perf_counter() - begun, len(answer.get("predictions", ())))
        headers = {"X-Request-ID": id_} | ({"Retry-After": "1"} if status == 503 else {})
        return JSONResponse({"request_id": id_, **answer}, status, headers)

    async def _answer(
        self, name: str, version: int | None, request: Request, id_: str, way: str
    ) -> tuple[int, dict[str, Any]]:
        try:
            if name not in self.champions:
                raise ModelNotFound(f"no model {name!r} is served here; there are: {', '.join(self.champions)}")
            body = await self._read_body(request)
            async with self._slot():
                return 200, await run_sync(self.ways[way], name, version, body, id_)
        except RowsInvalid as error:
            return 422, {"error": str(error), "mistakes": error.tell()}
        except HTTPException as error:
            return error.status_code, {"error": error.detail}
        except ModelNotFound as error:
            return 404, {"error": str(error)}
        except (NotReady, Outage) as error:
            return 503, {"error": str(error)}
        except EvergreenError as error:
            _logger.error("request %s: %s", id_, one_line(str(error)))
            return 500, {"error": str(error)}
        except ClientDisconnect:
            return 400, {"error": "the caller has gone away before the request had come"}
        except Exception:
            # One request's trouble; its caller can name it, and the others go on.
            _logger.exception("request %s", id_)
            return 500, {"error": f"this was not foreseen; the service's log has it under request {id_}"}

    def _predict(self, name: str, version: int | None, body: bytes, id_: str) -> dict[str, Any]:
        champion = self.champions[name]
        arms = champion.arms if version is None else None
        served = arms.champion if arms is not None else champion.require(version)
        rows = self.contracts[name].read(body, served.batch)
        log = self.logs.get(name)
        if arms is not None and not arms.is_shadow and log is not None:
            answered = arms.answer(rows, log.keys(rows))
        else:
            answered = Answered.by(served, rows, named=version is not None)
        told: dict[str, Any] = {"model": name, "version": served.version}
        told |= {"promotion": served.promotion, "batch": served.batch}
        told["predictions"] = answered.predictions.tolist()
        if arms is not None and not arms.is_shadow:
            told |= {"arms": answered.arms, "versions": answered.versions}
        if log is not None:
            log.add(LoggedAnswer(id_, datetime.now(UTC), served, arms, rows, answered))
        return told

    def _explain(self, name: str, version: int | None, body: bytes, id_: str) -> dict[str, Any]:
        """By the champion, whoever else answers: an explanation is no answer of an arm, and is not kept."""
        served = self.champions[name].require(version)
        return explain(served, self.contracts[name].read(body, served.batch))

    async def _read_body(self, request: Request) -> bytes:
        """The body, of which no more is taken than the limit."""
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self.limits.body:
                raise HTTPException(413, f"the request is larger than {self.limits.body:,} bytes; send fewer rows")
        return bytes(body)

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """A place among the predictions that are made at once; a queue that grows helps nobody."""
        busy = HTTPException(503, "more requests wait than can be answered; come again in a second")
        if self._slots.available_tokens < 1 and self._slots.statistics().tasks_waiting >= self.limits.waiting:
            raise busy
        me = object()
        with anyio.move_on_after(self.limits.seconds) as wait:
            await self._slots.acquire_on_behalf_of(me)
        if wait.cancelled_caught:
            raise busy
        try:
            yield
        finally:
            self._slots.release_on_behalf_of(me)


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
    service = _Service(champions, limits, Metrics(env, champions, logs), logs)

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

    for way in service.ways:
        for name, champion in champions.items():
            current, calendar = champion.current, champion.model.config.calendar
            batch = current.batch if current is not None else calendar.name(0)
            said = describe_route(champion.model, service.contracts[name], batch, way)
            _add_routes(app, service, name, guarded, said, way)
        # Beside those, for names that are not served: an answer in the same form.
        unknown = app.post(f"/models/{{model}}/{way}", dependencies=guarded, include_in_schema=False)
        unknown(_of_any(service, way))
    return app


def _add_routes(app: FastAPI, service: _Service, name: str, guarded: list[Any], said: dict[str, Any], way: str) -> None:
    """Two routes of one model: its champion, and a version by its number."""

    async def by_champion(request: Request) -> Response:
        return await service.respond(name, None, request, way)

    async def by_version(version: int, request: Request) -> Response:
        return await service.respond(name, version, request, way)

    told = {"methods": ["POST"], "dependencies": guarded, **said}
    by, asked = f"/models/{name}/versions/{{version}}/{way}", f"{name}: {way}"
    app.add_api_route(f"/models/{name}/{way}", by_champion, summary=f"{asked}, by the champion", **told)
    app.add_api_route(by, by_version, summary=f"{asked}, by a version that was promoted once", **told)


def _of_any(service: _Service, way: str) -> Any:
    async def respond(model: str, request: Request) -> Response:
        return await service.respond(model, None, request, way)

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
