"""What is concluded from two replays and how it is told; which folders may be compared, and over which span."""

from dataclasses import replace
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import numpy as np
import pytest
from markdown_it import MarkdownIt

from evergreen.config.gate_config import GateConfig
from evergreen.config.model_folder import load_model_folder
from evergreen.errors import NotComparable
from evergreen.foreign_text import for_markdown
from evergreen.judging.uncertainty import MeanInterval, two_sided
from evergreen.records import BatchRecord, Judgement, SliceJudgement
from evergreen.replay.diff.comment import describe_comparison, describe_newcomer
from evergreen.replay.diff.comparison import Comparison, conclude, group_blocks
from evergreen.replay.diff.side_by_side import choose_span, require_comparable
from evergreen.replay.history import BatchHistory, History

GATE = GateConfig(metric="mae", min_effect="2%")
DAYS = tuple(f"2024-01-{day:02}" for day in range(1, 13))


def make_history(labelled: int = 50) -> History:
    rows = BatchRecord(as_of=DAYS[0], feed="rows", revision=0, state="published", rows_in=60, clean=55, quarantined=5)
    one = BatchHistory(DAYS[0], rows, None, None, None, (), (), (), 1.0 if labelled else None, labelled)
    batches = tuple(replace(one, batch=day) for day in DAYS)
    return History("taxi", "Trips", "mae", batches, (), 1.0 if labelled else None)


def make_judgement(slices: tuple[SliceJudgement, ...] = (), metric: str = "mae") -> Judgement:
    return Judgement(
        against="base", metric=metric, rows=590, blocks=4, champion=4.0, challenger=4.5, improvement=0, lower=0,
        upper=0, expected=0, worse=0.5, slices=slices,
    )  # fmt: skip


def make_slice(value: str, worse_by: float, passed: bool) -> SliceJudgement:
    return SliceJudgement(
        column="zone", value=value, rows=60, champion=2.0, challenger=2.0 + worse_by, worse_by=worse_by, passed=passed
    )


