"""Tallies: the distances of many rows are those of all of them, however they come in pieces, and in a flat memory."""

import itertools

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from evidently.legacy.calculations.stattests import jensenshannon_stat_test, wasserstein_stat_test
from evidently.legacy.core import ColumnType as Kind

from evergreen.checks.judge_columns import judge_columns, measure_distances
from evergreen.checks.reference import build_reference
from evergreen.config.fields import ColumnType
from evergreen.features import histograms
from evergreen.features.batch_statistics import EvenSample, Statistics
from evergreen.features.histograms import CELLS, Categories, Numbers
from evergreen.storage.columns import kinds_of, read_as
from tests.tallied import tally

ROWS = 60_000
KINDS = {
    "normal": lambda random, count, by: random.normal(10 + 0.3 * by, 2, count),
    "near nought": lambda random, count, by: random.normal(2000 + 0.01 * by, 0.02, count),
    "skewed": lambda random, count, by: random.lognormal(0.2 * by, 1.5, count),
    "far out": lambda random, count, by: random.standard_t(1.5, count) + 0.5 * by,
    "mostly nought": lambda random, count, by: np.where(
        random.random(count) < 0.6, 0.0, random.gamma(2, 3 + by, count)
    ),
    "nearly all nought": lambda random, count, by: np.where(
        random.random(count) < 0.995 - 0.1 * by, 0.0, random.gamma(2, 3, count)
    ),
    "counts": lambda random, count, by: random.poisson(40 + by, count).astype(float),
    "few values": lambda random, count, by: random.poisson(2 + 0.3 * by, count).clip(0, 6).astype(float),
}
MEASURES = ("wasserstein", "ks", "psi", "kl", "jensenshannon")


