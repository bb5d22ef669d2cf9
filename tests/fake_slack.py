"""A Slack on loopback that speaks the two APIs that we use: the Web API and an incoming webhook."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

TOKEN = "xoxb-test"
CHANNEL = "C0123456789"


@dataclass(frozen=True)
class Said:
    """A request that a fake Slack has accepted.

    :param kind: ``post``, ``update`` or ``webhook``.
    :param body: the request's body.
    :param ts: the message's time stamp, which is its name; empty of a webhook.
    """

    kind: str
    body: dict[str, Any]
    ts: str = ""


@dataclass
class FakeSlack:
    """What a fake Slack was told, and how it answers.

    :param url: where it listens.
    :param messages: what it has accepted, in order.
    :param refused: the bodies that it has not accepted.
    :param error: with one, such as ``channel_not_found``, the Web API answers ``ok: false`` and the webhook 404.
    :param limits: seconds that the next calls are asked to wait, with 429.
    :param silent: it takes the next calls, and closes the connection without an answer.
    :param blind: whether it lets nobody look at what was posted.
    """

    url: str
    messages: list[Said] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""
    limits: list[int] = field(default_factory=list)
    silent: int = 0
    blind: bool = False
    _lock: Lock = field(default_factory=Lock)

    @property
    def api(self) -> str:
        """Value of an ``AIRFLOW_CONN_…`` variable: a connection of type Slack API to here."""
        extra = json.dumps({"base_url": self.url})
        return json.dumps({"conn_type": "slack", "password": TOKEN, "extra": extra})

    @property
    def webhook(self) -> str:
        """Value of an ``AIRFLOW_CONN_…`` variable: a connection of type incoming webhook to here."""
        return json.dumps({"conn_type": "slackwebhook", "host": f"{self.url}/services", "password": "T0/B0/secret"})

    def shown(self) -> dict[str, dict[str, Any]]:
        """What a person sees in the channel: the last body of each message of the Web API, by its ``ts``."""
        return {said.ts: said.body for said in self.messages if said.kind != "webhook"}

    def answer(self, path: str, token: str, body: dict[str, Any]) -> tuple[int, bytes, dict[str, str]]:
        """Take a request in; give the answer's status, body and headers. A status of 0 is no answer."""
        with self._lock:
            if self.limits:
                self.refused.append(body)
                limited = {"Retry-After": str(self.limits.pop(0))}
                return 429, json.dumps({"ok": False, "error": "ratelimited"}).encode(), limited
            if path.startswith("/services/"):
                status, answer = self._take_webhook(body)
            else:
                status, answer = 200, json.dumps(self._take_call(path.rpartition("/")[2], token, body)).encode()
            if self.silent:
                self.silent, status = self.silent - 1, 0
            return status, answer, {}

    def _take_webhook(self, body: dict[str, Any]) -> tuple[int, bytes]:
        error = self.error or wrong_blocks(body)
        if error:
            self.refused.append(body)
            return 404, error.encode()
        self.messages.append(Said("webhook", body))
        return 200, b"ok"

    def _take_call(self, method: str, token: str, body: dict[str, Any]) -> dict[str, Any]:
        error = self.error or self._wrong(method, token, body)
        if error:
            self.refused.append(body)
            return {"ok": False, "error": error}
        if method.startswith("conversations."):
            return {"ok": True, "messages": self._list(body)}
        post = method == "chat.postMessage"
        ts = f"{time.time():.6f}" if post else body["ts"]
        self.messages.append(Said("post" if post else "update", body, ts))
        return {"ok": True, "channel": CHANNEL, "ts": ts}

    def _list(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        """What was posted to the channel, or in a thread, since a moment."""
        posts = [said for said in self.messages if said.kind == "post" and said.ts >= asked["oldest"]]
        thread = asked.get("ts")
        found = [said for said in posts if thread is None or thread in (said.ts, said.body.get("thread_ts"))]
        shown = bool(int(asked.get("include_all_metadata", 0)))
        return [{"ts": one.ts, **({"metadata": one.body.get("metadata", {})} if shown else {})} for one in found]

    def _wrong(self, method: str, token: str, body: dict[str, Any]) -> str:
        """What Slack itself would find wrong with a call."""
        looks = method in ("conversations.history", "conversations.replies")
        if token != f"Bearer {TOKEN}":
            return "invalid_auth"
        if method not in ("chat.postMessage", "chat.update") and not looks:
            return "unknown_method"
        if not body.get("channel") or (looks and body["channel"] != CHANNEL):
            return "channel_not_found"
        if looks:
            return "missing_scope" if self.blind else ""
        if method == "chat.update" and (body.get("ts") not in self.shown() or body["channel"] != CHANNEL):
            return "message_not_found"
        return wrong_blocks(body)


def wrong_blocks(body: dict[str, Any]) -> str:
    """What Slack finds wrong with a message's blocks; empty if nothing."""
    blocks = body.get("blocks", [])
    if len(blocks) > 50 or not 0 < len(body.get("text", "")) <= 4000:
        return "invalid_blocks"
    return "" if all(map(_is_sound, blocks)) else "invalid_blocks"


def _is_sound(block: dict[str, Any]) -> bool:
    if block["type"] == "actions":
        return 0 < len(block["elements"]) <= 25 and all(map(_is_button, block["elements"]))
    if block["type"] == "context":
        return 0 < len(block["elements"]) <= 10 and all(_is_text(one, 2000) for one in block["elements"])
    sizes = {"header": 150, "section": 3000}
    plain = block["type"] != "header" or block["text"]["type"] == "plain_text"
    return block["type"] in sizes and plain and _is_text(block["text"], sizes[block["type"]])


def _is_text(text: dict[str, Any], most: int) -> bool:
    return text["type"] in ("plain_text", "mrkdwn") and 0 < len(text["text"]) <= most


def _is_button(button: dict[str, Any]) -> bool:
    url = button.get("url", "")
    fits = _is_text(button["text"], 75) and button["text"]["type"] == "plain_text" and len(url) <= 3000
    return button["type"] == "button" and fits and re.fullmatch(r"https?://[!-~]+", url) is not None


@contextmanager
def fake_slack() -> Iterator[FakeSlack]:
    """A Slack that runs until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            path, form = urlsplit(self.path).path, f"{content}&{urlsplit(self.path).query}"
            is_json = self.headers.get_content_type() == "application/json"
            body = json.loads(content) if is_json else dict(parse_qsl(form))
            status, answer, headers = slack.answer(path, self.headers.get("Authorization", ""), body)
            if not status:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    slack = FakeSlack(f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield slack
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
