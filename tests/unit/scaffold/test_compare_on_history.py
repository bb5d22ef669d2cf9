"""What kind of trees is proposed: measured on batches of the history that were not learnt from."""

import numpy as np
import pandas as pd
import pytest

ROWS = 900


def make_stream(shape):
    """A week of a hundred rows: steps of three columns, a little of one among much noise, or few large outcomes."""
    random = np.random.default_rng(5)
    one, two, three = random.uniform(0, 1, (3, ROWS))
    outcome = {
        "detail": 10 * np.sin(9 * one) * np.sin(9 * two) + 5 * (three > 0.3) * np.cos(12 * one),
        "noise": one + random.normal(0, 5, ROWS),
        "skewed": one + random.exponential(3, ROWS) ** 2,
        "rare": (one + random.normal(0, 3, ROWS) > 2).astype(int),
    }[shape]
    at = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(ROWS) * 100, "min")
    frame = pd.DataFrame({"sale_id": [f"S{i}" for i in range(ROWS)], "sold_at": at.strftime("%Y-%m-%d %H:%M")})
    return frame.assign(one=one.round(4), two=two.round(4), three=three.round(4), amount=outcome.round(4))


@pytest.mark.parametrize(
    ("shape", "iterations", "loss"),
    [("detail", 200, None), ("noise", 60, None), ("skewed", 60, "absolute_error"), ("rare", 60, None)],
)
def test_size_and_loss_are_those_that_err_least(shape, iterations, loss, propose):
    arguments = propose(make_stream(shape)).features.arguments
    assert (arguments["max_iter"], arguments.get("loss")) == (iterations, loss)
    assert ("l2_regularization" in arguments) == (shape == "rare")


def test_too_few_batches_to_tell_get_small_trees(propose):
    assert propose(make_stream("detail").head(95)).features.arguments["max_iter"] == 60
