"""A year of daily batches of 1,000 rows in one process: how long it takes, and where the time goes.

`make bench` runs it twice, without and with HTML reports, and prints CPU seconds by step. Compare the shares
within one run; seconds differ from machine to machine.
"""

import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from evergreen.config.locations import Locations, model_roots
from evergreen.config.model_folder import get_model_folder
from evergreen.demo.stream import DemoStream
from evergreen.replay import runner
from evergreen.replay.runner import Runner, for_replay
from evergreen.steps import check_drift

STEPS = (
    "wait_for_batch", "ingest_batch", "validate_batch", "score_batch", "check_drift", "train_model",
    "judge_model", "register_model", "promote_model", "close_verdict", "send_alerts",
)  # fmt: skip


def measure(html: bool, days: int) -> None:
    """Run the days and print what they cost."""
    spent: dict[str, float] = defaultdict(float)

    def timed(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            begun = time.process_time()
            try:
                return work(*args, **kwargs)
            finally:
                spent[name] += time.process_time() - begun

        return call

    for step in STEPS:
        setattr(runner, step, timed(step, getattr(runner, step)))
    check_drift.render_drift = timed("  of check_drift: HTML", check_drift.render_drift)
    model = for_replay(get_model_folder("taxi", model_roots()), None, "every:14", html)
    stream = DemoStream(trips=1000, batches=days, changed=days // 2, shifted=(days // 4, days // 4 + 20))
    with tempfile.TemporaryDirectory() as place:
        at = Locations.under(Path(place))
        for number in range(1, days + 1):
            stream.land(Path(at.landing) / model.id, number)
        drive, begun, cpu = Runner(model, at, sinks=()), time.perf_counter(), time.process_time()
        pace = []
        for number in range(days):
            before = time.process_time()
            drive.run_batch(model.config.calendar.name(number))
            pace.append(time.process_time() - before)
        whole, cpu = time.perf_counter() - begun, time.process_time() - cpu
    kind = "with" if html else "without"
    print(f"{days} batches of 1,000 rows {kind} HTML reports: {whole:.0f} s, {cpu:.0f} CPU s")
    for name, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"  {name:24} {seconds:7.1f} CPU s  {seconds / cpu:5.1%}")
    tenth = max(1, days // 10)
    early, late = sorted(pace[tenth : 2 * tenth]), sorted(pace[-tenth:])
    first, last = early[len(early) // 2], late[len(late) // 2]
    print(f"  a batch, median of an early tenth {first:.3f}, of the last {last:.3f} CPU s")


if __name__ == "__main__":
    measure(html=len(sys.argv) > 2 and sys.argv[2] == "html", days=int(sys.argv[1]) if len(sys.argv) > 1 else 365)
