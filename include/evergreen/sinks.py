"""Where incidents are told."""

import http.client
import json
import logging
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from typing import Protocol

from evergreen.errors import Outage

_logger = logging.getLogger("airflow_evergreen.alerts")
_TIMEOUT = 10


@dataclass(frozen=True)
class Message:
    """What is told of an incident.

    :param model: the model's id.
    :param incident: the incident's id; a sink that can edit updates its earlier message of the same id.
    :param event: ``opened``, ``seen again`` or ``resolved``.
    :param as_of: the batch.
    :param text: what happened, and what to do.
    :param sightings: how often it was reported so far.
    :param title: the model's title.
    :param link: where the work that saw it can be looked at; empty where that is unknown.
    :param receipt: what the sink gave for its first message of this incident; empty for the first.
    """

    model: str
    incident: str
    event: str
    as_of: str
    text: str
    sightings: int
    title: str = ""
    link: str = ""
    receipt: str = ""


class Sink(Protocol):
    """Somebody who is told."""

    name: str

    def tell(self, message: Message) -> str | None:
        """Tell; raises Outage if it could not be told.

        :returns: a receipt by which the message can be edited, if there is one.
        """


class LogSink:
    """The log."""

    name = "log"

    def tell(self, message: Message) -> str | None:
        """Write one line."""
        _logger.warning("%s %s (%s): %s", message.incident, message.event, message.as_of, message.text)
        return None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST becomes a GET without the message: better refused than told to nobody."""

    def redirect_request(self, *_: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


class HttpSink:
    """A URL that takes messages as JSON by POST.

    :param url: http or https.
    """

    name = "http"

    def __init__(self, url: str) -> None:
        self._url = url

    def tell(self, message: Message) -> str | None:
        """Post the message.

        :raises Outage: if it was not accepted.
        """
        body = json.dumps(asdict(message)).encode()
        try:
            request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})  # noqa: S310
            with _OPENER.open(request, timeout=_TIMEOUT):
                return None
        except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
            raise Outage(f"alert {message.incident} was not accepted: {error}") from error