def make_comparison(
    lower: float, upper: float, slices: tuple[SliceJudgement, ...] = (), metric: str = "mae"
) -> Comparison:
    histories, judgement = (make_history(600 // 12), make_history()), make_judgement(slices, metric)
    interval = MeanInterval((lower + upper) / 2 if np.isfinite(lower) else -0.4, lower, 4)
    outcome, why = conclude(GATE, histories, judgement, interval)
    return Comparison(
        *histories,
        names=("main (abc1234)", "this change"),
        reports=(Path("base.html"), Path("change.html")),
        changed=("features.py",),
        outcome=outcome,
        why=why,
        gate=GATE,
        judgement=judgement,
        interval=interval,
        batches=DAYS,
    )


@pytest.mark.parametrize(
    ("lower", "upper", "outcome", "told"),
    [
        (0.01, 0.05, "better", "3.0% better, 95% interval 1.0% to 5.0% better."),
        (-0.05, -0.01, "worse", "3.0% worse, 95% interval 1.0% to 5.0% worse."),
        (-0.01, 0.012, "equal", "95% interval 1.0% worse to 1.2% better: within the minimum effect of 2.0%."),
        (0.005, 0.015, "equal", "95% interval 0.5% to 1.5% better: within the minimum effect of 2.0%."),
        (-0.03, -0.002, "equal", "beyond noise, and on average below the minimum effect of 2.0%."),
        (-0.11, 0.03, "equal", "95% interval 11.0% worse to 3.0% better: up to 11.0% worse remains possible."),
        (0.0, 0.08, "equal", "95% interval 0.0% to 8.0% better: no difference remains possible."),
        (0.0, 0.0, "equal", "mae 4.5 instead of 4: the losses are the same, row by row."),
        (-np.inf, np.inf, "equal", "one batch alone gives no interval: anything remains possible."),
    ],
)
def test_better_and_worse_lie_beyond_noise_and_beyond_the_minimum_effect(lower, upper, outcome, told):
    comparison = make_comparison(lower, upper)
    assert comparison.outcome == outcome
    headline = describe_comparison(comparison).partition("\n")[0]
    assert told in headline
    assert headline.startswith(f"**taxi: {outcome}")


def test_what_is_wider_than_the_minimum_effect_is_not_called_equal_without_more():
    assert "equal, as far as 12 batches tell.**" in describe_comparison(make_comparison(-0.11, 0.03))


def test_a_slice_beyond_its_limit_makes_the_whole_worse():
    slices = (make_slice("1", 0.3, False), make_slice("2", -0.2, True), make_slice("a|b", 0.05, True))
    comparison = make_comparison(0.03, 0.09, slices)
    text = describe_comparison(comparison)
    assert comparison.outcome == "worse"
    assert text.startswith(
        "**taxi: worse in a slice.** zone=1 is worse by 30.0%. Over all: mae 4.5 instead of 4: 6.0% bet"
    )
    lines = [line for line in text.splitlines() if line.startswith("| zone=")]
    assert lines == [
        "| zone=1 | 60 | 2 | 2.3 | 30.0% worse: beyond its limit |",
        "| zone=a\\|b | 60 | 2 | 2.05 | 5.0% worse |",
        "| zone=2 | 60 | 2 | 1.8 | 20.0% better |",
    ]


def test_of_many_slices_all_that_are_beyond_their_limit_are_told():
    lost = tuple(make_slice(str(value), 0.3, False) for value in range(10))
    kept = tuple(make_slice(str(value), 0.0, True) for value in range(10, 25))
    text = describe_comparison(make_comparison(0.03, 0.09, lost + kept))
    assert text.count("beyond its limit |") == 11
    assert "zone=1 is worse by 30.0%; zone=2 is worse by 30.0%; 7 more. Over all" in text
    assert "| 15 more | | | | none beyond its limit |" in text


def test_the_table_counts_what_is_not_judged():
    text = describe_comparison(make_comparison(-0.01, 0.01))
    assert "| | main (abc1234) | this change |" in text
    assert "| mae on the same rows | 4 | 4.5 |" in text
    assert "| rows scored, with a known label | 600 | 600 |" in text
    assert "| of these by this one alone, not judged | 10 | 10 |" in text
    assert "| rows in quarantine | 60 | 60 |" in text
    assert "- compared: 590 rows of 12 batches, 2024-01-01 to 2024-01-12, paired, in 4 blocks" in text
    assert "- changed: features.py\n" in text
    assert text.endswith("- reports: base.html, change.html\n")


def test_another_metric_is_told_and_squares_are_called_so():
    comparison = make_comparison(0.01, 0.05, metric="rmse")
    comparison = replace(comparison, change=replace(comparison.change, metric="rmse"))
    text = describe_comparison(comparison)
    assert "rmse 4.5 instead of 4: 3.0% better in squared error" in text
    assert "- gate.metric was mae; both are measured by rmse" in text


@pytest.mark.parametrize(
    ("base", "change", "outcome", "why"),
    [
        (50, 0, "worse", "the change scored no row"),
        (0, 50, "better", "the base scored no row"),
        (50, 50, "equal", "no row was scored by both: nothing can be told"),
    ],
)
def test_where_no_row_was_scored_by_both(base, change, outcome, why):
    assert conclude(GATE, (make_history(base), make_history(change)), None, None) == (outcome, why)


def test_where_neither_has_scored_a_row_it_says_what_to_do():
    with pytest.raises(NotComparable, match=r"2024-01-01 to 2024-01-12 has a known label.*; say an earlier --from"):
        conclude(GATE, (make_history(0), make_history(0)), None, None)


def test_a_new_model_has_nothing_to_be_compared_with():
    text = describe_newcomer("taxi", "models/taxi", "main (abc1234)")
    assert text == "**taxi: new.** There is no model folder models/taxi at main (abc1234): nothing to compare.\n"


@pytest.mark.parametrize(
    ("batches", "champions", "sizes"),
    [(1, 5, [1]), (3, 5, [1, 1, 1]), (8, 1, [2, 2, 2, 2]), (23, 4, [6, 6, 6, 5]), (52, 10, [6, 6, *[5] * 8])],
)
def test_blocks_are_consecutive_and_of_nearly_equal_size(batches, champions, sizes):
    names = np.array([f"2024-{batch:03}" for batch in range(batches)])
    rows = np.random.default_rng(1).permutation(np.repeat(names, 3))
    blocks = group_blocks(rows, champions)
    grouped = [sorted(set(rows[blocks == block])) for block in range(blocks.max() + 1)]
    assert [len(group) for group in grouped] == sizes
    assert [name for group in grouped for name in group] == sorted(names)


def test_an_interval_over_single_batches_would_miss_where_a_difference_lasts_as_long_as_a_champion():
    """Two folders that are equal in the long run, 40 batches, champions that serve for 5 to 10 of them."""
    random, names = np.random.default_rng(7), np.array([f"{batch:02}" for batch in range(40)])
    missed = {"single": 0, "blocks": 0}
    for _ in range(600):
        lengths = random.integers(5, 11, 12)
        served = np.repeat(np.arange(12), lengths)[random.integers(0, 5) :][:40]
        differences = random.normal(0, 1, 12)[served] + random.normal(0, 0.5, 40)
        for way, blocks in (("single", names), ("blocks", group_blocks(names, len(set(served))))):
            interval = two_sided(differences, blocks, 0.95)
            missed[way] += interval.lower > 0 or interval.upper < 0
    assert missed["single"] > 0.3 * 600
    assert missed["blocks"] < 0.12 * 600


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("target: {minutes: float}", "target: {seconds: float}", r"the target is minutes \(float\) and was seconds"),
        (
            "target: {minutes: float}",
            "target: {minutes: integer}",
            r"the target is minutes \(float\) and was minutes \(integer\)",
        ),
        ("    id: integer", "    id: string", r"rows\.key is id \(integer\) and was id \(string\)"),
        ("every: day", "every: hour", "batches are by day and were by hour"),
        ("labels_{batch:%Y-%m-%d}", "minutes_{batch:%Y-%m-%d}", None),
        ("metric: mae", "metric: rmse", None),
        ("distance: float\n", "distance: float\n    fare: float\n", None),
    ],
)
def test_only_predictions_of_the_same_rows_and_target_are_compared(
    write_folder, edit_config, tmp_path, old, new, problem
):
    text = edit_config(old, new)
    if "hour" in new:
        text = text.replace("%Y-%m-%d}", "%Y-%m-%dT%H}")
    change = load_model_folder(write_folder())
    base = load_model_folder(write_folder(root=tmp_path / "before", config=text))
    if problem is None:
        require_comparable(base, change)
    else:
        with pytest.raises(NotComparable, match=f"model taxi: {problem}.*; a replay cannot compare the two"):
            require_comparable(base, change)


