"""Kills a batch's run with SIGKILL after each thing that it writes, runs it again, and compares the ends.

Run as a program: importing takes seconds, so one process imports everything and forks a child for each run. The parent
only imports: the libraries' own threads would not survive a fork.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient

from include.config.locations import Locations
from include.storage.lake import Lake
from include.storage.ledger import Ledger
from tests.short_loop import fingerprint, run, short_model

WRITES: list[tuple[Any, str]] = [
    (Ledger, "put"),
    (Lake, "replace"),
    (Lake, "put_raw"),
    (mlflow, "log_params"),
    (mlflow.pyfunc, "log_model"),
    (mlflow, "set_tag"),
    (MlflowClient, "set_terminated"),
    (MlflowClient, "create_registered_model"),
    (MlflowClient, "create_model_version"),
    (MlflowClient, "set_registered_model_alias"),
    (MlflowClient, "set_registered_model_tag"),
]


def arm(after: int | None) -> list[str]:
    """Count what is written; die right after the write with this number."""
    written: list[str] = []

    def watched(name: str, write: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = write(*args, **kwargs)
            written.append(name)
            if len(written) == after:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    for owner, name in WRITES:
        setattr(owner, name, watched(f"{owner.__name__}.{name}", getattr(owner, name)))
    return written


def in_child(work: Callable[[], None]) -> int:
    """Do something in a forked child; returns its exit code, negative for a signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(place: Path, number: int) -> None:
    """Try every point at which the run of one batch can die; print what happened as JSON."""
    home, saved, answer = place / "home", place / "saved", place / "answer.json"
    at = Locations.under(home)

    def prepare() -> None:
        run(short_model(home), at, *range(1, number))

    def attempt(after: int | None) -> Callable[[], None]:
        def work() -> None:
            written = arm(after)
            model = short_model(home)
            run(model, at, number)
            answer.write_text(json.dumps({"written": written, "end": fingerprint(model, at)}))

        return work

    def restore() -> None:
        shutil.rmtree(home)
        shutil.copytree(saved, home)
        answer.unlink(missing_ok=True)

    assert in_child(prepare) == 0
    shutil.copytree(home, saved)
    assert in_child(attempt(None)) == 0
    expected = json.loads(answer.read_text())
    outcomes = []
    for n, name in enumerate(expected["written"], start=1):
        restore()
        died = in_child(attempt(n))
        again = in_child(attempt(None))
        end = json.loads(answer.read_text())["end"] if again == 0 else {}
        differs = sorted(k for k in {*end, *expected["end"]} if end.get(k) != expected["end"].get(k))
        outcomes.append({"n": n, "after": name, "died": died, "again": again, "differs": differs})
    print(json.dumps({"end": expected["end"], "outcomes": outcomes}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
