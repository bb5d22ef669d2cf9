"""Losses and metrics by hand."""

import numpy as np
import pytest

from evergreen.losses import best_constant, mean_metric, row_losses

TARGET = np.array([1.0, 2.0, 4.0])
PREDICTION = np.array([2.0, 2.0, 1.0])


@pytest.mark.parametrize(
    ("metric", "losses", "mean"),
    [("mae", [1, 0, 3], 4 / 3), ("rmse", [1, 0, 9], (10 / 3) ** 0.5), ("brier", [1, 0, 9], 10 / 3)],
)
def test_losses_of_rows_and_their_metric(metric, losses, mean):
    found = row_losses(metric, TARGET, PREDICTION)
    assert found.tolist() == losses
    assert mean_metric(metric, found) == pytest.approx(mean)


def test_logloss_in_nats():
    losses = row_losses("logloss", np.array([1, 0, 1]), np.array([0.8, 0.8, 0.5]))
    assert losses == pytest.approx([0.2231436, 1.6094379, 0.6931472], abs=1e-6)
    assert mean_metric("logloss", losses) == pytest.approx(0.8419096, abs=1e-6)


def test_logloss_of_a_sure_and_wrong_prediction_is_large_and_finite():
    losses = row_losses("logloss", np.array([1, 0, 1, 0]), np.array([0.0, 1.0, 1.0, 0.0]))
    assert np.isfinite(losses).all()
    assert (losses[:2] > 30).all()
    assert losses[2:] == pytest.approx([0, 0], abs=1e-12)


def test_a_metric_of_nothing_is_not_a_number():
    assert np.isnan(mean_metric("mae", np.array([])))


@pytest.mark.parametrize("metric", ["mae", "rmse", "brier", "logloss"])
def test_no_other_constant_is_better(metric):
    random = np.random.default_rng(1)
    target = random.exponential(3, 201) if metric in ("mae", "rmse") else (random.random(201) < 0.2).astype(float)
    best = best_constant(metric, target)

    def loss(constant):
        return row_losses(metric, target, np.full(201, constant)).mean()

    assert all(loss(best) <= loss(best + step) for step in (-0.05, -0.01, 0.01, 0.05))


def test_whole_numbers_are_counted_as_numbers():
    assert row_losses("rmse", np.array([1, 2]), np.array([3, 2])).tolist() == [4.0, 0.0]
    assert best_constant("mae", np.array([1, 2, 2, 9])) == 2.0
    assert best_constant("rmse", np.array([1, 2, 2, 9])) == 3.5


@pytest.mark.parametrize("metric", ["logloss", "brier"])
def test_what_was_never_seen_may_come(metric):
    """Laplace's rule of succession: of ten zeros, one in twelve."""
    assert best_constant(metric, np.zeros(10)) == pytest.approx(1 / 12)
    assert best_constant(metric, np.ones(10)) == pytest.approx(11 / 12)


def test_what_is_waited_for_may_be_either():
    """Of three ones among eight, with four to come: between 3 and 7 of 12, and one of each kind more."""
    outcomes = np.repeat([1.0, 0.0], [3, 5])
    assert best_constant("brier", outcomes, waiting=4) == pytest.approx((4 / 14 + 8 / 14) / 2)
