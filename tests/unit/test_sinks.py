"""Sinks: a real server on loopback accepts, refuses, or is not there."""

import json
import logging
import socket
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from include.errors import Outage
from include.sinks import HttpSink, LogSink, Message

MESSAGE = Message("taxi", "fault-rows.0", "opened", "2024-01-01", "no column trip_distance — naïve", 1)


@contextmanager
def serving(status):
    """A server that answers with a status and keeps what it was told."""
    told = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.append((self.path, self.headers["Content-Type"], json.loads(body)))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("status", [200, 201, 204])
def test_an_accepted_message_arrives_whole(status):
    with serving(status) as (url, told):
        HttpSink(url).tell(MESSAGE)
    expected = {
        "model": "taxi",
        "incident": "fault-rows.0",
        "event": "opened",
        "as_of": "2024-01-01",
        "text": "no column trip_distance — naïve",
        "sightings": 1,
    }
    assert told == [("/hook", "application/json", expected)]


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
def test_a_refused_message_is_an_outage(status):
    with serving(status) as (url, told), pytest.raises(Outage, match=rf"fault-rows\.0.*{status}"):
        HttpSink(url).tell(MESSAGE)
    assert len(told) == 1


def test_a_dead_port_is_an_outage():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(Outage, match=r"fault-rows\.0.*refused"):
        HttpSink(f"http://127.0.0.1:{port}/hook").tell(MESSAGE)


def test_a_connection_that_is_cut_is_an_outage():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def cut():
            connection, _ = listener.accept()
            connection.close()

        thread = Thread(target=cut)
        thread.start()
        with pytest.raises(Outage, match=r"fault-rows\.0"):
            HttpSink(f"http://127.0.0.1:{listener.getsockname()[1]}/hook").tell(MESSAGE)
        thread.join()


def test_the_log_takes_one_line(caplog):
    with caplog.at_level(logging.WARNING, logger="evergreen.alerts"):
        LogSink().tell(MESSAGE)
    assert [r.getMessage() for r in caplog.records] == [
        "fault-rows.0 opened (2024-01-01): no column trip_distance — naïve"
    ]
