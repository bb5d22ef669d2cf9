"""Which window does best, by this attempt and those before, and how far that is believed where labels are late."""

import pytest

from evergreen.judging.choose_window import choose_window

NOW = {"all": 1.0, 7: 0.9}


@pytest.mark.parametrize(
    ("before", "chosen"),
    [
        ([], 7),
        # Mean shares of what all had: 0.9 and 1.3.
        ([{"all": 1.0, "7": 1.3}], "all"),
        # Shares count, however loud an attempt was: 0.9, 1.05 and 0.8.
        ([{"all": 100.0, "7": 105.0}, {"all": 0.01, "7": 0.008}], 7),
        # Of 0.9, 1.05 and 1.08 the mean is above 1; the older ones count less.
        ([{"all": 1.0, "7": 1.05}, {"all": 1.0, "7": 1.08}], 7),
        # What was tried then was not the same.
        ([{"all": 1.0}, {"all": 1.0, "28": 0.1, "7": 9.0}, {}], 7),
        # Without any loss they are alike.
        ([{"all": 0.0, "7": 0.0}], 7),
    ],
)
def test_a_window_is_chosen_by_the_last_attempts_too(before, chosen):
    assert choose_window(NOW, before, late=0) == chosen


def test_of_equal_windows_the_longer_goes_on():
    assert choose_window({"all": 1.0, 7: 1.0}, [], late=0) == "all"


@pytest.mark.parametrize(
    ("loss", "before", "margin", "chosen"),
    [
        (0.99, [], 0.0, "baseline"),
        (1.0, [], 0.0, "all"),
        # While a recipe serves it must do better by more.
        (0.99, [], 0.02, "all"),
        (0.97, [], 0.02, "baseline"),
        # One odd week does not bring it back: of 0.9 and 1.15 the mean is above 1.
        (0.9, [1.15], 0.0, "all"),
        # How good or bad a recipe was counts up to a fifth.
        (0.9, [0.9, 9.0], 0.0, "baseline"),
        (1.2, [0.1], 0.0, "all"),
    ],
)
def test_the_baseline_serves_where_it_has_done_better_over_several_attempts(loss, before, margin, chosen):
    earlier = [{"all": 1.0, "baseline": one} for one in before]
    assert choose_window({"all": 1.0, "baseline": loss}, earlier, 7, margin) == chosen


@pytest.mark.parametrize(
    ("losses", "late", "chosen"),
    [
        # Labels that are late by a week take 2 % from a week's window, and half of a percent from four.
        ({"all": 1.0, 7: 0.985}, 0, 7),
        ({"all": 1.0, 7: 0.985}, 7, "all"),
        ({"all": 1.0, 28: 0.985}, 7, 28),
        ({"all": 1.0, 28: 0.995, 7: 0.985}, 7, 28),
        ({"all": 1.0, 7: 0.97}, 7, 7),
    ],
)
def test_where_labels_are_late_a_short_window_must_do_better_by_more(losses, late, chosen):
    assert choose_window(losses, [], late) == chosen
