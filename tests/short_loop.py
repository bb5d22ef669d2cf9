"""A short run of the taxi loop, small enough to be run many times, and a fingerprint of all that it left."""

import atexit
import functools
import hashlib
import json
import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow
import obstore
import yaml
from deltalake import DeltaTable
from mlflow import MlflowClient

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder, load_model_folder
from evergreen.demo.stream import DemoStream
from evergreen.records import PromotionRecord
from evergreen.replay.runner import Runner
from evergreen.sinks import Message
from evergreen.steps.ingest_batch import ingest_batch
from evergreen.steps.validate_batch import validate_batch
from evergreen.storage.model_pages import CARD
from evergreen.storage.model_store import ModelStore
from evergreen.storage.objects import open_store
from evergreen.storage.packed_model import PackedModel
from evergreen.storage.stores import Stores

TAXI = Path(__file__).parent.parent / "include" / "models" / "taxi"
STREAM = DemoStream(trips=150, batches=12, broken=(3,), shifted=(0, 0), changed=7, slowdown=2.0)
SHORT: dict[str, Any] = {
    "training": {"window": 3, "min_labels": 330},
    "gate": {"metric": "mae", "min_rows": 50},
    "check": {"window": 2, "min_rows": 50, "html": "never", "ignore": ["PULocationID", "DOLocationID"]},
    "retrain": {"any": ["decay"]},
}


@dataclass
class Told:
    """A sink that keeps what it is told."""

    name: str = "told"
    messages: list[Message] = field(default_factory=list)

    def tell(self, message: Message) -> None:
        self.messages.append(message)


@functools.cache
def _empty_registry() -> bytes:
    """MLflow's database before anything is in it: making one takes more than a second."""
    with tempfile.TemporaryDirectory() as place:
        MlflowClient(f"sqlite:///{place}/mlflow.db").search_experiments()
        return Path(place, "mlflow.db").read_bytes()


def lay_registry(at: Locations) -> None:
    """Put an empty registry where there is none yet."""
    place = Path(at.tracking_uri.removeprefix("sqlite:///"))
    if at.tracking_uri.startswith("sqlite:///") and not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(_empty_registry())


def short_model(folder: Path, name: str = "taxi", **changes: Any) -> ModelFolder:
    """A copy of the taxi folder with short windows, and with other parts of config.yaml where they are given."""
    path = folder / "models" / name
    if not path.exists():
        shutil.copytree(TAXI, path, ignore=shutil.ignore_patterns("__pycache__"))
        config = yaml.safe_load((path / "config.yaml").read_text()) | SHORT | changes
        (path / "config.yaml").write_text(yaml.safe_dump(config))
    return load_model_folder(path)


def land(model: ModelFolder, at: Locations, *numbers: int, stream: DemoStream = STREAM) -> None:
    """Let batches arrive, counted from 1."""
    lay_registry(at)
    for number in numbers:
        stream.land(Path(at.landing) / model.id, number)


def run(model: ModelFolder, at: Locations, *numbers: int, stream: DemoStream = STREAM) -> None:
    """Let batches arrive and take them through the loop."""
    for number in numbers:
        land(model, at, number, stream=stream)
        Runner(model, at, sinks=()).run_batch(model.config.calendar.name(number - 1))


def begun(place: Path, batches: int) -> tuple[ModelFolder, Locations]:
    """The loop after its first batches: run once a process, and copied to a place of its own.

    :param batches: how many, from the first.
    """
    copy_run(_begin(batches), place)
    return short_model(place), Locations.under(place)


@functools.cache
def _begin(batches: int) -> Path:
    place = kept_folder()
    model, at = begun(place, batches - 1) if batches > 1 else (short_model(place), Locations.under(place))
    run(model, at, batches)
    return place


