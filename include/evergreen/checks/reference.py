"""Input drift: what the champion learnt from, as statistics, with the thresholds that are calibrated on it.

A library's default thresholds are not a verdict: on small batches they flag most unchanged columns. A threshold here is
the distance that batches without a change stay below, measured on the reference at the batch's own size.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evergreen.checks.calendar_columns import find_followed
from evergreen.checks.divergences import (
    FLOORS,
    SQUARED,
    bin_edges,
    cell_bounds,
    compare_cells,
    count_categories,
    find_cells,
    read_numbers,
    spread_of,
    within_reach,
)
from evergreen.checks.thresholds import Cells, calibrate, shrink
from evergreen.config.contract import ModelConfig
from evergreen.config.data_schema import DataSchema
from evergreen.features.batch_statistics import PREDICTION

REFERENCE_FILE = "reference.json"
_POINTS = 1001
# Rows of a resample: for batches of more the limits are those of so many.
SAMPLE = 10_000
_NUMERIC = ("float", "integer")
_CATEGORICAL = ("category", "boolean")


@dataclass(frozen=True)
class Reference:
    """What the champion learnt from, as statistics: no row of it is kept.

    :param columns: by column, ``{"quantiles": (points,)}`` or ``{"counts": {category: rows}}``, the share missing, the
        divergence if it is not its type's default, and the parts of the event time that it follows.
    :param thresholds: by column and ``<column> missing``, the largest distance that sampling explains at ``rows`` rows.
    :param rows: rows of the batches at which the thresholds hold.
    :param size: rows that were learnt from.
    :param spread: by the same names, what unchanged batches lie apart beyond sampling.
    :param furthest: by the same names, more than which that is never taken to be.
    :param batches: by the same names, the whole batches that this is known from.
    :param together: by the same names, the share of it that neighbouring batches have in common.
    :param growth: by the same names, how much further for each batch that the champion ages.
    """

    columns: dict[str, dict[str, Any]]
    thresholds: dict[str, float]
    rows: int
    size: int
    spread: dict[str, float] = field(default_factory=dict)
    furthest: dict[str, float] = field(default_factory=dict)
    batches: dict[str, int] = field(default_factory=dict)
    together: dict[str, float] = field(default_factory=dict)
    growth: dict[str, float] = field(default_factory=dict)

    def threshold(self, name: str, rows: int, age: int = 0, batches: float = 1.0) -> float:
        """The threshold for so many rows: sampling noise shrinks with them, what else parts batches not.

        :param age: batches since the last one learnt from.
        :param batches: that the rows come from.
        """
        return max(self.limits(name, rows, age, batches).values())

    def limits(self, name: str, rows: int, age: int = 0, batches: float = 1.0) -> dict[str, float]:
        """What a threshold is the largest of: the floor, and what sampling, the spread of batches and age add up to."""
        measured = self.measured(name)
        power = 1 if measured in SQUARED else 2
        at, rows = (self.rows, rows) if measured == "missing" else (min(self.rows, SAMPLE), min(rows, SAMPLE))
        sampling = self.thresholds[name] ** power * shrink(rows, at, self.size)
        learnt, together = max(self.batches[name], 1), self.together.get(name, 1.0)
        # Of what batches lie apart some averages out over several; how far the reference itself is off does not.
        share = (together + (1 - together) / batches + 1 / learnt) / (1 + 1 / learnt)
        apart = self.spread.get(name, 0.0) ** power * share
        both = sampling + (min(apart, self.furthest[name] ** power) if apart else 0.0)
        # No further than the halves of the reference lie apart: nobody has seen the column move on.
        aged = both**0.5 + self.growth.get(name, 0.0) * min(max(age, 0), learnt / 2)
        return {
            "floor": FLOORS[measured],
            "sampling": sampling ** (1 / power),
            "batches": both ** (1 / power),
            "age": aged ** (2 / power),
        }

    def measured(self, name: str) -> str:
        """By which measure a name of the thresholds is told."""
        if name not in self.columns:
            return "missing"
        described = self.columns[name]
        return str(described.get("divergence", default_divergence("counts" in described)))

    def only(self, names: list[str]) -> "Reference":
        """The same of some columns."""
        return replace(self, columns={name: self.columns[name] for name in names})

    def save(self, folder: Path) -> None:
        """Write it into a packed model."""
        (folder / REFERENCE_FILE).write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def parse(cls, content: bytes) -> "Reference":
        """Read it from its file in a packed model."""
        return cls(**json.loads(content))


def default_divergence(categorical: bool) -> str:
    """What columns are compared by where config.yaml says nothing."""
    return "jensenshannon" if categorical else "wasserstein"


def watched_columns(schema: DataSchema, config: ModelConfig) -> list[str]:
    """Columns whose distribution is compared: numbers and categories, but for key, event time and ignored ones.

    :param schema: the version's.
    :param config: says what is ignored, under today's names.
    """
    today = config.data_schema
    left_out = {*schema.key, schema.event_time, *(schema.name_then(name, today) for name in config.check.ignore)}
    watched = _NUMERIC + _CATEGORICAL
    return [name for name, column in schema.columns.items() if column.type in watched and name not in left_out]


def build_reference(
    rows: pd.DataFrame,
    categorical: set[str],
    columns: list[str],
    batches: pd.Series,
    batch_rows: int,
    seed: int,
    *,
    divergences: dict[str, str] | None = None,
    at: pd.Series | None = None,
) -> Reference:
    """Describe the rows a champion learnt from, and calibrate what distance is no drift.

    :param rows: (n, columns) the reference, the predictions among them.
    :param categorical: the columns that hold categories.
    :param columns: columns to describe.
    :param batches: (n,) the batch of each row; names sort as time does.
    :param batch_rows: rows of a typical batch.
    :param seed: of the resamples.
    :param divergences: by column, what it is compared by instead of its type's default.
    :param at: (n,) event times; None for none, and no column follows them.
    """
    described = {name: _describe(rows[name], name in categorical) for name in columns}
    for name, divergence in (divergences or {}).items():
        if name in described:
            described[name]["divergence"] = divergence
    if at is not None:
        given = [name for name in columns if name != PREDICTION]
        for name, followed in find_followed(rows, given, at, batches).items():
            described[name]["follows"] = followed
    reference = Reference(described, {}, batch_rows, len(rows))
    cells: dict[str, Cells] = {}
    codes = pd.factorize(batches.to_numpy(), sort=True)[0]
    for name in columns:
        cells |= _count_cells(reference, name, rows[name], codes)
    limits = calibrate(cells, seed)
    return replace(
        reference,
        thresholds={name: limit.noise for name, limit in limits.items()},
        spread={name: limit.spread for name, limit in limits.items() if limit.spread},
        furthest={name: limit.furthest for name, limit in limits.items() if limit.spread},
        batches={name: limit.batches for name, limit in limits.items()},
        together={name: limit.together for name, limit in limits.items() if limit.spread},
        growth={name: limit.growth for name, limit in limits.items() if limit.growth},
    )


def _describe(values: pd.Series, categorical: bool) -> dict[str, Any]:
    if categorical:
        missing = float(values.isna().mean()) if len(values) else 0.0
        return {"counts": count_categories(values), "missing": missing}
    numbers = np.sort(read_numbers(values))
    missing = 1 - len(numbers) / len(values) if len(values) else 0.0
    if not len(numbers):
        return {"quantiles": [], "missing": missing}
    at = np.linspace(0, len(numbers) - 1, _POINTS)
    # Between whole numbers there is nothing; between others, what lies between.
    whole = bool((numbers == np.floor(numbers)).all())
    quantiles = numbers[np.round(at).astype(int)] if whole else np.interp(at, np.arange(len(numbers)), numbers)
    return {"quantiles": [float(q) for q in quantiles], "missing": missing}


def _count_cells(reference: Reference, name: str, values: pd.Series, codes: np.ndarray) -> dict[str, Cells]:
    """How often a column has each value in each batch, numbers by the nearest quantile, and how often none."""
    described, batches = reference.columns[name], int(codes.max()) + 1
    points: np.ndarray | None = None
    edges: np.ndarray | None = None
    scale = 1.0
    if "counts" in described:
        names = {one: i for i, one in enumerate(described["counts"])}
        kinds, uniques = pd.factorize(values)
        # Category, boolean or text: each unique value is named once.
        positions = np.array([names[str(one)] for one in uniques], dtype=int)[kinds] if len(uniques) else kinds
        there, cells = kinds >= 0, max(len(names), 1)
    else:
        quantiles = np.array(described["quantiles"] or [0.0])
        quantiles = within_reach(quantiles, quantiles)
        scale, edges = spread_of(quantiles), bin_edges(quantiles)
        points = find_cells(quantiles)
        numbers = values.to_numpy(dtype=float, na_value=np.nan)
        there, cells = np.isfinite(numbers), len(points)
        positions = np.searchsorted(cell_bounds(points), np.where(there, numbers, 0.0))
    counts = np.bincount(codes[there] * cells + positions[there], minlength=batches * cells).reshape(batches, cells)
    rows, divergence = reference.rows, reference.measured(name)
    compared = round(min(rows, SAMPLE) * (1 - described["missing"]))
    compare = compare_cells(divergence, points, scale, edges)
    present = np.stack([np.bincount(codes[there], minlength=batches), np.bincount(codes[~there], minlength=batches)], 1)
    return {
        name: Cells(divergence, counts, compare, compared),
        f"{name} missing": Cells("missing", present, compare_cells("missing", None, 1.0), rows),
    }
