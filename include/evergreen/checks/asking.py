"""Asking the expectations of a batch, however many rows it has.

What statistics and a pass over the rows do not show to hold is asked of Great Expectations: of many rows in pieces,
where each row is told by itself, else of the columns that it reads at once.
"""

import itertools
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from evergreen.checks.expectations import Failure, check_expectations
from evergreen.checks.proving import BY_ROW, BY_SCHEMA, Proof, columns_of, find_unproven
from evergreen.config.expectations_config import ExpectationConfig
from evergreen.config.fields import ColumnType
from evergreen.features.batch_statistics import Statistics
from evergreen.storage.content import ContentHash, content_hash
from evergreen.storage.frames import piece_to_frame, to_frame
from evergreen.storage.pieces import ROWS
from evergreen.storage.set_aside import SetAside

# Pieces that the library is asked of at once: being asked costs it as much as some 100,000 rows.
_AT_ONCE = 8
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """What came of asking.

    :param failures: by expectation; their rows are places.
    :param content: hash of the rows that were asked.
    :param statistics: of these, where there are many.
    """

    failures: list[Failure]
    content: str
    statistics: Statistics | None


def ask(
    rows: SetAside,
    left_out: np.ndarray,
    columns: Mapping[str, ColumnType],
    expected: tuple[ExpectationConfig, ...],
    path: Path,
) -> Asked:
    """Ask expectations of rows; where there are none, nothing is asked.

    :param left_out: (n,) places of the rows that are not asked, sorted.
    :param columns: declared columns.
    :param path: expectations.yaml, for messages.
    :raises ConfigInvalid: if an expectation is unknown, or cannot be asked of these columns.
    """
    count = rows.num_rows - len(left_out)
    if count <= ROWS:
        few, places = _join(rows.without(left_out))
        failures = check_expectations([to_frame(few)], expected, path) if count and expected else []
        return Asked([_at(failure, places) for failure in failures], content_hash(few), None)
    counted, content, proof = Statistics(columns), ContentHash(), Proof(expected)
    for piece, _ in rows.without(left_out):
        counted.add(piece)
        content.update(piece)
        proof.add(piece)
    unproven = find_unproven(piece.schema, counted, proof, expected, path)
    failures = _ask_many(rows, left_out, counted, unproven, path)
    return Asked(sorted(failures, key=lambda failure: failure.expectation), content.hexdigest(), counted)


def _ask_many(
    rows: SetAside, left_out: np.ndarray, counted: Statistics, asked: tuple[ExpectationConfig, ...], path: Path
) -> list[Failure]:
    names, failures = list(counted.columns), list[Failure]()
    alone = tuple(one for one in asked if one.type in BY_ROW)
    if alone:
        failures += check_expectations(_frames(rows, left_out, counted, columns_of(alone, names)), alone, path)
    schema = tuple(one for one in asked if one.type in BY_SCHEMA)
    if schema:
        failures += check_expectations(itertools.islice(_frames(rows, left_out, counted, names), 1), schema, path)
    for one in asked:
        if one.type in (*BY_ROW, *BY_SCHEMA):
            continue
        read = columns_of((one,), names)
        _logger.info("%s: %s is asked of %s rows at once, of %s", path, one.type, f"{counted.rows:,}", ", ".join(read))
        whole = pa.concat_tables(piece.select(read) for piece, _ in rows.without(left_out))
        failures += check_expectations([to_frame(whole)], (one,), path)
    standing = np.delete(np.arange(rows.num_rows), left_out) if failures else left_out
    return [_at(failure, standing) for failure in failures]


def _frames(rows: SetAside, left_out: np.ndarray, counted: Statistics, names: list[str]) -> Iterator[pd.DataFrame]:
    """Some columns of many rows as the library is asked of them, each frame as it stands in the frame of them all."""
    nullable = [name for name in names if counted.columns[name].missing]
    held: list[pa.Table] = []
    for piece, _ in rows.without(left_out):
        held.append(piece.select(names))
        if len(held) == _AT_ONCE:
            yield piece_to_frame(pa.concat_tables(held), nullable)
            held = []
    if held:
        yield piece_to_frame(pa.concat_tables(held), nullable)


def _join(pieces: Iterator[tuple[pa.Table, np.ndarray]]) -> tuple[pa.Table, np.ndarray]:
    tables, places = zip(*pieces, strict=True)
    return pa.concat_tables(tables).combine_chunks(), np.concatenate(places)


def _at(failure: Failure, places: np.ndarray) -> Failure:
    return replace(failure, rows=places[failure.rows])
