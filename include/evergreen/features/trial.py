"""Code that is new runs first in a process of its own: what ends a process, or never comes back, is met there."""

import logging
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import pandas as pd
import psutil
from threadpoolctl import threadpool_limits

from evergreen.config.data_schema import DataSchema
from evergreen.config.model_spec import ModelSpec
from evergreen.errors import CodeUnsafe
from evergreen.features.building import call_features, read_inputs
from evergreen.features.labelled import LabelledRows, standing_claim
from evergreen.features.packing import Recipe, fit_estimator, load_code
from evergreen.storage.full_disk import room_for
from evergreen.storage.model_from_code import FEATURES
from evergreen.storage.packed_model import PackedModel
from evergreen.storage.stores import Stores

_logger = logging.getLogger(__name__)
_ROWS = 1_000
# What the process says at its end; before, it says what it is about to run.
_DONE = "done"
# Seconds without any work after which a process is taken to hang since it was forked, for which no code is to blame.
_IDLE = 20.0


@dataclass(frozen=True)
class _Sample:
    """What the code is tried on.

    :param rows: (rows, columns) of one batch.
    :param history: the batches before it that it looks back on.
    :param target: (labels,) some that are known, of whichever rows; None for a model without.
    """

    batch: str
    rows: pd.DataFrame
    history: pd.DataFrame
    target: pd.Series | None


def try_code(recipe: Recipe, today: DataSchema, stores: Stores, labelled: LabelledRows) -> None:
    """Run a recipe's code on a thousand rows in a process of its own, which is forked.

    What it returns there does not matter, nor what it raises: that is met again where it counts.

    :param today: the schema of config.yaml.
    :param labelled: what is to be learnt from.
    :raises CodeUnsafe: if the code ends its process, or runs for longer than its time limit.
    """
    # Elsewhere a fork is unsafe in itself, and a process that starts afresh takes seconds to import what it needs.
    if sys.platform != "linux":
        return
    schema, batch = recipe.spec.data_schema(today), str(labelled.rows["batch"].iloc[-1])
    claim, rows_in = standing_claim(stores, batch), [labelled.sources[batch]]
    rows, history = read_inputs(schema, stores, claim, recipe.spec, rows_in)
    target = labelled.rows[schema.labels.column].head(_ROWS) if schema.labels is not None else None
    sample = _Sample(batch, rows.head(_ROWS), history, target)
    with room_for("code that is tried"), tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name, text in recipe.code.items():
            (folder / name).write_text(text, encoding="utf-8")
        ours, theirs = multiprocessing.Pipe(duplex=False)
        with warnings.catch_warnings():
            # Of what may hang in a fork there is nothing left to run, and what hangs all the same is given up.
            warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork.*")
            # Not by multiprocessing, whose own workers, as of a pool, may have no children.
            child = os.fork()
        if child == 0:
            try:
                _run(recipe.spec, folder, sample, theirs)
            finally:
                os._exit(0)
        theirs.close()
        try:
            problem = _watch(child, ours)
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            ours.close()
    if problem is not None:
        raise CodeUnsafe(f"model {recipe.spec.model}, {problem}")


def _watch(child: int, said: Connection) -> str | None:
    """Wait for a process to end; what is wrong with the code, if anything is."""
    stage, work, since = "", 0.0, time.monotonic()
    while True:
        if said.poll(0.1):
            try:
                stage, _, problem = said.recv_bytes().decode().partition("\n")
            except EOFError:
                return f"{stage}: ended its process, {_tell_exit(child)}"
            if stage == _DONE:
                return problem or None
            continue
        with suppress(psutil.Error):
            times = psutil.Process(child).cpu_times()
            if times.user + times.system > work:
                work, since = times.user + times.system, time.monotonic()
        if time.monotonic() - since > _IDLE:
            _logger.warning("%s: a trial in a process of its own came to nothing; it is run without one", stage)
            return None


def _tell_exit(child: int) -> str:
    """How a process has ended, which is not taken from the system yet: its number stays its own."""
    ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert ended is not None
    if ended.si_code == os.CLD_EXITED:
        return f"with exit status {ended.si_status}"
    if ended.si_status == signal.SIGXCPU:
        return "for it ran for longer than model.time_limit without coming back to Python"
    return f"by {signal.Signals(ended.si_status).name}"


def _run(spec: ModelSpec, folder: Path, sample: _Sample, said: Connection) -> None:
    """Run all of the code once, in the process of its own."""
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    problem = ""

    def begin(stage: str) -> None:
        said.send_bytes(stage.encode())
        # A loop in C, which no handler of a signal ends, is ended by the system.
        spent = int(time.process_time() + min(spec.time_limit.total_seconds(), 1e8)) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (spent, resource.RLIM_INFINITY))

    try:
        # Threads that an OpenMP or a BLAS had before the fork are not there any more.
        with threadpool_limits(1):
            begin("features.py, on import")
            module = load_code(spec, folder / FEATURES, "features", "build_features")
            begin(f"features.py, build_features on batch {sample.batch}")
            features = call_features(PackedModel(folder, spec, module, None), sample.rows, sample.history, sample.batch)
            begin(f"estimator.py, on {len(features)} rows of {list(features.columns)}")
            fewer = len(features) if sample.target is None else min(len(features), len(sample.target))
            target = None if sample.target is None else sample.target.iloc[:fewer]
            fit_estimator(spec, folder, features.iloc[:fewer], target, 0)
            if spec.search is not None:
                import optuna

                from evergreen.features.search import suggest_params

                begin("estimator.py, suggest")
                suggest_params(spec, folder, optuna.create_study().ask())
    except CodeUnsafe as error:
        problem = str(error).removeprefix(f"model {spec.model}, ")
    except BaseException:  # noqa: S110 - it is met again where it counts
        pass
    said.send_bytes(f"{_DONE}\n{problem}".encode())
