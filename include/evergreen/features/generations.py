"""A version reads through its own contract, however the model's has grown since; a contract that it cannot follow
begins a new generation.
"""

from typing import Any

from evergreen.config.contract import ModelConfig
from evergreen.config.fields import ColumnType
from evergreen.records import BatchRecord
from evergreen.storage.columns import kinds_of, lacking

Contract = dict[str, Any]


def describe_contract(config: ModelConfig) -> Contract:
    """What of a contract is packed with a version: key, columns and target."""
    return {
        "key": list(config.rows.key),
        "columns": {name: column.type for name, column in config.rows.columns.items()},
        "declared": {name: column.model_dump(mode="json") for name, column in config.rows.columns.items()},
        "target": {name: column.model_dump(mode="json") for name, column in _target(config).items()},
    }


def sealed_contract(rows: BatchRecord, labels: BatchRecord | None) -> Contract:
    """The contract under which a batch was sealed, as far as its records tell."""
    target = {name: {"type": kind} for name, kind in (labels.columns if labels else {}).items()}
    return {"columns": rows.columns, "target": {n: one for n, one in target.items() if n not in rows.columns}}


def contract_of(config: ModelConfig, contract: Contract) -> ModelConfig:
    """Today's config with the key, the columns and the target that a version was made with.

    Each column also answers to the names that today's config gives it, so rows sealed since are read as well.

    :param contract: a packed model's.
    """
    own = {name: ColumnType.model_validate(one) for name, one in contract.get("declared", {}).items()}
    own = own or {name: ColumnType(type=kind) for name, kind in contract["columns"].items()}
    target = {name: ColumnType.model_validate(one) for name, one in contract.get("target", {}).items()}
    names = {today: _name_then(today, column, own) for today, column in config.rows.columns.items()}
    changes: dict[str, object] = {
        "rows": config.rows.model_copy(
            update={
                "key": tuple(contract.get("key", [names[name] for name in config.rows.key])),
                "columns": _answering(own, config.rows.columns),
                "event_time": names[config.rows.event_time],
            }
        ),
        "check": config.check.model_copy(
            update={
                "ignore": tuple(names.get(name, name) for name in config.check.ignore),
                "divergence": {names.get(name, name): one for name, one in config.check.divergence.items()},
            }
        ),
    }
    if config.labels is not None and target:
        changes["labels"] = config.labels.model_copy(update={"target": _answering(target, config.labels.target)})
    return config.model_copy(update=changes)


def unreadable(config: ModelConfig, contract: Contract) -> list[str]:
    """Columns that a version reads and today's contract no longer has; empty if it can read the rows."""
    return lacking(contract_of(config, contract).rows.columns, kinds_of(config.rows.columns))


def unpredicted(config: ModelConfig, contract: Contract) -> list[str]:
    """Today's target, where a version predicts another."""
    return lacking(_target(config), kinds_of(_target(contract_of(config, contract))))


def outgrown(config: ModelConfig, contract: Contract) -> list[str]:
    """Columns that keep a contract from being of today's generation: one of the two cannot be read under the other."""
    held = kinds_of(contract_of(config, contract).rows.columns)
    return lacking(config.rows.columns, held) + unreadable(config, contract) + unpredicted(config, contract)


def _target(config: ModelConfig) -> dict[str, ColumnType]:
    return dict(config.labels.target) if config.labels is not None else {}


def _name_then(today: str, column: ColumnType, own: dict[str, ColumnType]) -> str:
    return next((name for name in (today, *column.renamed_from) if name in own), today)


def _answering(own: dict[str, ColumnType], today: dict[str, ColumnType]) -> dict[str, ColumnType]:
    """Columns of a version that answer to today's names too, each name to one column."""
    taken = {*own, *(old for column in own.values() for old in column.renamed_from)}
    answering = {}
    for name, column in own.items():
        now = next(((one, *c.renamed_from) for one, c in today.items() if name in (one, *c.renamed_from)), ())
        others = tuple(one for one in now if one not in taken)
        answering[name] = column.model_copy(update={"renamed_from": (*column.renamed_from, *others)})
    return answering
