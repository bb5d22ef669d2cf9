"""A version reads under its own schema; where today's has outgrown it, a new generation begins."""

from dataclasses import replace

from evergreen.config.data_schema import DataSchema, LabelSchema
from evergreen.config.fields import ColumnType
from evergreen.records import BatchRecord
from evergreen.storage.columns import kinds_of, lacking


def sealed_schema(today: DataSchema, rows: BatchRecord, labels: BatchRecord | None) -> DataSchema:
    """The schema under which a batch was sealed, as far as its records tell."""
    columns = {name: ColumnType.model_validate({"type": kind}) for name, kind in rows.columns.items()}
    label_kinds = {name: kind for name, kind in (labels.columns if labels else {}).items() if name not in rows.columns}
    target = None
    for name, kind in label_kinds.items():
        target = LabelSchema(name, ColumnType.model_validate({"type": kind}), 0)
    return replace(today, columns=columns, labels=target).answering(today)


def missing_columns(today: DataSchema, model_schema: DataSchema) -> list[str]:
    """Columns that a version reads and today's schema no longer has; empty if it can read the rows.

    :param model_schema: the version's, answering to today's names.
    """
    return lacking(model_schema.columns, kinds_of(today.columns))


def unpredicted(today: DataSchema, model_schema: DataSchema) -> list[str]:
    """Today's target, where a version predicts another."""
    return lacking(today.target, kinds_of(model_schema.target)) if model_schema.labels is not None else []


def outgrown(today: DataSchema, model_schema: DataSchema) -> list[str]:
    """Columns that keep a schema from being of today's generation: one of the two cannot be read under the other."""
    return (
        lacking(today.columns, kinds_of(model_schema.columns))
        + missing_columns(today, model_schema)
        + unpredicted(today, model_schema)
    )