def kept_folder() -> Path:
    """A folder that is there as long as this process."""
    place = Path(tempfile.mkdtemp(prefix="evergreen-begun-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place


def copy_run(before: Path, now: Path) -> None:
    """Copy all that a loop has, and let its registry name the files that were copied with it."""
    shutil.copytree(before, now, dirs_exist_ok=True)
    with closing(sqlite3.connect(now / "mlflow.db")) as database, database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for _, column, kind, *_ in database.execute(f"PRAGMA table_info({table})").fetchall():
                if "CHAR" in kind or "TEXT" in kind:
                    change = f"UPDATE {table} SET {column} = replace({column}, ?, ?) WHERE instr({column}, ?)"
                    database.execute(change, (str(before), str(now), str(before)))


def load_version(stores: Stores, version: int) -> PackedModel:
    """A version as it was promoted."""
    promotions = stores.ledger.all(PromotionRecord, "champion")
    return stores.models.load_promoted(next(one for one in promotions if one.version == version))


def take_labels(model: ModelFolder, at: Locations, batch: str) -> None:
    """Take in and validate the labels of a batch."""
    ingest_batch(model, at, batch, "labels")
    validate_batch(model, at, batch, "labels")


def fingerprint(model: ModelFolder, at: Locations, up_to: str = "9999") -> dict[str, str]:
    """All that a run left: each partition's rows, each record without its ``meta``, the registry.

    :param up_to: the last batch whose traces count.
    """
    return tables(model, at, up_to) | records(model, at, up_to) | registry(model, at) | shown(model, at)


def tables(model: ModelFolder, at: Locations, up_to: str = "9999") -> dict[str, str]:
    """Hash of each partition's rows, by table, batch and, above 0, revision."""
    found = {}
    uri = f"{at.lake}/tables/{at.env}/{model.id}"
    for folder in obstore.list_with_delimiter(open_store(uri))["common_prefixes"]:
        rows = DeltaTable(f"{uri}/{folder}").to_pandas()
        for (batch, revision), part in rows.groupby(["batch", "revision"]):
            if str(batch) <= up_to:
                text = part.sort_values(list(part.columns)).to_csv(index=False)
                place = f"{folder}/{batch}{f'.{revision}' if revision else ''}"
                found[place] = hashlib.sha256(text.encode()).hexdigest()
    return found


def records(model: ModelFolder, at: Locations, up_to: str = "9999") -> dict[str, str]:
    """Each record without its ``meta``, by its place in the ledger.

    Data versions are named by their content and written by whoever reads first, so of a span their names in the other
    records count, not they themselves. The bytes of an estimator's file differ from dump to dump, so hashes do
    not count.
    """
    found = {}
    store = open_store(f"{at.lake}/ledger/{at.env}/{model.id}")
    for path in sorted(one["path"] for chunk in obstore.list(store) for one in chunk):
        body = json.loads(bytes(obstore.get(store, path).bytes()))
        # What was packed is on record once more where a run was killed before MLflow had it.
        if path.startswith("packed/"):
            continue
        if body["as_of"] <= up_to and not (path.startswith("data/") and up_to < "9999"):
            body = {name: value for name, value in body.items() if name not in ("meta", "hashes")}
            found[path] = json.dumps(body, sort_keys=True)
    return found


def registry(model: ModelFolder, at: Locations) -> dict[str, str]:
    """Alias, promotion tag, and the versions with their tags."""
    store = ModelStore(at.tracking_uri, at.artifacts, at.env, model.id)
    version, promotion = store.champion()
    found = {"alias": f"{version} by promotion {promotion}"}
    for one in store._client.search_model_versions(f"name = '{store.name}'"):
        found[f"version {one.version}"] = json.dumps(dict(one.tags), sort_keys=True)
    return found


def shown(model: ModelFolder, at: Locations) -> dict[str, str]:
    """What MLflow shows beside each version: its card, and its live numbers, which grow by each check."""
    store, found = ModelStore(at.tracking_uri, at.artifacts, at.env, model.id), {}
    for one in store._client.search_model_versions(f"name = '{store.name}'"):
        for name in ("live_mae", "live_rows"):
            points = [(p.step, p.timestamp, p.value) for p in store._client.get_metric_history(one.run_id, name)]
            found[f"{name} of version {one.version}"] = json.dumps(points)
        if store.pages.has_card(one.run_id):
            card = mlflow.artifacts.load_text(f"runs:/{one.run_id}/{CARD}")
            found[f"card of version {one.version}"] = card
    return found
