"""One process that is kept running: it is watched, started again, and ended with all that it has started."""

import fcntl
import os
import re
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import psutil

from evergreen.errors import Refused

_MARK = "EVERGREEN_SERVICE"
_STOPPING = 20.0
_LONGEST_PAUSE = 60.0


@dataclass
class Service:
    """A process that is kept running.

    :param name: what people know it by.
    :param home: folder whose services it belongs to.
    :param command: program and arguments.
    :param environment: its environment variables.
    :param port: where it listens on loopback; None if nowhere.
    :param ending: the signal that asks it to end.
    :param sound: seconds; what has run that long and ends has not failed to start.
    """

    name: str
    home: Path
    command: list[str]
    environment: dict[str, str]
    port: int | None = None
    ending: signal.Signals = signal.SIGTERM
    sound: float = 60.0

    def __post_init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.deaths, self._began, self._due = 0, 0.0, 0.0

    @property
    def log(self) -> Path:
        """The file that its output is added to."""
        return self.home / "logs" / f"{self.name}.log"

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it."""
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C in the terminal reaches this program alone, which ends them in order.
            self.process = subprocess.Popen(
                self.command,
                env=self.environment | {_MARK: f"{self.name}@{self.home}"},
                stdout=log,
                stderr=log,
                cwd=self.home,
                start_new_session=True,
            )
        self._began, self._due = time.monotonic(), 0.0

    def revive(self) -> str | None:
        """Start it again if it has ended by itself, after a pause that doubles each time that it does so at once.

        :returns: when its end is found, what there is to say of it.
        """
        if self.process is None or self.process.poll() is None:
            return None
        now = time.monotonic()
        if self._due:
            if now >= self._due:
                self.start()
            return None
        self.deaths = self.deaths + 1 if now - self._began < self.sound else 1
        pause = min(2.0 ** (self.deaths - 1), _LONGEST_PAUSE)
        self._due = now + pause
        end_marked(self.home, self.name)
        taken = f"; its port {self.port} is taken by another program" if self.port and port_taken(self.port) else ""
        return f"{self._describe_end()}{taken}; it starts again in {pause:.0f} s"

    def finish(self) -> str | None:
        """Wait until it has ended.

        :returns: what went wrong; None if nothing.
        """
        assert self.process is not None
        return self._describe_end() if self.process.wait() != 0 else None

    def kill(self) -> None:
        """Kill it, so that it is started again."""
        if self.process is not None:
            self.process.kill()

    def stop(self, kill: bool = False) -> None:
        """End it and all that it started.

        :param kill: at once, as a power cut would.
        """
        process, self.process = self.process, None
        if process is not None and not kill:
            process.send_signal(self.ending)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOPPING)
        end_marked(self.home, self.name)
        if process is not None:
            process.wait()

    def _describe_end(self) -> str:
        assert self.process is not None
        code: int = self.process.returncode
        how = f"was ended by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"ended with {code}"
        if code > 0:
            lines = self.log.read_bytes()[-8192:].decode(errors="replace").strip().splitlines()
            telling = [line for line in lines if re.search("Error|FATAL", line)] or lines
            how += f" ({telling[-1].strip()[:200]})" if telling else ""
        return f"{self.name} {how}; its log is {self.log}"


def end_marked(home: Path, name: str | None = None) -> None:
    """Kill what the services of a folder have left running, whatever became of those that started it.

    :param name: of one service; None for all.
    """
    for _ in range(10):
        # One that is about to start another is found in the next round.
        found = [process for process in psutil.process_iter() if _belongs(process, home, name)]
        for process in found:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(found, timeout=5)
        if not found:
            return


def lock_folder(home: Path) -> TextIO:
    """Take a folder for this program, until the file is closed or the program ends, however it does."""
    file = (home / "lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        raise Refused(
            f"another `evergreen run` (process {file.read() or 'unknown'}) works in {home}: end that one first, or set "
            "EVERGREEN_HOME to another folder"
        ) from error
    file.truncate(0)
    print(os.getpid(), end="", file=file, flush=True)
    return file


def port_taken(port: int) -> bool:
    """Whether a program on this machine has a port."""
    try:
        # By name: a browser that asks for localhost tries IPv6, too.
        socket.create_connection(("localhost", port), timeout=1).close()
        return True
    except OSError:
        pass
    with socket.socket() as probe:
        # As the servers do it: a connection that has just ended keeps nobody away.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _belongs(process: psutil.Process, home: Path, name: str | None) -> bool:
    try:
        service, _, place = process.environ().get(_MARK, "").partition("@")
    except (psutil.AccessDenied, psutil.NoSuchProcess, OSError):
        return False
    return place == str(home) and name in (None, service) and process.pid != os.getpid()
