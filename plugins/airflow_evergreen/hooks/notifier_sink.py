"""Airflow's notifiers: e-mail, PagerDuty, and whatever else a provider brings."""

import pkgutil
from functools import partial
from html import escape
from typing import Any

from evergreen.errors import Outage
from evergreen.foreign_text import for_terminal, one_line
from evergreen.outside_calls import answer_within
from evergreen.sinks import TELLING, Message


class NotifierSink:
    """Tell incidents by a notifier, which is made anew for each message.

    Its arguments are templates: ``{{ alert.summary }}`` is one line, fit for a subject; ``alert.text`` has lines,
    ``alert.html`` is the same as HTML. ``alert.key`` stays the same for an incident, ``alert.id`` for a message that is
    sent again. ``alert.over`` says whether it is over.

    :param path: of the notifier's class.
    :param arguments: of the class.
    :param name: under which it is noted what it has taken.
    """

    def __init__(self, path: str, arguments: dict[str, Any], name: str) -> None:
        self.path, self.arguments, self.name = path, arguments, name

    def tell(self, message: Message) -> None:
        """Notify.

        :raises Outage: if the notifier raised.
        """
        try:
            notify = pkgutil.resolve_name(self.path)(**self.arguments)
            answer_within(TELLING, partial(notify, {"alert": describe(message)}), self.path)
        except Exception as error:
            raise Outage(f"{self.path} did not accept {message.incident}: {error}") from error


def describe(message: Message) -> dict[str, Any]:
    """What a notifier's arguments may name; no value ends a line or a tag that it did not begin."""
    parts = [*message.earlier, message.text]
    parts += [f"{name}: {text}" for name, text in (("Done", message.done), ("To do", message.todo)) if text]
    links = {"Model": message.page, "Run": message.link, "Runbook": message.runbook}
    shown = "".join(f"<p>{escape(for_terminal(part)).replace(chr(10), '<br>')}</p>" for part in parts)
    shown += "".join(
        f'<p><a href="{escape(url)}">{name}</a></p>' if url.startswith("http") else f"<p>{name}: {escape(url)}</p>"
        for name, url in links.items()
        if url
    )
    return {
        "id": message.id,
        "key": f"{message.model}.{message.incident}",
        "model": message.model,
        "incident": one_line(message.incident),
        "event": message.event,
        "over": message.event == "resolved",
        "summary": message.summary,
        "text": "\n\n".join(for_terminal(part) for part in [*parts, *filter(None, links.values())]),
        "html": shown,
        "page": message.page,
        "link": message.link,
        "runbook": message.runbook,
    }
