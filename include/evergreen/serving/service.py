"""What becomes of a request: rows in, predictions out, each answer with the version and the promotion that made it."""

import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import anyio
from anyio.to_thread import run_sync
from fastapi import HTTPException, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from evergreen.errors import EvergreenError, ModelNotFound, NotReady, Outage
from evergreen.foreign_text import one_line
from evergreen.serving.answer_log import AnswerLog, LoggedAnswer
from evergreen.serving.arms import Answered
from evergreen.serving.champions import Champion
from evergreen.serving.explaining import explain
from evergreen.serving.metrics import Metrics
from evergreen.serving.request import RowContract, RowsInvalid

_logger = logging.getLogger(__name__)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NUMBER = re.compile(r"[0-9]{1,18}")


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


class Service:
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

    async def respond(self, name: str, version: str | None, request: Request, way: str) -> Response:
        """Answer one request; whatever happens is counted, and told under the request's id.

        :param version: as the address has it.
        """
        begun, given = time.perf_counter(), request.headers.get("x-request-id", "")
        id_ = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        status, answer = await self._answer(name, version, request, id_, way)
        self.metrics.count(name, status, time.perf_counter() - begun, len(answer.get("predictions", ())))
        headers = {"X-Request-ID": id_} | ({"Retry-After": "1"} if status == 503 else {})
        return JSONResponse({"request_id": id_, **answer}, status, headers)

    async def _answer(
        self, name: str, version: str | None, request: Request, id_: str, way: str
    ) -> tuple[int, dict[str, Any]]:
        try:
            if name not in self.champions:
                raise ModelNotFound(f"no model {name!r} is served here; there are: {', '.join(self.champions)}")
            if version is not None and not _NUMBER.fullmatch(version):
                raise ModelNotFound(f"model {name}: found version {version[:64]!r}; valid: the number of one")
            number = int(version) if version is not None else None
            body = await self._read_body(request)
            async with self._slot():
                return 200, await run_sync(self.ways[way], name, number, body, id_)
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
