"""The content hash: equal for equal rows in any order and any carrier, another for any other value."""

import io
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from evergreen.storage.columns import plain
from evergreen.storage.content import ContentHash, content_hash, find_content, in_any_order

MOMENTS = [datetime(2024, 1, 1, 5, tzinfo=UTC), None, datetime(1960, 1, 1, 5, 3, 2, 123456, tzinfo=UTC)]
ROWS = pa.table(
    {
        "at": pa.array(MOMENTS, pa.timestamp("us", tz="UTC")),
        "also at": pa.array(MOMENTS[::-1], pa.timestamp("us", tz="UTC")),
        "naive": pa.array(MOMENTS, pa.timestamp("us", tz="UTC")).cast(pa.timestamp("us")),
        "day": [date(2024, 1, 1), None, date(1, 1, 1)],
        "text": ['a"b', None, "x,\ny\r"],
        'odd "name", é': ["ü", "", None],
        "float": [float("nan"), float("inf"), -0.0],
        "finer": [1e300, 0.1 + 2**-56, None],
        "whole": [1, None, -(2**62)],
        "yes": [True, False, None],
        "kind": pa.array(["a", "b", None]).dictionary_encode(),
        "none": pa.nulls(3, pa.string()),
    }
)
# Of these rows as version 0.2.0 recorded them, and as they are recorded now: a ledger outlives the code.
PRINTED = "4314f4e17d3d0666c0a2b610a4ef7c3a"
RECORDED = "2:2c217b1490ec7c245110039e4c81b6ee"
START = datetime(2000, 1, 1, tzinfo=UTC)
LETTERS = ["", "a", "b", "é", "\0", "ab" * 3, "x" * 8, "x" * 9, "word " * 20]


def texts(random, count):
    return pa.array(["".join(random.choice(LETTERS, random.integers(1, 4))) for _ in range(count)])


def moments(random, count):
    return pa.array([START + timedelta(microseconds=int(n)) for n in random.integers(-(10**16), 10**16, count)])


KINDS = {
    "text": texts,
    "whole": lambda random, count: pa.array(random.integers(-50, 50, count)),
    "large": lambda random, count: pa.array(random.integers(-(2**63), 2**63 - 1, count)),
    "float": lambda random, count: pa.array(np.round(random.normal(0, 10, count), random.integers(0, 9))),
    "odd float": lambda random, count: pa.array(random.choice([np.nan, np.inf, -np.inf, 0.5, 1e300, -3.0], count)),
    "yes": lambda random, count: pa.array(random.random(count) < 0.5),
    "at": moments,
    "day": lambda random, count: pa.array(random.integers(-9999, 99999, count).astype(np.int32), pa.date32()),
}


def make_rows(seed):
    """A table of random kinds, sizes, nulls and repetitions."""
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 30))
    kinds = random.choice(list(KINDS), random.integers(1, 7))
    columns = {}
    for n, kind in enumerate(kinds):
        values, share = KINDS[kind](random, count), random.choice([0, 0.3, 1], p=[0.5, 0.45, 0.05])
        columns[f"{kind} {n}"] = pc.if_else(pa.array(random.random(count) >= share), values, None)
    return pa.table(columns).take(random.integers(0, count, random.integers(1, 40))), random


def in_parquet(rows):
    sink = io.BytesIO()
    pq.write_table(rows, sink, row_group_size=7)
    return pq.read_table(io.BytesIO(sink.getvalue()))


def in_pandas(rows):
    """Through pandas' nullable types, but for dates and for floats, whose NaN means null there."""
    kinds = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype(), pa.string(): pd.StringDtype()}
    for i, field in enumerate(rows.schema):
        if not pa.types.is_date(field.type) and not pa.types.is_floating(field.type):
            rows = rows.set_column(i, field.name, pa.array(rows.column(i).to_pandas(types_mapper=kinds.get)))
    return rows


def cast_columns(rows, *casts):
    """Each column as the first type that it can be had in without a loss."""
    for i, field in enumerate(rows.schema):
        for source, target in casts:
            if field.type == source:
                try:
                    rows = rows.set_column(i, field.name, rows.column(i).cast(target))
                except pa.ArrowInvalid:
                    continue
                break
    return rows


MICRO, NANO, SECONDS = (pa.timestamp(unit, tz="UTC") for unit in ("us", "ns", "s"))
CARRIERS = {
    "another order": lambda rows, random: rows.take(random.permutation(rows.num_rows)),
    "another order of columns": lambda rows, random: rows.select(list(random.permutation(rows.column_names))),
    "parquet": lambda rows, random: in_parquet(rows),
    "pandas": lambda rows, random: in_pandas(rows),
    "a slice": lambda rows, random: pa.concat_tables([rows, rows]).combine_chunks().slice(rows.num_rows),
    "categories": lambda rows, random: cast_columns(rows, (pa.string(), pa.dictionary(pa.int32(), pa.string()))),
    "views": lambda rows, random: cast_columns(rows, (pa.string(), pa.string_view())),
    "large texts, other units": lambda rows, random: cast_columns(
        rows, (pa.string(), pa.large_string()), (MICRO, NANO), (pa.date32(), pa.date64())
    ),
    "small integers": lambda rows, random: cast_columns(rows, (pa.int64(), pa.int8())),
    "floats": lambda rows, random: cast_columns(rows, (pa.int64(), pa.float64()), (MICRO, SECONDS)),
    "a column of nulls": lambda rows, random: rows.append_column("later", pa.nulls(rows.num_rows, pa.float64())),
}


@pytest.mark.parametrize("carrier", CARRIERS)
def test_equal_rows_have_equal_hashes(carrier):
    for seed in range(60):
        rows, random = make_rows(seed)
        carried = CARRIERS[carrier](rows, random)
        assert content_hash(carried) == content_hash(rows), (seed, rows.to_pylist(), carried.schema)


