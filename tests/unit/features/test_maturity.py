"""Late labels: bent ones are told from merely late ones, and rows that are not due are left out."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from evergreen.features.maturity import Arrivals, find_mature_rows

CUT = 30


def arrivals(delay_of, rows=4000, task="classification"):
    """Rows with a lead of 0 to 11 batches that arrived over 30 batches; ``delay_of`` says when their labels come."""
    rng = np.random.default_rng(7)
    lead, batch = rng.integers(0, 12, rows), np.sort(rng.integers(0, CUT, rows))
    target = (rng.random(rows) < 0.4).astype(float) if task == "classification" else rng.normal(size=rows)
    delay = delay_of(rng, lead, target)
    known = batch + delay < CUT
    order = np.append(np.flatnonzero(known), np.flatnonzero(~known))
    frame = pd.DataFrame({"lead": lead, "kind": pd.Categorical(np.where(lead > 5, "far", "near"))})
    features = frame.iloc[order].reset_index(drop=True)
    return Arrivals(features, target[known], delay[known], CUT - 1 - batch[order])


def cancelled(rng, lead, target):
    """Cancellations become known at any time up to the event, all else at the event."""
    return np.where(target == 1, rng.integers(0, lead + 1), lead)


def unrelated(rng, lead, target):
    return rng.integers(0, 9, len(lead))


def by_feature(rng, lead, target):
    return lead


def test_of_bent_labels_the_rows_that_are_not_due_are_left_out():
    bent = arrivals(cancelled)
    maturity = find_mature_rows(bent, 0)
    n = len(bent.target)
    is_due = bent.age[:n] >= bent.features["lead"].to_numpy()[:n]
    assert maturity.bend < 0.5
    # All that came early are cancellations, and most of them are gone; of those that are due, hardly any.
    assert bent.target[~is_due].mean() == 1.0
    assert maturity.kept[~is_due].mean() < 0.25
    assert maturity.kept[is_due].mean() > 0.95
    # The share of cancellations, 40 %, is nearer than before.
    assert abs(bent.target[maturity.kept].mean() - 0.4) < abs(bent.target.mean() - 0.4) / 2


@pytest.mark.parametrize("delay_of", [unrelated, by_feature])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_labels_that_are_merely_late_are_all_kept(delay_of, task):
    maturity = find_mature_rows(arrivals(delay_of, task=task), 0)
    assert maturity.kept.all()
    assert maturity.bend > 0.75


def test_nothing_is_asked_where_no_row_waits_or_every_label_came_at_once():
    late = arrivals(cancelled)
    n = len(late.target)
    complete = dataclasses.replace(late, features=late.features[:n], age=late.age[:n])
    at_once = dataclasses.replace(late, delay=np.zeros(n, dtype=np.int64))
    for one in (complete, at_once):
        maturity = find_mature_rows(one, 0)
        assert (maturity.kept.all(), maturity.bend) == (True, 1.0)


def test_all_rows_stay_where_only_one_outcome_would_be_left():
    """Cancellations come at once, all else after twenty batches: by far most rows wait at a cut after ten."""
    late = arrivals(lambda rng, lead, target: np.where(target == 1, 0, 40))
    maturity = find_mature_rows(late, 0)
    assert set(late.target) == {1.0}
    assert maturity.kept.all()


def test_it_is_the_same_every_time_and_for_features_of_every_kind():
    late = arrivals(cancelled, rows=1500)
    count = len(late.features)
    features = late.features.assign(
        text=[None if i % 7 == 0 else f"t{i % 5}" for i in range(count)],
        at=pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(count) % 9, unit="D"),
        flag=np.arange(count) % 2 == 0,
        infinite=np.where(np.arange(count) % 3 == 0, np.inf, 1.0),
        nullable=pd.array([None if i % 4 == 0 else i for i in range(count)], dtype="Int64"),
    )
    late = dataclasses.replace(late, features=features)
    first, second = find_mature_rows(late, 3), find_mature_rows(late, 3)
    assert np.array_equal(first.kept, second.kept)
    assert first.bend == second.bend < 0.75
