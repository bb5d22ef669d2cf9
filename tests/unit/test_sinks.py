"""Sinks: a real server on loopback accepts, refuses, or is not there."""

import json
import logging
import socket
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from evergreen.errors import Outage
from evergreen.sinks import HttpSink, LogSink, Message

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
        "title": "",
        "link": "",
        "receipt": "",
        "earlier": [],
        "anew": False,
        "done": "",
        "todo": "",
        "heading": "",
        "since": "",
        "page": "",
        "runbook": "",
        "id": "",
        "tried": "",
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
    with caplog.at_level(logging.WARNING, logger="airflow_evergreen.alerts"):
        LogSink().tell(MESSAGE)
        LogSink().tell(replace(MESSAGE, text="no column a\nERROR all is lost \x1b[2J"))
    assert [r.getMessage() for r in caplog.records] == [
        "fault-rows.0 opened (2024-01-01): no column trip_distance — naïve",
        r"fault-rows.0 opened (2024-01-01): no column a\nERROR all is lost \x1b[2J",
    ]


@contextmanager
def answering(*answers):
    """A server that answers each connection with raw bytes; gives its port and the methods that it was asked by."""
    methods = []
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]

        def answer():
            for one in answers:
                connection, _ = listener.accept()
                with connection:
                    methods.append(connection.recv(65536).split(b" ")[0])
                    connection.sendall(one.replace(b"PORT", str(port).encode()))

        Thread(target=answer, daemon=True).start()
        yield port, methods


@pytest.mark.parametrize("answer", [b"garbage\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"], ids=["garbage", "no status"])
def test_an_answer_that_is_no_http_is_an_outage(answer):
    with answering(answer) as (port, _), pytest.raises(Outage, match=r"fault-rows\.0"):
        HttpSink(f"http://127.0.0.1:{port}/hook").tell(MESSAGE)


def test_a_redirect_is_an_outage_rather_than_a_get_without_the_message():
    redirect = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:PORT/other\r\nContent-Length: 0\r\n\r\n"
    accepted = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with answering(redirect, accepted) as (port, methods):
        with pytest.raises(Outage, match="302"):
            HttpSink(f"http://127.0.0.1:{port}/hook").tell(MESSAGE)
        assert methods == [b"POST"]


@pytest.mark.parametrize("url", ["hooks.example.com/x", "http://127.0.0.1:1/a b", "http://127.0.0.1:abc/"])
def test_an_impossible_url_is_an_outage(url):
    with pytest.raises(Outage, match=r"fault-rows\.0"):
        HttpSink(url).tell(MESSAGE)


def test_the_url_of_a_webhook_stays_out_of_the_log(caplog):
    with serving(200) as (url, _), caplog.at_level(logging.INFO):
        HttpSink(url).tell(MESSAGE)
    with serving(404) as (url, _), caplog.at_level(logging.INFO), pytest.raises(Outage) as refused:
        HttpSink(url).tell(MESSAGE)
    assert "/hook" not in caplog.text + str(refused.value)
