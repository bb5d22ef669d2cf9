"""Which columns together name a row."""

import re
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from evergreen.scaffold.profile_columns import ColumnFacts
from evergreen.scaffold.read_files import HistoryFiles

NAMES_A_ROW = re.compile(r"(^|_)(id|key|uuid|guid|no|nr|number|instant|index|row)$", re.IGNORECASE)
_WIDEST, _POOL, _MOST = 3, 12, 3
# Beyond this share of rows, copies are no dirt.
COPIES = 0.01


@dataclass(frozen=True)
class Copies:
    """How often a key stands more than once.

    :param all: rows whose key stands in an earlier row.
    :param equal: those of them that are equal to it in every column.
    :param example: a key that stands twice in rows that differ.
    """

    all: int
    equal: int
    example: str


def count_copies(files: HistoryFiles, key: tuple[str, ...]) -> Copies:
    """Count the rows that a key does not name alone."""
    texts = files.texts
    copied = texts.duplicated(list(key))
    equal = int((copied & texts.duplicated()).sum()) if copied.any() else 0
    example = ""
    if copied.sum() > equal:
        first = texts.loc[copied & ~texts.duplicated(), list(key)].iloc[0]
        example = ", ".join(f"{name} {value}" for name, value in first.items())
    return Copies(int(copied.sum()), equal, example)


def find_keys(
    files: HistoryFiles, columns: dict[str, ColumnFacts], without: set[str]
) -> tuple[list[tuple[str, ...]], int]:
    """The sets of columns that name a row: one column, or else up to three together.

    :param without: columns that are not to be in it, such as the target.
    :returns: up to three sets, the likeliest first, and how many rows are copies of another in every column.
    """
    texts = files.texts
    whole = ~texts.duplicated()
    copies = int((~whole).sum())
    if copies > COPIES * len(texts):
        return [], copies
    pool = [facts for facts in columns.values() if facts.name not in without and _can_name(facts)]
    single = [facts for facts in pool if texts.loc[whole, facts.name].is_unique]
    if single:
        single.sort(key=lambda facts: (not NAMES_A_ROW.search(facts.name), facts.is_date))
        return [(facts.name,) for facts in single[:_MOST]], copies
    pool = sorted(pool, key=lambda facts: -facts.distinct)[:_POOL]
    codes = {facts.name: pd.factorize(texts.loc[whole, facts.name])[0].astype(np.int64) for facts in pool}
    found: list[tuple[str, ...]] = []
    for width in range(2, _WIDEST + 1):
        for parts in combinations(pool, width):
            names = tuple(facts.name for facts in parts)
            if np.prod([float(facts.distinct) for facts in parts]) < whole.sum():
                continue
            if _names_rows([codes[name] for name in names]):
                found.append(tuple(name for name in columns if name in names))
            if len(found) == _MOST:
                return found, copies
        if found:
            break
    return found, copies


def _can_name(facts: ColumnFacts) -> bool:
    declarable = facts.type is not None and facts.type.type not in ("float", "boolean")
    unusable = facts.left_out is not None and facts.left_out.kind != "ids"
    return declarable and not unusable and not facts.missing and not facts.failed


def _names_rows(codes: list[np.ndarray]) -> bool:
    joined = codes[0]
    for code in codes[1:]:
        joined = pd.factorize(joined * (int(code.max()) + 1) + code)[0].astype(np.int64)
    return len(joined) == int(joined.max()) + 1
