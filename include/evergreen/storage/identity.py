"""What names a model's batches and rows: put on record once, and held against the model folder from then on."""

from collections.abc import Iterator
from typing import NoReturn

from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import IdentityChanged
from evergreen.records import BatchRecord, Feed, IdentityRecord
from evergreen.storage.ledger import Ledger


def put_identity(model: ModelFolder, at: Locations, ledger: Ledger, feed: Feed, batch: str) -> None:
    """Put on record what names the model's batches and rows, before a batch is.

    :param batch: the batch that is to be recorded; those before it are.
    :raises IdentityChanged: if somebody else was faster with another folder, or the ledger is older than such records
        and its first batch is another.
    """
    identity = _identity_of(model, at)
    first = identity.as_of
    if batch != first and ledger.get(BatchRecord, f"{feed}.{first}") is None:
        _refuse(model, at, [f"schedule.start: found {first}, where no batch is on record; valid: the start it had"])
    ledger.put(identity)
    require_identity(model, at, ledger)


def require_identity(model: ModelFolder, at: Locations, ledger: Ledger) -> None:
    """Refuse a model folder that names batches or rows otherwise than those on record; where none are, it may.

    :raises IdentityChanged: naming each field of config.yaml, what it says, what is on record and what is valid.
    """
    standing = ledger.get(IdentityRecord, "model")
    problems = list(_changes(model, _identity_of(model, at), standing)) if standing is not None else []
    if problems:
        _refuse(model, at, problems)


def _refuse(model: ModelFolder, at: Locations, problems: list[str]) -> NoReturn:
    told = "\n".join(f"model {model.id}, {model.path / 'config.yaml'}: {problem}" for problem in problems)
    raise IdentityChanged(
        f"{told}\nWrite what is on record. A model with other batches, an earlier start or another key is a "
        f"new one: give the folder another name, or the deployment another EVERGREEN_ENV than {at.env}"
    )


def _identity_of(model: ModelFolder, at: Locations) -> IdentityRecord:
    config = model.config
    return IdentityRecord(
        as_of=config.calendar.name(0), model=model.id, env=at.env, every=config.schedule.every, key=config.rows.key
    )


def _changes(model: ModelFolder, now: IdentityRecord, standing: IdentityRecord) -> Iterator[str]:
    """What a folder says otherwise than the record."""
    if (now.env, now.model) != (standing.env, standing.model):
        yield (
            f"the ledger of {now.env}/{now.model} was written for {standing.env}/{standing.model}, by which MLflow "
            "names its versions; valid: EVERGREEN_ENV and the folder's name as they were"
        )
    if now.every != standing.every:
        yield f"schedule.every: found {now.every}; on record: {standing.every}, by which batches are named"
    elif now.as_of != standing.as_of:
        yield (
            f"schedule.start: found {now.as_of}; on record: {standing.as_of}, from which batches are counted "
            "(`training.window` says how far back is learnt from)"
        )
    names = [(name, *model.config.rows.columns[name].renamed_from) for name in now.key]
    if len(names) != len(standing.key) or any(old not in one for old, one in zip(standing.key, names, strict=True)):
        yield (
            f"rows.key: found {list(now.key)}; on record: {list(standing.key)}, by which rows find their labels and "
            "predictions; valid: these in this order, a renamed one with its old names under renamed_from"
        )
