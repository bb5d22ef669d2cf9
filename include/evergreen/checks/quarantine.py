"""Clean rows and quarantine are written: the two tables that the rows of an arrival go to."""

from evergreen.checks.kept_statistics import keep_statistics
from evergreen.checks.validating import ValidatedBatch
from evergreen.config.model_folder import ModelFolder
from evergreen.features.reading import partition_of
from evergreen.records import BatchRecord
from evergreen.storage.lake import describe
from evergreen.storage.pieces import ROWS
from evergreen.storage.stores import Stores

_CLEAN = {"rows": "clean", "labels": "labels"}


def write_clean_and_quarantine(
    model: ModelFolder, stores: Stores, record: BatchRecord, validated: ValidatedBatch
) -> None:
    """Put the clean and the quarantined rows of an arrival in their tables; they count once their record stands.

    The statistics of many clean rows are kept beside them.

    :param record: which is not put yet.
    """
    facts = describe(model=model.id, feed=record.feed, code=model.code_version)
    for table, rows in ((f"quarantine_{record.feed}", validated.quarantine), (_CLEAN[record.feed], validated.clean)):
        written = rows.__iter__ if rows.num_rows > ROWS else rows.read()
        stores.lake.replace(table, record.batch, record.revision, written, facts)
    columns = model.config.rows.columns if record.feed == "rows" else model.config.label_columns
    keep_statistics(stores, partition_of(record), validated.clean, record.clean, columns, validated.statistics)
