"""Several policies over the same batches, side by side: what does not depend on them is done once."""

import shutil
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.records import ArrivalRecord, BatchRecord, Feed, PromotionRecord
from evergreen.replay.history import History, collect_history
from evergreen.replay.runner import Runner
from evergreen.storage.stores import open_stores

_FEEDS: tuple[Feed, ...] = ("rows", "labels")


@dataclass(frozen=True)
class Contender:
    """What became of the batches under one policy.

    :param policy: its name.
    :param at: where its decisions and predictions are.
    :param seconds: CPU seconds of all that was done for it alone.
    """

    policy: str
    at: Locations
    history: History
    seconds: float


def compare_policies(
    models: Mapping[str, ModelFolder],
    folder: Path,
    landing: str,
    span: list[str],
    after: list[str] | None = None,
    after_each: Callable[[str], None] | None = None,
) -> list[Contender]:
    """Run the same model over the same batches under several policies.

    Until a first version is promoted no policy has a say, so that far they share one run; after it they share what is
    taken in. Each then has a ledger, predictions and an MLflow database of its own.

    :param models: by the policy's name, the model folder under it; see ``for_replay``. Only ``retrain`` differs.
    :param folder: an empty folder.
    :param landing: where the files are.
    :param span: the batches to run.
    :param after: later batches, of which only the labels count, to judge the last ones by.
    :param after_each: called for each batch once for the intake and once for each policy, with what was done.
    """
    shared = Locations.under(folder / "shared", landing=landing)
    model = next(iter(models.values()))
    runner, ledger = Runner(model, shared, sinks=()), open_stores(shared, model.id).ledger
    told = after_each or (lambda _: None)
    begun = 0
    while begun < len(span) and ledger.get(PromotionRecord, "champion") is None:
        runner.run_batch(span[begun])
        # Done for the intake and for each policy at once.
        for _ in (shared, *models):
            told(f"all {span[begun]}")
        begun += 1
    places = {policy: folder / f"policy-{i}" for i, policy in enumerate(models)}
    for place in places.values():
        _fork(Path(shared.lake), folder / "shared" / "mlflow.db", place)
    for batch in [*span[begun:], *(after or [])]:
        told(f"taking in {batch}")
        runner.take_in(batch)
    contenders = []
    for policy, own in models.items():
        at = replace(Locations.under(places[policy], landing=landing), feeds=shared.lake)
        spent, alone = time.process_time(), Runner(own, at, sinks=())
        for batch in span[begun:]:
            _adopt(shared, at, model.id, batch)
            alone.run_batch(batch)
            told(f"{policy} {batch}")
        spent = time.process_time() - spent
        for batch in after or []:
            _adopt(shared, at, model.id, batch)
        history = collect_history(own, at, span[0], span[-1], known_by=[*span, *(after or [])][-1])
        contenders.append(Contender(policy, at, history, spent))
    return contenders


def _fork(lake: Path, database: Path, place: Path) -> None:
    """Begin a place with what has been decided so far: the ledger, and MLflow's database; nothing is scored yet."""
    shutil.copytree(lake / "ledger", place / "lake" / "ledger")
    if database.exists():
        with closing(sqlite3.connect(database)) as held, closing(sqlite3.connect(place / "mlflow.db")) as own:
            held.backup(own)


def _adopt(shared: Locations, own: Locations, model_id: str, batch: str) -> None:
    """Put on record what was taken in for a batch."""
    held, ledger = open_stores(shared, model_id).ledger, open_stores(own, model_id).ledger
    for feed in _FEEDS:
        for kind in (ArrivalRecord, BatchRecord):
            record = held.get(kind, f"{feed}.{batch}")
            if record is not None:
                ledger.put(record)
