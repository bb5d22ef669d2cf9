"""Evidently's page of a check: drawn of whatever columns can be, by the types of the contract."""

import re

import numpy as np
import pandas as pd
import pytest

from evergreen.checks.html import render_drift

FARES = np.random.default_rng(1).normal(20, 5, 200)
BOTH = {"fare": "num", "kind": "cat"}


def frame(numbers=FARES, kinds=("a", "b")):
    """Rows of a number and a category, each value repeated until there are as many as fares."""
    repeated = [np.resize(np.array(list(values), dtype=object), len(FARES)) for values in (numbers, kinds)]
    return pd.DataFrame({"fare": repeated[0], "kind": repeated[1]}).astype({"fare": float})


def draw(reference, current, columns=("fare", "kind")):
    return render_drift(reference, current, list(columns), {"kind"}, seed=1)


def drawn(page):
    """The columns of a page's table, each with the type that Evidently takes it for."""
    return dict(re.findall(r'"column_name": "(\w+)", "column_type": "(\w+)"', page))


@pytest.mark.parametrize(
    "kinds", [["a"] + [None] * 499, list("aba"), list("abcdefghabcd")], ids=["one of many", "three", "letters"]
)
@pytest.mark.parametrize("side", ["reference", "current"])
def test_categories_are_no_text_however_many_differ(kinds, side):
    few = pd.DataFrame({"kind": pd.Series(kinds, dtype=object)})
    sides = (few, frame()) if side == "reference" else (frame(), few)
    assert drawn(draw(*sides, columns=["kind"])) == {"kind": "cat"}


def test_whole_numbers_of_few_values_are_drawn_as_the_numbers_they_are():
    riders = pd.DataFrame({"fare": [1, 2, 3, 4] * 50})
    assert drawn(draw(riders, riders, columns=["fare"])) == {"fare": "num"}


@pytest.mark.parametrize("side", ["reference", "current"])
@pytest.mark.parametrize("nothing", [None, np.inf, -np.inf], ids=["null", "inf", "-inf"])
def test_a_column_without_a_value_on_one_side_is_left_out_and_the_other_drawn(side, nothing):
    empty = frame(numbers=[nothing])
    sides = (empty, frame()) if side == "reference" else (frame(), empty)
    assert drawn(draw(*sides)) == {"kind": "cat"}
    objects = empty.assign(fare=pd.Series([None] * len(empty), dtype=object), kind=None)
    sides = (objects, frame()) if side == "reference" else (frame(), objects)
    assert draw(*sides) is None


def test_a_value_that_the_sample_does_not_hold_leaves_its_column_out(monkeypatch):
    monkeypatch.setattr("evergreen.checks.html._SAMPLE", 20)
    rare = frame(kinds=["a"] + [None] * 199)
    assert rare["kind"].sample(20, random_state=1).isna().all()
    assert drawn(draw(rare, frame())) == {"fare": "num"}


def test_nothing_watched_or_no_rows_is_nothing_to_draw():
    assert draw(frame(), frame(), columns=[]) is None
    assert draw(frame(), frame().iloc[:0]) is None
    assert draw(frame().iloc[:0], frame()) is None


@pytest.mark.parametrize("largest", [[1e5], [np.inf, -np.inf], [1.7e308], [1.7e308, -1.7e308]])
@pytest.mark.parametrize("side", ["reference", "current"])
def test_numbers_of_any_size_are_drawn(largest, side):
    outlying = frame(numbers=[*FARES[: -len(largest)], *largest])
    sides = (outlying, frame()) if side == "reference" else (frame(), outlying)
    assert drawn(draw(*sides)) == BOTH


def test_whole_numbers_and_booleans_beside_nulls_are_drawn():
    riders = pd.DataFrame({"fare": [1, 2, 3, 4] * 50, "kind": [True, False] * 100})
    gaps = pd.DataFrame({"fare": [1, None, 3, 4] * 50, "kind": pd.Series([True, None] * 100, dtype=object)})
    assert drawn(draw(riders, gaps)) == drawn(draw(gaps, riders)) == BOTH


@pytest.mark.parametrize(
    "hostile", ["</script><script>alert(1)</script>", "<!--<script>", "\u2028 \ud800 <b>Höhe</b> &lt;"]
)
def test_a_name_or_a_category_ends_no_script_and_begins_none(hostile):
    kinds = pd.DataFrame({hostile: np.resize(np.array(["a", hostile], dtype=object), 200)})
    page = render_drift(kinds, kinds, [hostile], {hostile}, seed=1)
    harmless = pd.DataFrame({"kind": np.resize(np.array(["a", "b"], dtype=object), 200)})
    for tag in ("<script", "</script", "<!--", "<b>"):
        assert page.count(tag) == render_drift(harmless, harmless, ["kind"], {"kind"}, seed=1).count(tag)
    assert len(re.findall(r"'sha256-[^']{44}'", page)) == 4
    assert "unsafe-inline" not in re.search("script-src [^;]*", page)[0]
