from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from evergreen.checks.reference import build_reference
from evergreen.config.fields import ColumnType
from evergreen.features.batch_statistics import Statistics
from evergreen.replay import batch_profile
from evergreen.replay.batch_profile import ColumnProfile, profile_batch
from evergreen.replay.column_bars import tell_number
from evergreen.storage.columns import arrow_type
from tests.unit.small_loop import ROWS, SmallLoop, day, doubled

RANDOM = np.random.default_rng(3)


def profile(values: list[object], kind: str, before: list[object] | None = None) -> ColumnProfile:
    """A column beside a reference of the values before."""
    declared = {"it": ColumnType.model_validate({"type": kind})}
    counted = Statistics.of([pa.table({"it": pa.array(values, arrow_type(declared["it"]))})], declared)
    described = None
    if before is not None:
        rows = pd.DataFrame({"it": before})
        known = build_reference(rows, {"it"} if kind == "category" else set(), ["it"], rows.index.to_series() % 2, 5, 1)
        described = known.columns["it"]
    return batch_profile._profile("it", kind, counted, described, None)


def test_few_whole_numbers_have_a_bar_each() -> None:
    told = profile([1, 1, 2, 4], "integer", [1, 2, 2, 2])
    assert [(bar.label, bar.now) for bar in told.bars] == [("1", 0.5), ("2", 0.25), ("3", 0.0), ("4", 0.25)]
    assert [round(bar.before or 0, 2) for bar in told.bars] == [0.17, 0.83, 0.0, 0.0]
    assert told.axis == (1.0, 4.0)
    assert (told.least, told.middle, told.most, told.before) == (1.0, 1.5, 4.0, (1.0, 2.0, 2.0))


def test_one_value_far_out_leaves_the_others_apart() -> None:
    told = profile([*RANDOM.normal(20, 1, 999), 1e9], "float", list(RANDOM.normal(20, 1, 1000)))
    assert told.axis is not None
    assert told.axis[1] < 30
    assert told.most == 1e9
    assert max(bar.now for bar in told.bars) < 0.2
    assert sum(bar.now for bar in told.bars) == pytest.approx(1)


def test_many_categories_end_in_one_line() -> None:
    told = profile([*"aaaabbbcc", *"defghij"], "category", [*"aaz"])
    assert [bar.label for bar in told.bars] == ["a", "z", "b", "c", "d", "6 others"]
    assert [bar.rest for bar in told.bars] == [False] * 5 + [True]
    assert told.bars[1].now == 0
    assert sum(bar.now for bar in told.bars) == pytest.approx(1)
    assert sum(bar.before or 0 for bar in told.bars) == pytest.approx(1)


@pytest.mark.parametrize("kind", ["float", "integer", "category", "boolean", "string", "timestamp", "date"])
def test_a_column_without_a_value_is_missing(kind: str) -> None:
    told = profile([None, None], kind)
    assert (told.missing, told.bars, told.distinct or 0) == (1.0, (), 0)


@pytest.mark.parametrize(
    ("value", "told"),
    [(None, ""), (0.0, "0"), (12345.6, "12,346"), (1_000_000.0, "1,000,000"), (0.123456, "0.1235"), (2.5, "2.5")],
)
def test_numbers_are_told_as_people_read_them(value: float | None, told: str) -> None:
    assert tell_number(value) == told


def test_what_was_predicted_and_the_labels_stand_beside_the_columns(tmp_path: Path) -> None:
    loop = SmallLoop.under(tmp_path)
    loop.take(doubled, 1)
    told = profile_batch(loop.model, loop.stores, day(1))
    assert told is not None
    assert (told.record.clean, told.lacking, told.reference, told.problem) == (ROWS, (), None, "")
    columns = {column.name: column for column in told.columns}
    assert {name: column.kind for name, column in columns.items()} == {
        "id": "integer", "at": "timestamp", "x": "float", "y": "label, float",
    }  # fmt: skip
    assert (columns["x"].least, columns["x"].middle, columns["x"].most, columns["x"].distinct) == (0, 0.5, 1, ROWS)
    assert (columns["at"].least, columns["at"].most) == ("2024-01-01 12:00", "2024-01-01 12:00")


def test_many_numbers_are_drawn_from_their_cells() -> None:
    values = np.round(RANDOM.gamma(2, 3, 200_000), 4)
    told = profile(list(values), "float", list(values[:5000]))
    assert told.distinct is None
    assert (told.least, told.most) == (values.min(), values.max())
    assert told.middle == pytest.approx(np.median(values), rel=0.005)
    assert told.axis is not None
    edges = np.linspace(*told.axis, len(told.bars) + 1)
    shares = np.histogram(np.clip(values, *told.axis), edges)[0] / len(values)
    assert [bar.now for bar in told.bars] == pytest.approx(shares, abs=0.005)


def test_what_drifted_only_with_the_batches_before_says_so() -> None:
    one = {"distance": 0.1, "threshold": 0.2, "drifted": False, "measure": "wasserstein"}
    recent = {"columns": {"x": one | {"distance": 0.3, "drifted": True}}, "rows": 120}
    numbers = {"columns": {"x": one}, "drifted": ["x"], "recent": recent}
    assert batch_profile._read_judged(numbers) == {"x": one | {"distance": 0.3, "drifted": True, "together": 120}}
