"""A server that takes connections and does not answer, never ends its answer, or answers what nobody asked for."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PAGE = f"<html><body><h1>502 Bad Gateway</h1><script>alert(1)</script>{'<p>nginx</p>' * 2000}</body></html>"


def as_http(status: int, headers: str = "") -> bytes:
    """What a proxy in front of a service that is down says: a page for people."""
    return (
        f"HTTP/1.1 {status} Bad\r\nContent-Type: text/html\r\nContent-Length: {len(PAGE)}\r\n{headers}"
        f"Connection: close\r\n\r\n{PAGE}"
    ).encode()


@contextmanager
def silent_server(answer: bytes = b"", drip: bytes = b"") -> Iterator[int]:
    """Listen on loopback; yields the port.

    :param answer: to whatever comes first on a connection; without one nothing is ever said.
    :param drip: what follows it for ever, every tenth of a second; without one the connection is closed.
    """
    held: list[socket.socket] = []

    def drip_on(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.recv(65_536)
            connection.sendall(answer)
            while True:
                time.sleep(0.1)
                connection.sendall(drip)

    with socket.create_server(("127.0.0.1", 0)) as listening:

        def listen() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                held.append(connection)
                if drip:
                    threading.Thread(target=drip_on, args=(connection,), daemon=True).start()
                elif answer:
                    connection.recv(65_536)
                    connection.sendall(answer)
                    connection.close()

        taking = threading.Thread(target=listen, daemon=True)
        taking.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            for connection in held:
                connection.close()
            taking.join(timeout=10)
