"""Input drift: Evidently's distances, against thresholds calibrated on the champion's reference.

Evidently's default thresholds are not a verdict: on small batches they flag most unchanged columns. A threshold here is
the distance that batches without a change stay below, measured on the reference at the batch's own size.
"""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from evidently.legacy.calculations.stattests import jensenshannon_stat_test, wasserstein_stat_test
from evidently.legacy.core import ColumnType as EvidentlyType

from include.config.contract import ModelConfig

PREDICTION = "prediction"
_FILE = "reference.json"
_POINTS = 1001
_RESAMPLES = 100
_OWN_BATCHES = 50
_LEVEL = 0.99
_FLOORS = {"distance": 0.1, "missing": 0.05}
_NUMERIC = ("float", "integer")
_CATEGORICAL = ("category", "boolean")


@dataclass(frozen=True)
class Reference:
    """What the champion learnt from, as statistics: no row of it is kept.

    :param columns: by column, ``{"quantiles": (points,)}`` or ``{"counts": {category: rows}}``, and the share missing.
    :param thresholds: by column and ``<column> missing``, the largest distance that is no drift, at ``rows`` rows.
    :param rows: rows of the batches at which the thresholds hold.
    """

    columns: dict[str, dict[str, Any]]
    thresholds: dict[str, float]
    rows: int

    @cached_property
    def samples(self) -> dict[str, pd.Series]:
        """By column, values that stand for the reference: its quantiles, or each category as often as it was seen."""
        return {name: _expand(described) for name, described in self.columns.items()}

    def threshold(self, name: str, rows: int) -> float:
        """The threshold for a batch of another size: sampling noise shrinks with the root of the rows."""
        floor = _FLOORS["missing" if name.endswith(" missing") else "distance"]
        return max(floor, self.thresholds[name] * float(np.sqrt(self.rows / max(rows, 1))))

    def save(self, folder: Path) -> None:
        """Write it into a packed model."""
        (folder / _FILE).write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Reference":
        """Read it from a packed model."""
        return cls(**json.loads((folder / _FILE).read_text(encoding="utf-8")))


def watched_columns(config: ModelConfig) -> list[str]:
    """Columns whose distribution is compared: numbers and categories, but for key, event time and ignored ones."""
    left_out = {*config.rows.key, config.rows.event_time, *config.check.ignore}
    watched = _NUMERIC + _CATEGORICAL
    return [name for name, column in config.rows.columns.items() if column.type in watched and name not in left_out]


def build_reference(
    rows: pd.DataFrame, categorical: set[str], columns: list[str], batches: pd.Series, batch_rows: int, seed: int
) -> Reference:
    """Describe the rows a champion learnt from, and calibrate what distance is no drift.

    From 50 batches on, the reference's own batches say how far batches lie apart; before, resamples of the batch's size
    against resamples of the reference do. The columns' 99th percentiles are then widened together, so that about one
    batch in a hundred is flagged as a whole.

    :param rows: (n, columns) the reference, the predictions among them.
    :param categorical: the columns that hold categories.
    :param columns: columns to describe.
    :param batches: (n,) the batch of each row.
    :param batch_rows: rows of a typical batch.
    :param seed: of the resamples.
    """
    described = {name: _describe(rows[name], name in categorical) for name in columns}
    reference = Reference(described, {}, batch_rows)
    if batches.nunique() >= _OWN_BATCHES:
        samples = [part for _, part in rows.groupby(batches.to_numpy())]
        seen = [measure_distances(reference, sample) for sample in samples]
        batch_rows = int(np.median([len(sample) for sample in samples]))
    else:
        random, seen = np.random.default_rng(seed), []
        for _ in range(_RESAMPLES):
            # The reference is a sample itself: against a fixed one, a batch seems nearer than it will be.
            drawn = rows.iloc[random.integers(0, len(rows), len(rows))]
            other = Reference({name: _describe(drawn[name], name in categorical) for name in columns}, {}, batch_rows)
            seen.append(measure_distances(other, rows.iloc[random.integers(0, len(rows), batch_rows)]))
    limits = {name: max(float(np.quantile([s[name] for s in seen], _LEVEL)), 1e-6) for name in seen[0]}
    widest = [max(sample[name] / limits[name] for name in limits) for sample in seen]
    widen = max(1.0, float(np.quantile(widest, _LEVEL)))
    return Reference(described, {name: limit * widen for name, limit in limits.items()}, batch_rows)


def measure_distances(reference: Reference, current: pd.DataFrame) -> dict[str, float]:
    """Distances of a batch from the reference: Wasserstein in standard deviations for numbers, Jensen-Shannon for
    categories, and beside each the change in the share of missing values.

    :param current: (rows, columns).
    """
    distances = {}
    for name, described in reference.columns.items():
        distances[name] = _distance(reference.samples[name], current[name], "counts" in described)
        distances[f"{name} missing"] = abs(float(current[name].isna().mean()) - described["missing"])
    return distances


def _describe(values: pd.Series, categorical: bool) -> dict[str, Any]:
    missing = float(values.isna().mean())
    present = values.dropna()
    if categorical:
        counts = present.astype(str).value_counts().sort_index()
        return {"counts": {name: int(count) for name, count in counts.items()}, "missing": missing}
    points = np.linspace(0, 1, _POINTS)
    numbers = present.to_numpy(dtype=float)
    quantiles = np.quantile(numbers, points) if len(numbers) else np.array([])
    return {"quantiles": [float(q) for q in quantiles], "missing": missing}


def _expand(described: dict[str, Any]) -> pd.Series:
    if "counts" in described:
        counts = described["counts"]
        return pd.Series(np.repeat(list(counts), list(counts.values())), dtype=object)
    return pd.Series(described["quantiles"], dtype=float)


def _distance(reference: pd.Series, values: pd.Series, categorical: bool) -> float:
    """Evidently's own value; 0 where one side has nothing to compare (its share of missing values then tells)."""
    present = values.dropna().astype(str if categorical else float)
    if present.empty or reference.empty:
        return 0.0
    test, kind = wasserstein_stat_test, EvidentlyType.Numerical
    if categorical:
        test, kind = jensenshannon_stat_test, EvidentlyType.Categorical
    return float(test.func(reference, present, kind, test.default_threshold)[0])
