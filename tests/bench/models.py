"""What it costs to ask of many models: the watch, the pages' list and metrics, `evergreen status`.

``make bench`` asks 100 models with a hundred days of records, the same with a thousand days, and 1,000 models. CPU
milliseconds and requests to the ledger's store, a model: in a new process, and when it asks again. Requests do not
depend on the machine, and none may grow with models or days; but for the logarithm, by which the newest is found.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tests.conftest import *  # noqa: F403 - Airflow's settings, before it is imported
from tests.unit.small_loop import SmallLoop, doubled

_DAYS_RUN = 4
_MEASURED = ((100, 100), (100, 1000), (1000, 100))
# Requests for a model that asks again: for the newest of each kind that it tells of, and what it holds of open causes.
LIMIT = 12.0


def share_records(loop: SmallLoop, names: list[str]) -> None:
    """Give further models the folder and the records of one, under an identity of their own."""
    from evergreen.records import IdentityRecord
    from evergreen.storage.ledger import Ledger

    identity = loop.stores.ledger.require(IdentityRecord, "model")
    ledger = Path(loop.at.lake) / "ledger" / loop.at.env
    for name in names:
        shutil.copytree(loop.model.path, loop.model.path.parent / name)
        Ledger(loop.at.lake, loop.at.env, name).put(identity.model_copy(update={"model": name}))
        for kind in (ledger / loop.model.id).iterdir():
            if kind.name != "identity":
                (ledger / name / kind.name).symlink_to(kind, target_is_directory=True)


def ask(home: Path) -> None:
    """Ask each thing of all models twice; print CPU milliseconds and requests of both, a model."""
    import obstore

    from airflow_evergreen.pages.listing import list_models
    from airflow_evergreen.pages.metrics import write_metrics
    from evergreen.config.locations import Locations, model_roots
    from evergreen.config.model_folder import find_model_folders
    from evergreen.judging.attempts import find_due_attempt
    from evergreen.replay.status import describe_status
    from evergreen.steps.watch_models import find_changes
    from evergreen.storage import ledger as ledger_module
    from evergreen.storage.stores import open_stores, stores_of

    os.environ |= {"EVERGREEN_HOME": str(home), "EVERGREEN_MODELS": str(home / "models")}
    at, models, asked = Locations.from_environment(), find_model_folders(model_roots()), []

    class Counted:
        def __getattr__(self, name: str) -> Callable[..., object]:
            asked.append(name)
            return getattr(obstore, name)

    ledger_module.obstore = Counted()

    def watch() -> None:
        for folder in models.values():
            find_due_attempt(folder.config, stores_of(folder, at))
            find_changes(folder, at, datetime.now(UTC))

    works: dict[str, Callable[[], object]] = {
        "watch": watch,
        "list": lambda: list_models(models),
        "metrics": lambda: write_metrics(at.env, list_models(models), models),
        "status": lambda: [list(describe_status(folder, at)) for folder in list(models.values())[:100]],
    }
    for name, work in works.items():
        open_stores.cache_clear()
        told, of = [], min(len(models), 100) if name == "status" else len(models)
        for _ in range(2):
            del asked[:]
            begun = time.process_time()
            work()
            told += [1000 * (time.process_time() - begun) / of, len(asked) / of]
        print(name, *told)


def main() -> bool:
    """Measure and print; returns whether the limit holds."""
    from tests.bench.pages import prolong

    worst = 0.0
    for models, days in _MEASURED:
        with tempfile.TemporaryDirectory() as place:
            loop = SmallLoop.under(Path(place))
            loop.run(doubled, *range(1, _DAYS_RUN + 1))
            prolong(loop, days)
            share_records(loop, [f"m{i:04}" for i in range(1, models)])
            command = [sys.executable, "-W", "ignore", "-m", "tests.bench.models", place]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        print(f"{models} models, {days} days; a model: CPU ms and requests, of a new process, and again")
        for line in done.stdout.splitlines():
            name, *numbers = line.split()
            first, requests, again, anew = map(float, numbers)
            print(f"  {name:8} {first:7.2f} {requests:6.1f} {again:10.2f} {anew:6.1f}", flush=True)
            worst = max(worst, anew if name != "status" else 0.0)
    print(f"whoever asks again makes {worst:.1f} requests a model at most (limit {LIMIT:.0f})")
    return worst <= LIMIT


if __name__ == "__main__":
    if len(sys.argv) > 1:
        ask(Path(sys.argv[1]))
    else:
        sys.exit(0 if main() else 1)
