"""The gate: how often it promotes challengers that are equal, worse or better, and how soon after a change.

`make bench-gate` measures and writes its section of docs/judgement.md; QUICK=1 measures a part of it.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import sys
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from tests.bench.gate_draws import EFFECT, NOISES, promote_equals, promote_in_verdict, promote_known
from tests.bench.gate_loop import Run, drive
from tests.bench.gate_models import HOLDOUT, judge_models, passes
from tests.bench.gate_section import (
    COUNTS,
    DRAWN,
    GATES,
    HOLDOUTS,
    MODELS,
    POOLS,
    SEEDS,
    STEADY,
    VERDICTS,
    Measured,
    tell_equals,
    tell_known,
    tell_loop,
    tell_models,
)
from tests.bench.page import QUICK, write_section

_LEVEL = 0.05


def measure() -> Measured:
    """Run everything in two processes."""
    pools = POOLS[:1] if QUICK else POOLS
    changed = [Run(h, seed, 36, changed=18 + 2 * seed) for h in HOLDOUTS for seed in SEEDS]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as workers:

        def start(work: Any, *arguments: Any) -> Future[Any]:
            return workers.submit(work, *arguments)

        runs = [start(drive, run) for run in changed]
        steady = [start(drive, run) for run in STEADY]
        tallies = [start(judge_models, kind, metric, trips, MODELS, GATES) for kind, metric, trips in pools]
        equals = {(k, n): start(promote_equals, n, k, GATES, 1) for k in DRAWN for n in COUNTS}
        verdicts = {(n, s): start(promote_in_verdict, n, VERDICTS, s, 2) for n in HOLDOUTS for s in (False, True)}
        known = {
            (n, noise, better): start(promote_known, n, noise, EFFECT if better else -EFFECT, GATES, 3)
            for n in HOLDOUTS
            for noise in NOISES
            for better in (True, False)
        }
        return Measured(
            {key: one.result() for key, one in equals.items()},
            {key: one.result() for key, one in verdicts.items()},
            {key: one.result() for key, one in known.items()},
            [one.result() for one in tallies],
            [one.result() for one in steady],
            [one.result() for one in runs],
        )


def main() -> bool:
    """Measure, write, and say whether the promises hold."""
    measured = measure()
    told = [tell_equals(measured), tell_known(measured), tell_models(measured), tell_loop(measured)]
    write_section("gate", "\n".join(told))
    equal = sum(map(passes, measured.tallies[0].made["equal"])) / GATES
    worse = sum(map(passes, measured.tallies[0].made["worse"]))
    verdict = measured.verdicts[HOLDOUT, True]
    most = _LEVEL + 3 * (_LEVEL * (1 - _LEVEL) / VERDICTS) ** 0.5
    print(
        f"{GATES:,} A/A gates of fitted models promoted {equal:.1%} (limit {_LEVEL:.0%}); verdicts about equals, "
        f"without a minimum effect, {verdict:.1%} (limit {_LEVEL:.0%}, {most:.1%} with chance); "
        f"worse by the minimum effect: {worse} promoted (limit 0)"
    )
    return equal <= _LEVEL and verdict <= most and worse == 0


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
