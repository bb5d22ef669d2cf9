"""The rival judge of the bench on late labels: what it takes for mature is told by the past alone."""

import numpy as np
import pandas as pd
import pytest

from tests.bench.maturity import Past, eventual_share, mature_batches, rows_by_batch


def past(delays, batches=40, rows=100, longest=10, seed=1):
    """Batches of rows whose labels come after some delay; below 0 stands for never."""
    random = np.random.default_rng(seed)
    days, shares = zip(*delays, strict=True)
    batch = np.repeat(np.arange(batches), rows)
    delay = random.choice(days, len(batch), p=shares)
    labelled = pd.DataFrame({"batch": batch, "known": batch + delay, "loss": 1.0})[delay >= 0]
    return Past(labelled.reset_index(drop=True), np.full(batches, rows), longest)


def test_the_share_of_labels_that_ever_come_is_learnt_before_they_all_have():
    one = past(((0, 0.3), (5, 0.3), (10, 0.2), (-1, 0.2)))
    assert eventual_share(one, 39) == pytest.approx(0.8, abs=0.03)
    # At the newest eleven batches no more than 70 % has been seen of any.
    assert eventual_share(one, 11) == pytest.approx(0.8, abs=0.06)


def test_a_batch_is_mature_once_nine_tenths_of_what_will_come_is_there():
    one = past(((0, 0.3), (5, 0.3), (10, 0.2), (-1, 0.2)))
    mature = mature_batches(one, 39)
    assert mature[-1] == 29, "ten batches wait for the last quarter of their labels"
    assert len(mature) >= 28, "all older ones, but for a few that stay short by chance"
    assert rows_by_batch(one, 39, since=20, window=4)["batch"].unique().tolist() == [26, 27, 28, 29]
    assert rows_by_batch(one, 39, since=27, window=4)["batch"].unique().tolist() == [28, 29]


def test_nothing_later_moves_what_was_mature():
    one = past(((0, 0.5), (3, 0.5)))
    later = one.rows["known"] > 20
    turned = one.rows.assign(known=one.rows["known"].where(~later, 39))
    assert mature_batches(one, 20).tolist() == mature_batches(Past(turned, one.clean, one.longest), 20).tolist()
