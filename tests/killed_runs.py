"""Ends a batch's run after each thing that it writes, runs it again, and compares the ends.

Run as a program: importing takes seconds, so one process imports everything and forks a child for each run. The parent
only imports: the libraries' own threads would not survive a fork.
"""

import contextlib
import importlib
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

from evergreen.config.locations import Locations
from evergreen.storage.lake import Lake
from evergreen.storage.ledger import Ledger
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
    (MlflowClient, "update_registered_model"),
    (MlflowClient, "log_text"),
    (MlflowClient, "log_batch"),
    (MlflowClient, "create_model_version"),
    (MlflowClient, "set_registered_model_alias"),
    (MlflowClient, "set_registered_model_tag"),
]


def watch(after_each: Callable[[int], None]) -> list[str]:
    """Call something after each thing that is written, with its number from 1; returns what was, as it grows."""
    written: list[str] = []

    def watched(name: str, write: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = write(*args, **kwargs)
            written.append(name)
            after_each(len(written))
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
    """Try every point at which the run of one batch can die; print what happened as JSON.

    What is on disk after each write is copied, and the next run begins from there, as after a kill: what the process
    had in its memory is gone with it. Three points are reached by a real kill.
    """
    home, saved, answer = place / "home", place / "saved", place / "answer.json"
    at = Locations.under(home)

    def prepare() -> None:
        run(short_model(home), at, *range(1, number))

    def attempt(after_each: Callable[[int], None]) -> Callable[[], None]:
        def work() -> None:
            written = watch(after_each)
            model = short_model(home)
            run(model, at, number)
            end, modules = fingerprint(model, at), sorted(sys.modules)
            answer.write_text(json.dumps({"written": written, "end": end, "modules": modules}))

        return work

    def keep(n: int) -> None:
        shutil.copytree(home, saved / str(n))

    def restore(n: int) -> None:
        shutil.rmtree(home)
        shutil.copytree(saved / str(n), home)
        answer.unlink(missing_ok=True)

    def die_after(last: int) -> Callable[[int], None]:
        return lambda n: os.kill(os.getpid(), signal.SIGKILL) if n == last else None

    assert in_child(prepare) == 0
    keep(0)
    assert in_child(attempt(keep)) == 0
    expected = json.loads(answer.read_text())
    # What a run imports on its way costs more than the run: the parent has it for all that come.
    for name in expected["modules"]:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    writes = expected["written"]
    outcomes = []
    for n, name in enumerate(writes, start=1):
        died = None
        if n in (1, len(writes) // 2, len(writes)):
            restore(0)
            died = in_child(attempt(die_after(n)))
        else:
            restore(n)
        again = in_child(attempt(lambda _: None))
        end = json.loads(answer.read_text())["end"] if again == 0 else {}
        differs = sorted(k for k in {*end, *expected["end"]} if end.get(k) != expected["end"].get(k))
        outcomes.append({"n": n, "after": name, "died": died, "again": again, "differs": differs})
    print(json.dumps({"end": expected["end"], "outcomes": outcomes}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
