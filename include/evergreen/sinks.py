"""Where incidents are told."""

import logging
import re
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Protocol

import httpx

from evergreen.errors import Outage
from evergreen.foreign_text import one_line
from evergreen.outside_calls import answer_within

_logger = logging.getLogger("airflow_evergreen.alerts")
# It would log each URL, and who knows a webhook's may post.
logging.getLogger("httpx").setLevel(logging.WARNING)
_TIMEOUT = 10
# Seconds: for all that a sink says to one message.
TELLING = 60.0
# Seconds: who has not answered by then hangs.
_HANGS = 5.0
# What is told of no batch, such as a broken folder, has a moment in its place.
_MOMENT = re.compile(r"T\d\d:\d\d:\d\d$")


@dataclass(frozen=True)
class Message:
    """What is told of an incident.

    :param model: the model's id.
    :param incident: the incident's id; a sink that can edit updates its earlier message of the same id.
    :param event: ``opened``, ``seen again``, ``still open`` (after it was snoozed), ``resolved``; of a digest ``news``.
    :param as_of: the batch.
    :param text: what happened.
    :param sightings: how often it was reported so far.
    :param title: the model's title.
    :param link: where the work that saw it can be looked at; empty where that is unknown.
    :param receipt: what the sink gave for its first message of this incident; empty for the first.
    :param earlier: what was said of the incident before; a sink that edits its message keeps it there.
    :param anew: whether it is news, though the incident is open: it had not been seen at the batch before.
    :param done: what was done about it.
    :param todo: what is to be done.
    :param heading: what happened, in a few words.
    :param since: the batch at which it opened.
    :param page: address of the model's page; empty where that is unknown.
    :param runbook: the section that tells of such incidents: an address, or where it stands in the documents.
    :param id: name of this message, the same however often it is sent.
    :param tried: when it was sent before, if nobody knows whether it was accepted: the process died, or the answer was
        lost. Empty of what is sent first.
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
    earlier: tuple[str, ...] = ()
    anew: bool = False
    done: str = ""
    todo: str = ""
    heading: str = ""
    since: str = ""
    page: str = ""
    runbook: str = ""
    id: str = ""
    tried: str = ""

    @property
    def told(self) -> str:
        """What happened, what was done and what is to be done, as one text."""
        return " ".join(filter(None, (self.text, self.done, self.todo)))

    @property
    def summary(self) -> str:
        """One line that tells which model, what and when."""
        what = f"{self.heading}, {self.incident}" if self.heading else self.incident
        if self.event == "news":
            return one_line(f"{self.title}: {self.heading}, {self.as_of}")
        at = f", {'' if _MOMENT.search(self.as_of) else 'batch '}{self.as_of}" if self.as_of else ""
        return one_line(f"{self.title or self.model}: {what} {self.event}{at}")


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
        _logger.warning("%s %s (%s): %s", message.incident, message.event, message.as_of, one_line(message.told))
        return None


class HttpSink:
    """A URL that takes messages as JSON by POST.

    :param url: http or https.
    :param name: under which it is noted what it has taken.
    """

    def __init__(self, url: str, name: str = "http") -> None:
        self._url, self.name = url, name

    def tell(self, message: Message) -> str | None:
        """Post the message.

        :raises Outage: if it was not accepted.
        """
        try:
            refused = answer_within(TELLING, partial(self._post, message), f"alert {message.incident}: {self.name}")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise Outage(f"alert {message.incident} was not accepted: {str(error) or type(error).__name__}") from error
        if refused:
            raise Outage(f"alert {message.incident} was not accepted: {refused}")
        return None

    def _post(self, message: Message) -> str:
        # A redirected POST becomes a GET without the message: better refused than told to nobody.
        with httpx.stream("POST", self._url, json=asdict(message), timeout=_TIMEOUT, follow_redirects=False) as answer:
            return "" if answer.is_success else f"HTTP {answer.status_code} {answer.reason_phrase}"


class AskedOnce:
    """A sink of which nothing is asked any more once it hung: where all models are told of, each would wait for it.

    One that refuses at once is asked for the next model, which may have another channel.

    :param silent: names of sinks that hung.
    """

    def __init__(self, sink: Sink, silent: set[str]) -> None:
        self.name, self._sink, self._silent = sink.name, sink, silent

    def tell(self, message: Message) -> str | None:
        """See ``Sink``."""
        if self.name in self._silent:
            raise Outage(f"{self.name} did not answer a moment ago, and is asked again by the next run")
        begun = time.monotonic()
        try:
            return self._sink.tell(message)
        except Outage:
            if time.monotonic() - begun > _HANGS:
                self._silent.add(self.name)
            raise


def ask_once(sinks: Iterable[Sink], silent: set[str] | None) -> tuple[Sink, ...]:
    """The sinks, each of which is asked until it hangs; all the same where ``silent`` is None."""
    if silent is None:
        return tuple(sinks)
    return tuple(sink if isinstance(sink, LogSink) else AskedOnce(sink, silent) for sink in sinks)
