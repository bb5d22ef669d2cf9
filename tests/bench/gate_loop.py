"""The gate in the loop: streams run through the replay's runner, with real stores and fitted models."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from include.config.locations import Locations, model_roots
from include.config.model_folder import get_model_folder
from include.demo.stream import DemoStream
from include.replay.history import History, collect_history
from include.replay.runner import for_replay, replay

TRIPS = 300


class SteadyStream(DemoStream):
    """The demo's trips without a season: nothing ever changes."""

    def _minutes(self, random: np.random.Generator, number: int, *columns: np.ndarray) -> np.ndarray:
        return super()._minutes(random, 28, *columns)


@dataclass(frozen=True)
class Run:
    """One stream through the loop.

    :param holdout: of the gate.
    :param seed: of the stream.
    :param batches: how many.
    :param changed: the first batch of the change, 0 for a stream in which nothing ever changes.
    :param slowdown: how much longer trips take from then on.
    """

    holdout: int
    seed: int
    batches: int
    changed: int = 0
    slowdown: float = 1.5


@dataclass(frozen=True)
class Outcome:
    """What became of a run, batches counted from 1.

    :param run: the run.
    :param gates: judged against a champion: batch, whether passed, the verdict's id.
    :param serves: from which batches promoted versions serve, version 1 left out.
    :param errors: the live model's error by batch.
    """

    run: Run
    gates: list[tuple[int, bool, str]]
    serves: list[int]
    errors: dict[int, float]

    @property
    def delay(self) -> int | None:
        """How many batches of the change the old model still scored; None if to the end."""
        return next((batch - self.run.changed for batch in self.serves if batch > self.run.changed), None)

    def mean_error(self, first: int) -> float:
        """Of the live model from a batch on."""
        return float(np.mean([error for batch, error in self.errors.items() if batch >= first]))


def drive(run: Run) -> Outcome:
    """Take a stream through the loop; all labels are known at once."""
    policies = "decay+every:6" if run.changed else "every:1"
    model = for_replay(get_model_folder("taxi", model_roots()), None, policies, html=False)
    changes: dict[str, Any] = {
        "gate": model.config.gate.model_copy(update={"holdout": run.holdout}),
        "retrain": model.config.retrain.model_copy(update={"attempts": 3, "cooldown": 0}),
    }
    model = model.replace(model.config.model_copy(update=changes))
    make = DemoStream if run.changed else SteadyStream
    stream = make(
        seed=run.seed, trips=TRIPS, batches=run.batches, broken=(), shifted=(0, 0), changed=run.changed,
        slowdown=run.slowdown, delays=((0, 1.0),),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        at = Locations.under(Path(place))
        for number in range(1, run.batches + 1):
            stream.land(Path(at.landing) / model.id, number)
        names = [model.config.calendar.name(number) for number in range(run.batches)]
        replay(model, at, names[0], names[-1])
        return _read(run, collect_history(model, at, names[0], names[-1]), names)


def _read(run: Run, history: History, names: list[str]) -> Outcome:
    at = {name: number for number, name in enumerate(names, start=1)}
    judged = [attempt for attempt in history.attempts if attempt.judgement is not None and attempt.against]
    return Outcome(
        run=run,
        gates=[(at[one.as_of], one.outcome == "passed", one.verdict) for one in judged],
        serves=[at.get(one.effective_from, len(names) + 1) for one in history.promotions if one.number > 1],
        errors={at[one.batch]: one.error for one in history.batches if one.error is not None},
    )
