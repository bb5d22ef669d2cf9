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
# Beyond this share of rows, copies are no dirt; and a key that as many rows share with another is none.
COPIES, _SHARED = 0.01, 0.005


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


def tell_key(files: HistoryFiles, key: tuple[str, ...]) -> str:
    """What speaks for a key."""
    copies, rows = count_copies(files, key), files.rows.num_rows
    differ = copies.all - copies.equal
    return f"names all but {differ:,} of {rows:,} rows" if differ else f"no two of {rows:,} rows alike"


def find_keys(
    files: HistoryFiles, columns: dict[str, ColumnFacts], without: set[str]
) -> tuple[list[tuple[str, ...]], int]:
    """The sets of columns that name a row: one column, or else up to three together; at last what names nearly all.

    An hour that comes twice as summer time ends leaves no key whole. Numbers that hardly come twice are measures.

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
    near: list[tuple[str, ...]] = []
    for width in range(1, _WIDEST + 1):
        found: list[tuple[str, ...]] = []
        for parts in combinations(pool, width):
            key = tuple(name for name in columns if name in {facts.name for facts in parts})
            if np.prod([float(facts.distinct) for facts in parts]) < (1 - _SHARED) * whole.sum():
                continue
            shared = _count_shared([codes[name] for name in key])
            if not shared:
                found.append(key)
            elif not near and shared <= _SHARED * whole.sum() and _may_nearly_name(parts):
                near.append(key)
            if len(found) == _MOST:
                break
        if found:
            return found, copies
    return near, copies


def _may_nearly_name(parts: tuple[ColumnFacts, ...]) -> bool:
    """Whether a time or an id is among the columns, and no measure."""
    ids = [facts.is_date or bool(NAMES_A_ROW.search(facts.name)) for facts in parts]
    return any(ids) and all(one or not facts.is_number for one, facts in zip(ids, parts, strict=True))


def _can_name(facts: ColumnFacts) -> bool:
    declarable = facts.type is not None and facts.type.type not in ("float", "boolean")
    unusable = facts.left_out is not None and facts.left_out.kind != "ids"
    return declarable and not unusable and not facts.missing and not facts.failed


def _count_shared(codes: list[np.ndarray]) -> int:
    """Rows whose values in all columns stand in an earlier row, too."""
    joined = codes[0]
    for code in codes[1:]:
        joined = pd.factorize(joined * (int(code.max()) + 1) + code)[0].astype(np.int64)
    return len(joined) - int(joined.max()) - 1
