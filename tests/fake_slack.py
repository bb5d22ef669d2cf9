"""A Slack on loopback that speaks the two APIs that we use: the Web API and an incoming webhook."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

TOKEN = "xoxb-test"
_CHANNEL = "C0123456789"


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
    """

    url: str
    messages: list[Said] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""
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

    def answer(self, path: str, token: str, body: dict[str, Any]) -> tuple[int, bytes]:
        """Take a request in; give the answer's status and body."""
        with self._lock:
            if path.startswith("/services/"):
                return self._take_webhook(body)
            return 200, json.dumps(self._take_call(path.rpartition("/")[2], token, body)).encode()

    def _take_webhook(self, body: dict[str, Any]) -> tuple[int, bytes]:
        if self.error:
            self.refused.append(body)
            return 404, self.error.encode()
        self.messages.append(Said("webhook", body))
        return 200, b"ok"

    def _take_call(self, method: str, token: str, body: dict[str, Any]) -> dict[str, Any]:
        error = self.error or self._wrong(method, token, body)
        if error:
            self.refused.append(body)
            return {"ok": False, "error": error}
        post = method == "chat.postMessage"
        ts = f"1700000000.{len(self.shown()):06d}" if post else body["ts"]
        self.messages.append(Said("post" if post else "update", body, ts))
        return {"ok": True, "channel": _CHANNEL, "ts": ts}

    def _wrong(self, method: str, token: str, body: dict[str, Any]) -> str:
        """What Slack itself would find wrong with a call."""
        sizes = {"header": 150, "section": 3000}
        fits = [0 < len(block["text"]["text"]) <= sizes[block["type"]] for block in body.get("blocks", [])]
        plain = all(
            block["text"]["type"] == "plain_text" for block in body.get("blocks", []) if block["type"] == "header"
        )
        if token != f"Bearer {TOKEN}":
            return "invalid_auth"
        if method not in ("chat.postMessage", "chat.update"):
            return "unknown_method"
        if not body.get("channel"):
            return "channel_not_found"
        if method == "chat.update" and (body.get("ts") not in self.shown() or body["channel"] != _CHANNEL):
            return "message_not_found"
        if not all(fits) or not plain:
            return "invalid_blocks"
        return ""


@contextmanager
def fake_slack() -> Iterator[FakeSlack]:
    """A Slack that runs until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            status, answer = slack.answer(self.path, self.headers.get("Authorization", ""), json.loads(content))
            self.send_response(status)
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
