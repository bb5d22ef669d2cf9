"""How long the pages take: 100 models with three years of daily records, through Airflow's own API server.

Run by hand: ``python -m tests.bench.pages [models] [days]``.
"""

import logging
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.models import share_records
from tests.conftest import *  # noqa: F403 - Airflow's settings, before it is imported
from tests.unit.small_loop import SmallLoop, doubled

_DAYS_RUN = 4
# Before Airflow is imported: each request would be a line.
os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"


def main(models: int, days: int) -> None:
    """Lay the records, ask each page ten times, print what it took."""
    from tests.pages_server import serve_pages

    home = Path(tempfile.mkdtemp(prefix="evergreen-pages-"))
    try:
        loop = SmallLoop.under(home)
        loop.run(doubled, *range(1, _DAYS_RUN + 1))
        prolong(loop, days)
        names = ["small", *(f"m{i:03}" for i in range(1, models))]
        share_records(loop, names[1:])
        dags = [f"{name}__batch" for name in names]
        with serve_pages(home, loop.model.path.parent, dags) as get:
            before = _peak()
            print(f"{models} models, {days} days; first answer, median and longest of ten more, in CPU ms and in ms")
            for path in ("/models", "/models/small", "/models/small?batches=365", "/metrics"):
                taken = []
                for _ in range(11):
                    # On a machine that others use, only the former tells what an answer costs.
                    begun = time.process_time(), time.perf_counter()
                    assert get(path).status_code == 200
                    ended = time.process_time(), time.perf_counter()
                    taken.append([1000 * (after - before) for before, after in zip(begun, ended, strict=True)])
                told = (
                    f"{one[0]:7.0f} {statistics.median(one[1:]):7.0f} {max(one[1:]):7.0f}"
                    for one in zip(*taken, strict=True)
                )
                print(f"{path:28} {'    '.join(told)}", flush=True)
            print(f"peak memory {_peak():.0f} MB, {before:.0f} before")
    finally:
        shutil.rmtree(home)


def _peak() -> float:
    """Megabytes of memory that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def prolong(loop: SmallLoop, days: int) -> None:
    """Go on with the records of the last day that was run, as if each later one were alike."""
    from evergreen.records import AttemptRecord, BatchRecord, ClaimRecord, ClosingRecord, VerdictRecord

    ledger, calendar = loop.stores.ledger, loop.model.config.calendar
    last = calendar.name(_DAYS_RUN - 1)
    verdict, promotion = ledger.get(VerdictRecord, last), loop.promotions[-1]
    batches = [ledger.get(BatchRecord, f"{feed}.{last}") for feed in ("rows", "labels")]
    claim, attempt = ledger.get(ClaimRecord, last), ledger.get(AttemptRecord, f"{last}.0")
    closing = ledger.get(ClosingRecord, f"{last}.0")
    assert verdict is not None
    numbers = verdict.outcomes.numbers
    for i in range(_DAYS_RUN, days):
        day, before = calendar.name(i), calendar.name(i - 1)
        for record in filter(None, batches):
            ledger.put(record.model_copy(update={"as_of": day, "batch": day}))
        if claim is not None:
            ledger.put(claim.model_copy(update={"as_of": day}))
        told = {"by_batch_scored": {day: numbers["error"]}, "share_labelled": {day: 1.0}}
        outcomes = verdict.outcomes.model_copy(update={"numbers": numbers | told})
        asks = {"last_ask": f"{day}.0", "previous_ask": f"{before}.0", "outcomes": outcomes, "action": "retrain"}
        ledger.put(verdict.model_copy(update={"as_of": day, "n": 0, **asks}))
        if attempt is not None and closing is not None:
            ledger.put(attempt.model_copy(update={"as_of": day, "verdict": f"{day}.0"}))
            ledger.put(closing.model_copy(update={"as_of": day, "verdict": f"{day}.0"}))
        if i % 7 == 0:
            number = promotion.number + i // 7
            at = {"as_of": day, "number": number, "attempt": f"{day}.0", "effective_from": calendar.name(i + 1)}
            ledger.put(promotion.model_copy(update=at))


if __name__ == "__main__":
    logging.disable(logging.INFO)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(*(int(value) for value in (*sys.argv[1:], "100", "1095")[:2]))