def test_a_renamed_target_is_the_same_target(write_folder, edit_config, tmp_path):
    renamed = edit_config("{minutes: float}", "{took: {type: float, renamed_from: minutes}}")
    change = load_model_folder(write_folder(config=renamed))
    require_comparable(load_model_folder(write_folder(root=tmp_path / "before")), change)


def test_the_span_is_four_windows_long(write_folder, at):
    model, now = load_model_folder(write_folder()), datetime(2024, 6, 1, tzinfo=UTC)
    place = Path(at.landing) / "taxi"
    place.mkdir(parents=True, exist_ok=True)
    (place / "trips_2024-04-09.csv").touch()
    # A window of 12: 48 days up to the 9th of April.
    assert choose_span(model, at, None, None, now) == ("2024-02-22", "2024-04-09")
    # No further back than the schedule's start.
    assert choose_span(model, at, None, "2024-01-20", now) == ("2024-01-01", "2024-01-20")
    assert choose_span(model, at, "2024-03-01", None, now) == ("2024-03-01", "2024-04-09")
    with pytest.raises(NotComparable, match="--from 2024-05-01 comes after the last batch, 2024-04-09"):
        choose_span(model, at, "2024-05-01", None, now)


def test_a_value_and_a_name_of_the_data_are_text_in_the_comment_too() -> None:
    hostile = "<img src=x> | @team `x` #12"
    comparison = make_comparison(0.03, 0.09, (make_slice(hostile, 0.5, passed=False),))
    text = describe_comparison(replace(comparison, names=(hostile, "this change"), changed=(hostile,)))
    assert text.count(for_markdown(hostile)) >= 4
    assert hostile not in text
    page = MarkdownIt("commonmark").enable("table").render(text)
    assert "<img" not in page
    assert f"<th>{escape(hostile)}</th>" in page.replace("\u2060", "")
    assert for_markdown(hostile) in describe_newcomer("taxi", "models/taxi", hostile)