def test_pieces_have_the_hash_of_the_whole():
    many = ROWS.take(np.arange(200_000) % 3)
    hashed = ContentHash()
    for start in range(0, many.num_rows, 7_001):
        hashed.update(many.slice(start, 7_001))
    assert hashed.hexdigest() == content_hash(many)


def test_parts_that_were_hashed_elsewhere_add_up_to_the_whole():
    many, added = ROWS.take(np.arange(1_000) % 3), ContentHash()
    for first, count in ((400, 600), (0, 1), (1, 399)):
        added.merge(content_hash(many.slice(first, count)))
    assert added.hexdigest() == content_hash(many)
    added.merge(content_hash(many.slice(0, 1)))
    assert added.hexdigest() != content_hash(many)


def canonical(value):
    """A value by what it means, of which NaN is one."""
    return "nan" if isinstance(value, float) and np.isnan(value) else value


def test_any_other_value_of_one_cell_has_another_hash():
    for seed in range(100):
        rows, random = make_rows(seed)
        name = str(random.choice(rows.column_names))
        row = int(random.integers(rows.num_rows))
        kind = rows.schema.field(name).type
        others = [None, *KINDS[name.rpartition(" ")[0]](random, 3).to_pylist()]
        before, recorded = rows.column(name).to_pylist(), content_hash(rows)
        for other in others:
            changed = [*before[:row], other, *before[row + 1 :]]
            carried = rows.set_column(rows.column_names.index(name), name, pa.array(changed, kind))
            same = canonical(other) == canonical(before[row])
            assert (content_hash(carried) == recorded) is same, (seed, name, row, before[row], other)


def test_each_row_counts_as_often_as_it_comes():
    for seed in range(60):
        rows, random = make_rows(seed)
        again = rows.slice(int(random.integers(rows.num_rows)), 1)
        hashes = {content_hash(pa.concat_tables([rows, *[again] * n])) for n in range(4)}
        assert len({*hashes, content_hash(rows.slice(1))}) == 5


@pytest.mark.parametrize(
    "other",
    [
        {"a": [1, 2], "b": [4, 3]},
        {"a": [3, 4], "b": [1, 2]},
        {"a": [1, 2], "c": [3, 4]},
        {"a": ["1", "2"], "b": [3, 4]},
        {"a": [1, 2], "b": [True, True]},
        {"a": [1, 2], "b": [3, None]},
        {"a": [1, 2, None], "b": [3, 4, None]},
    ],
    ids=["values between rows", "values between columns", "a name", "a kind", "truths", "a null", "a row of nulls"],
)
def test_what_stands_where_counts(other):
    assert content_hash(pa.table(other)) != content_hash(pa.table({"a": [1, 2], "b": [3, 4]}))


def test_no_two_texts_are_alike():
    lengths = range(150)
    alike = [f"{first}{letter * n}" for first in ("", "a", "b") for letter in ("\0", "a", "é") for n in lengths]
    distinct = {*alike, *(str(n) for n in range(1000)), *("x" * n + "y" for n in lengths)}
    assert len({content_hash(pa.table({"text": [text]})) for text in distinct}) == len(distinct)


def test_no_two_numbers_are_alike():
    numbers = [*range(-500, 500), *(2**n + i for n in range(10, 63) for i in (-1, 0, 1)), -(2**63), 2**63 - 1]
    floats = [0.5, 1 / 3, 1 / 3 + 2**-54, 1e300, 2.0**63, 2.0**70, 2.0**60 + 2**9, np.inf, -np.inf, np.nan, 5e-324]
    hashes = {content_hash(pa.table({"x": pa.array([n], pa.int64())})) for n in numbers}
    hashes |= {content_hash(pa.table({"x": pa.array([x], pa.float64())})) for x in floats}
    assert len(hashes) == len({*numbers}) + len(floats)


def test_a_number_is_the_same_as_integer_and_as_float_however_large():
    whole = [n for n in (0, -7, 2**53, 2**53 + 2, -(2**53) - 2, 2**62, -(2**63)) if int(float(n)) == n]
    assert len(whole) == 7
    for numbers in (whole, [*whole, None]):
        floats = pa.array([None if n is None else float(n) for n in numbers])
        assert content_hash(pa.table({"x": pa.array(numbers, pa.int64())})) == content_hash(pa.table({"x": floats}))


def test_values_that_differ_in_few_bits_by_row_do_not_add_up_to_the_same():
    """Of two columns whose values are exchanged, negated or moved by the same, each row has a hash of its own."""
    random = np.random.default_rng(0)
    steps = np.concatenate([2.0 ** np.arange(-60, 60), -(2.0 ** np.arange(-60, 60)), np.arange(-50, 50) / 4])
    a, b = (random.choice(steps, 5_000) for _ in range(2))
    pairs = {(x, y) for x, y in zip(a, b, strict=True)}
    hashes = {content_hash(pa.table({"a": [x], "b": [y]})) for x, y in pairs}
    assert len(hashes) == len(pairs) > 4_000


def test_a_hash_that_was_recorded_stays():
    assert content_hash(ROWS) == RECORDED
    assert in_any_order(RECORDED)
    assert find_content(ROWS, [RECORDED]) == RECORDED


def test_what_version_0_2_0_recorded_is_found_in_its_order():
    assert not in_any_order(PRINTED)
    assert find_content(ROWS, [PRINTED]) == PRINTED
    assert find_content(plain(ROWS).drop_columns(["none"]), ["another", PRINTED, RECORDED]) == PRINTED
    for others in (ROWS.slice(1), ROWS.take([1, 0, 2]), ROWS.slice(0, 0)):
        assert find_content(others, [PRINTED]) is None
