"""Losses and metrics by hand."""

import numpy as np
import pytest

from evergreen.losses import METRICS

TARGET = np.array([1.0, 2.0, 4.0])
PREDICTION = np.array([2.0, 2.0, 1.0])


@pytest.mark.parametrize(
    ("metric", "losses", "mean"),
    [("mae", [1, 0, 3], 4 / 3), ("rmse", [1, 0, 9], (10 / 3) ** 0.5), ("brier", [1, 0, 9], 10 / 3)],
)
def test_losses_of_rows_and_their_metric(metric, losses, mean):
    found = METRICS[metric].row_losses(TARGET, PREDICTION)
    assert found.tolist() == losses
    assert METRICS[metric].of(found) == pytest.approx(mean)


def test_logloss_in_nats():
    losses = METRICS["logloss"].row_losses(np.array([1, 0, 1]), np.array([0.8, 0.8, 0.5]))
    assert losses == pytest.approx([0.2231436, 1.6094379, 0.6931472], abs=1e-6)
    assert METRICS["logloss"].of(losses) == pytest.approx(0.8419096, abs=1e-6)


def test_logloss_of_a_sure_and_wrong_prediction_is_large_and_finite():
    losses = METRICS["logloss"].row_losses(np.array([1, 0, 1, 0]), np.array([0.0, 1.0, 1.0, 0.0]))
    assert np.isfinite(losses).all()
    assert (losses[:2] > 30).all()
    assert losses[2:] == pytest.approx([0, 0], abs=1e-12)


def test_a_metric_of_nothing_is_not_a_number():
    assert np.isnan(METRICS["mae"].of(np.array([])))


@pytest.mark.parametrize("metric", ["mae", "rmse", "brier", "logloss"])
def test_no_other_constant_is_better(metric):
    random = np.random.default_rng(1)
    target = (
        random.exponential(3, 201) if METRICS[metric].task == "regression" else (random.random(201) < 0.2).astype(float)
    )
    best = METRICS[metric].best_constant(target)

    def loss(constant):
        return METRICS[metric].row_losses(target, np.full(201, constant)).mean()

    assert all(loss(best) <= loss(best + step) for step in (-0.05, -0.01, 0.01, 0.05))


def test_whole_numbers_are_counted_as_numbers():
    assert METRICS["rmse"].row_losses(np.array([1, 2]), np.array([3, 2])).tolist() == [4.0, 0.0]
    assert METRICS["mae"].best_constant(np.array([1, 2, 2, 9])) == 2.0
    assert METRICS["rmse"].best_constant(np.array([1, 2, 2, 9])) == 3.5


@pytest.mark.parametrize("metric", ["logloss", "brier"])
def test_what_was_never_seen_may_come(metric):
    """Laplace's rule of succession: of ten zeros, one in twelve."""
    assert METRICS[metric].best_constant(np.zeros(10)) == pytest.approx(1 / 12)
    assert METRICS[metric].best_constant(np.ones(10)) == pytest.approx(11 / 12)


def test_what_is_waited_for_may_be_either():
    """Of three ones among eight, with four to come: between 3 and 7 of 12, and one of each kind more."""
    outcomes = np.repeat([1.0, 0.0], [3, 5])
    assert METRICS["brier"].best_constant(outcomes, waiting=4) == pytest.approx((4 / 14 + 8 / 14) / 2)


@pytest.mark.parametrize("name", METRICS)
def test_a_mean_loss_and_its_metric_are_told_from_each_other(name):
    metric, losses = METRICS[name], np.array([0.5, 2.0, 4.5])
    assert metric.of(losses) == metric.of_mean(losses.mean())
    assert metric.of(losses) ** (2 if metric.is_root else 1) == pytest.approx(losses.mean())
