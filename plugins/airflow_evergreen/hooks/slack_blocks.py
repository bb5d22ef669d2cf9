"""A message in Slack's Block Kit, within its limits: 50 blocks, 3,000 characters a section, 75 of a button's text."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from evergreen.foreign_text import SLACK_CONTEXT, SLACK_HEADER, SLACK_SECTION, for_slack
from evergreen.sinks import Message

_OPEN, _OVER, _NEWS = "\N{LARGE ORANGE CIRCLE}", "\N{LARGE GREEN CIRCLE}", "\N{LARGE BLUE CIRCLE}"
_MOST_SECTIONS, _LONGEST_URL = 40, 3000
# Of an address; Slack refuses a message for a blank in it.
_KEPT = ":/?#[]@!$&'()*+,;=%~"
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)\S*")


def build_summary(message: Message) -> str:
    """The text of notifications, and of clients that show no blocks."""
    return for_slack(f"{message.summary}: {message.text}")


def build_blocks(message: Message, whole: bool = True) -> list[dict[str, Any]]:
    """A heading, since when, what happened, what was done, what to do, and where to look.

    :param whole: with what was said before; a message beside the one that has it needs it no more.
    """
    icon = {"resolved": _OVER, "news": _NEWS}.get(message.event, _OPEN)
    what = message.heading or message.incident
    ending = f": {what}, over" if message.event == "resolved" else f": {what}"
    # What happened stands whole, also where a title is long.
    title = for_slack(f"{icon} {message.title or message.model}", SLACK_HEADER - len(for_slack(ending)))
    texts: tuple[str, ...] = (message.text,)
    if whole and message.earlier:
        texts = (*message.earlier, f"{'Over' if message.event == 'resolved' else 'Last'}: {message.text}")
    labelled = [("Done: ", message.done), ("To do: ", message.todo)]
    first, *later = [part for text in texts for part in _split(text)] or [what]
    sections = [first, *later[-_MOST_SECTIONS:]]
    sections += [f"{label}{text}" for label, text in labelled if text]
    return [
        {"type": "header", "text": _plain(title + for_slack(ending, SLACK_HEADER))},
        {"type": "context", "elements": [_plain(for_slack(_tell_since(message), SLACK_CONTEXT))]},
        *({"type": "section", "text": _plain(for_slack(text))} for text in sections),
        *_build_buttons(message),
    ]


def _tell_since(message: Message) -> str:
    if message.event == "news":
        return message.as_of
    since = message.since or message.as_of
    facts = [
        message.incident if message.heading else "",
        f"since {since}" if since else "",
        f"reported {message.sightings} times" if message.sightings > 1 else "",
        f"{message.event} at {message.as_of}" if message.event != "opened" else "",
    ]
    return _MOMENT.sub(r"\1 \2 UTC", " · ".join(filter(None, facts))) or message.event


def _split(text: str) -> Iterator[str]:
    """A text in parts that a section takes, broken between lines."""
    part = ""
    for line in text.splitlines(keepends=True):
        if part and len(for_slack(part + line, 2 * SLACK_SECTION)) > SLACK_SECTION:
            yield part.rstrip("\n")
            part = ""
        part += line
    if part.strip():
        yield part.rstrip("\n")


def _build_buttons(message: Message) -> Iterator[dict[str, Any]]:
    page = "All models" if message.model.startswith("@") else "Model's page"
    named = {page: message.page, "Run in Airflow": message.link, "Runbook": message.runbook}
    run, task, _ = message.link.partition("/tasks/")
    if message.incident.startswith("approval.") and message.event != "resolved" and task:
        named = {"Approve or reject": f"{run}/tasks/approve_model/required_actions", **named}
    buttons = [
        {"type": "button", "text": _plain(name), "url": quote(url, safe=_KEPT), "action_id": name}
        for name, url in named.items()
        if url.startswith(("http://", "https://")) and len(url) <= _LONGEST_URL
    ]
    if buttons:
        yield {"type": "actions", "elements": buttons}
    if message.runbook and not message.runbook.startswith(("http://", "https://")):
        yield {"type": "context", "elements": [_plain(for_slack(f"Runbook: {message.runbook}", SLACK_CONTEXT))]}


def _plain(text: str) -> dict[str, Any]:
    """Text of which Slack reads neither emphasis nor mentions; names of emojis stay names."""
    return {"type": "plain_text", "text": text, "emoji": False}