def refer(columns, categorical=(), measures=None):
    """A reference of twelve batches."""
    rows = pd.DataFrame(columns)
    batches = pd.Series(np.arange(len(rows)) * 12 // len(rows))
    return build_reference(
        rows, set(categorical), list(rows.columns), batches, len(rows) // 12, 7, divergences=measures or {}
    )


def pieces_of(rows, size):
    return [rows.iloc[start : start + size] for start in range(0, len(rows), size)]


@pytest.mark.parametrize("measure", MEASURES)
def test_distances_in_cells_are_those_of_all_values(measure, monkeypatch):
    """Within two thousandths of the unit that each is told in, a fiftieth of the least that is of interest.

    A column of few values to which many new ones come is compared value by value where all are kept, and in cells where
    they are counted: that is left out.
    """
    random = np.random.default_rng(3)
    kinds = {k: make for k, make in KINDS.items() if measure in ("wasserstein", "ks") or k != "nearly all nought"}
    learnt = {kind: make(random, 20_000, 0) for kind, make in kinds.items()}
    reference = refer(learnt, measures=dict.fromkeys(kinds, measure))
    for by in (0, 1):
        batch = pd.DataFrame({kind: make(random, ROWS, by) for kind, make in kinds.items()})
        counted = measure_distances(reference, tally(reference, pieces_of(batch, 7_001)))
        with monkeypatch.context() as patch:
            patch.setattr(histograms, "EXACT", len(batch))
            exact = measure_distances(reference, tally(reference, [batch]))
        assert counted == pytest.approx(exact, abs=2e-3)
        # Where nothing moves, this would hold of noughts too.
        assert by == 0 or min(exact[kind] for kind in kinds) > 0.005


@pytest.mark.parametrize("by", [0, 1])
def test_distances_of_many_rows_are_evidently_s_on_all_of_them(by):
    """Up to what 1,001 quantiles leave out of the reference."""
    random = np.random.default_rng(4)
    learnt = {"number": random.normal(10, 2, ROWS), "zone": random.choice(list("abcdef"), ROWS)}
    reference = refer(learnt, {"zone"})
    share = np.array([1, 1, 1, 1, 1, 1 + by])
    zones = random.choice(list("abcdef"), ROWS, p=share / share.sum())
    batch = pd.DataFrame({"number": random.normal(10 + 0.4 * by, 2, ROWS), "zone": zones})
    counted = measure_distances(reference, tally(reference, pieces_of(batch, 7_001)))
    tests = {"number": (wasserstein_stat_test, Kind.Numerical)}
    tests["zone"] = (jensenshannon_stat_test, Kind.Categorical)
    for name, (test, kind) in tests.items():
        theirs = test.func(pd.Series(learnt[name]), batch[name], kind, 0.1)[0]
        assert counted[name] == pytest.approx(theirs, abs=2e-3)


def test_pieces_of_any_size_in_any_order_come_to_the_same():
    random = np.random.default_rng(5)
    reference = refer({kind: make(random, 6_000, 0) for kind, make in KINDS.items()})
    batch = pd.DataFrame({kind: make(random, ROWS, 1) for kind, make in KINDS.items()})
    batch.loc[::10, "normal"] = np.nan
    ways = [
        judge_columns(reference, tally(reference, pieces_of(batch.sample(frac=1, random_state=n), size)), 3)
        for n, size in enumerate((ROWS, 7_001, 20_000))
    ]
    assert ways[0] == ways[1] == ways[2]
    assert ways[0]["normal missing"]["distance"] == pytest.approx(0.1)


def test_memory_does_not_grow_with_rows():
    random = np.random.default_rng(6)
    reference = refer({kind: make(random, 6_000, 0) for kind, make in KINDS.items()})
    counted = tally(reference, (pd.DataFrame({k: m(random, ROWS, 1) for k, m in KINDS.items()}) for _ in range(5)))
    assert counted.rows == 5 * ROWS
    for column in counted.columns.values():
        assert CELLS / 3 < len(column.cells) <= CELLS or column.shift == 0
        assert column.counts.sum() == 5 * ROWS
        assert (np.diff(column.values) > 0).all()


@pytest.mark.parametrize("outlier", [1e5, -1e300, 1.7e308])
def test_values_beyond_all_measure_count_as_where_all_values_are_kept(outlier, monkeypatch):
    random = np.random.default_rng(7)
    reference = refer({kind: KINDS[kind](random, 6_000, 0) for kind in ("normal", "nearly all nought")})
    batch = pd.DataFrame({kind: KINDS[kind](random, ROWS, 0) for kind in reference.columns})
    batch.iloc[:3] = outlier
    counted = measure_distances(reference, tally(reference, pieces_of(batch, 9_000)))
    monkeypatch.setattr(histograms, "EXACT", len(batch))
    assert counted == pytest.approx(measure_distances(reference, tally(reference, [batch])), rel=1e-6, abs=1e-3)


def test_of_many_rows_a_column_that_follows_the_calendar_is_still_known():
    hours = pd.Series(pd.date_range("2024-01-01", periods=24 * 40, freq="h"))
    rows = pd.DataFrame({"hour": hours.dt.hour, "load": np.arange(len(hours)) % 7})
    number = (hours.dt.dayofyear - 1).rename("batch")
    reference = build_reference(rows, set(), ["hour", "load"], number, 24, 7, at=hours)
    at = pd.Timestamp("2024-03-01 18:00") + pd.Series(pd.to_timedelta(np.arange(ROWS) * 7_200_000 // ROWS, "ms"))
    evening = pd.DataFrame({"hour": at.dt.hour, "load": np.arange(ROWS) % 7})
    judged = judge_columns(reference, tally(reference, pieces_of(evening, 7_001), at), 20)["hour"]
    assert (judged["follows"], judged["drifted"]) == ("hour", False)
    wrong = evening.assign(hour=(evening["hour"] + 1) % 24)
    assert judge_columns(reference, tally(reference, pieces_of(wrong, 7_001), at), 20)["hour"]["drifted"]


def test_a_sample_is_even_and_of_few_rows_all():
    few, many = EvenSample(), EvenSample()
    few.add(pa.table({"n": range(300)}))
    assert few.rows.column("n").to_pylist() == list(range(300))
    for start in range(0, ROWS, 7_000):
        many.add(pa.table({"n": range(start, min(start + 7_000, ROWS))}))
    kept = many.rows.column("n").to_numpy()
    assert 5_000 < len(kept) <= 10_000
    assert set(np.diff(kept)) == {kept[1]}
    assert (kept[0], ROWS - kept[-1] <= kept[1]) == (0, True)
    assert EvenSample().rows.num_rows == 0


@pytest.mark.parametrize("count", [9_000, 10_001, ROWS])
def test_statistics_of_shards_come_to_those_of_the_whole_to_the_byte(count):
    random = np.random.default_rng(3)
    numbers = pa.array(random.normal(size=count), mask=random.random(count) < 0.1)
    rows = pa.table({"x": numbers, "kind": pa.array(random.integers(0, 9, count)).cast(pa.string())})
    declared = {"x": ColumnType(type="float"), "kind": ColumnType(type="category")}
    added, edges = Statistics(declared), [0, 1, 3_333, 3_334, 8_999, count]
    for first, last in itertools.pairwise(edges):
        part = Statistics(declared, EvenSample(first, count))
        for start in range(first, last, 1_000):
            part.add(rows.slice(start, min(1_000, last - start)))
        added.merge(Statistics.parse(part.dump(), ""))
    whole = Statistics.of([rows], declared)
    assert added.sample.rows.equals(whole.sample.rows)
    assert added.columns["kind"].counts == whole.columns["kind"].counts
    assert (added.rows, added.columns["x"].count) == (count, count - numbers.null_count)
    only = {"x": declared["x"]}
    assert Statistics.of([rows], only).read_as(only, {}).dump() == added.read_as(only, {}).dump()


def count_numbers(*pieces):
    counted = Numbers()
    for piece in pieces:
        counted.add(pa.chunked_array([pa.array(piece, pa.float64(), from_pandas=True)]))
    return counted


def test_cells_have_fixed_edges_so_that_parts_add_up_to_the_whole():
    random = np.random.default_rng(8)
    values = np.concatenate([random.normal(0, 1, ROWS), random.lognormal(8, 3, ROWS), [0.0, -0.0, 1e300, -1e-300]])
    whole, parts = count_numbers(values), Numbers()
    for piece in np.array_split(random.permutation(values), 9):
        parts.merge(count_numbers(*np.array_split(piece, 2)))
    assert (parts.shift, parts.ends, parts.count) == (whole.shift, whole.ends, len(values))
    assert parts.cells.tolist() == whole.cells.tolist()
    assert parts.counts.tolist() == whole.counts.tolist()
    # Each number is told as one of its cell, which is no nearer to the next.
    rounded = whole.round(values)
    assert set(rounded) == set(whole.values)
    assert (np.abs(rounded) <= np.abs(values)).all()
    kept = np.abs(values) > 1e-3
    assert (np.abs(rounded - values)[kept] / np.abs(values)[kept]).max() < 2 ** (whole.shift - 52)


def test_few_numbers_are_kept_as_they_are():
    values = [0.1, -2.5, 1e308, 0.1, np.nan, np.inf, 7]
    counted = count_numbers(values)
    assert (counted.values.tolist(), counted.counts.tolist()) == ([-2.5, 0.1, 7, 1e308], [1, 2, 1, 1])
    assert (counted.missing, counted.ends) == (2, (-2.5, 1e308))
    assert count_numbers([]).ends == (np.inf, -np.inf)


def test_of_more_names_than_are_kept_the_same_ones_stay_whatever_comes_first(monkeypatch):
    monkeypatch.setattr(histograms, "EXACT", 50)
    names = [f"zone {number % 170}" for number in range(1_000)]
    ways = []
    for order in (names, names[::-1]):
        parts = [Categories(), Categories()]
        for n, start in enumerate(range(0, 1_000, 77)):
            parts[n % 2].add(pa.chunked_array([pa.array(order[start : start + 77])]))
        parts[0].merge(parts[1])
        ways.append(parts[0])
    assert len(ways[0].counts) == 50
    assert (ways[0].counts, ways[0].rest, ways[0].limit) == (ways[1].counts, ways[1].rest, ways[1].limit)
    assert sum(ways[0].counts.values()) + ways[0].rest == 1_000
    before, now = ways[0].align({name: 1 for name in names} | {"other zone": 30})
    assert before.sum() == 200
    assert (len(now), now[-1]) == (len(before), ways[0].rest)


DECLARED = {
    "n": "float",
    "i": "integer",
    "c": "category",
    "b": "boolean",
    "at": "timestamp",
    "d": "date",
    "t": "string",
}


def make_table(rows):
    random = np.random.default_rng(9)
    at = 1_704_067_200_000_000 + np.arange(rows) * 1_000_000
    return pa.table(
        {
            "n": pa.array(random.normal(0, 1, rows), mask=random.random(rows) < 0.1),
            "i": pa.array(np.arange(rows)),
            "c": pa.array(random.choice(list("abc"), rows), mask=random.random(rows) < 0.2),
            "b": pa.array(random.random(rows) < 0.3),
            "at": pa.array(at, pa.timestamp("us", tz="UTC")),
            "d": pa.array((at // 86_400_000_000).astype(np.int32), pa.date32()),
            "t": pa.array([f"text {n}" for n in range(rows)]),
        }
    )


def declare(**kinds):
    return {
        name: ColumnType.model_validate(kind if isinstance(kind, dict) else {"type": kind})
        for name, kind in kinds.items()
    }


def test_statistics_are_read_as_they_were_kept():
    rows = make_table(20_000)
    kept = Statistics.of([rows], declare(**DECLARED))
    read = Statistics.parse(kept.dump(), "here")
    assert read is not None
    assert (read.rows, list(read.columns)) == (20_000, list(DECLARED))
    for name, column in kept.columns.items():
        for field, value in vars(column).items():
            assert np.array_equal(vars(read.columns[name])[field], value), (name, field)
    assert read.sample.rows.equals(kept.sample.rows)
    assert kept.sample.rows.column_names == ["n", "i", "c", "b", "at", "d"]
    assert kept.columns["b"].counts.keys() == {"True", "False"}
    assert kept.columns["n"].missing == rows.column("n").null_count


def test_statistics_that_cannot_be_read_are_none_and_the_log_says_so(caplog):
    content = Statistics.of([make_table(100)], declare(**DECLARED)).dump()
    for spoilt in (b"", b"no statistics", content[:200], content[: len(content) // 2]):
        caplog.clear()
        assert Statistics.parse(spoilt, "trips, clean of batch 2024-01-01") is None
        assert "trips, clean of batch 2024-01-01: statistics cannot be read" in caplog.text


def test_statistics_are_read_under_another_contract_as_the_rows_would_be():
    rows = make_table(500)
    kept = Statistics.of([rows], declare(**DECLARED))
    today = declare(
        number={"type": "float", "renamed_from": ["n"]}, c="category", at="timestamp",
        new={"type": "integer", "default": 7}, none={"type": "category", "default": None},
    )  # fmt: skip
    held = kinds_of(declare(**DECLARED))
    told, made = kept.read_as(today, held), Statistics.of([read_as(rows, today, held)], today)
    assert told is not None
    assert told.columns.keys() == made.columns.keys()
    for name, column in made.columns.items():
        for field, value in vars(column).items():
            assert np.array_equal(vars(told.columns[name])[field], value), (name, field)
    assert told.sample.rows.equals(made.sample.rows)
    # A text was not counted; today it is a category.
    assert kept.read_as(declare(t="category"), held) is None
