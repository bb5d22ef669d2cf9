"""The oracle's plan, against every plan that there is."""

import itertools

import numpy as np
import pytest

from include.replay.oracle import Hindsight, find_plan

BATCHES = [f"2024-01-{day:02}" for day in range(1, 8)]


def hindsight(seed):
    """Version 1 and one version as of each batch but the last, with losses drawn by seed."""
    random = np.random.default_rng(seed)
    n = len(BATCHES)
    losses = random.uniform(0.5, 2.0, (n, n))
    trained = np.array([-1, *range(n - 1)])
    for version, after in enumerate(trained):
        losses[version, : after + 1] = np.inf
    return Hindsight(BATCHES, trained, losses)


def cost_of(seen, chosen, price):
    """What a plan costs: each batch is scored by the newest version that was trained before it."""
    total = price * len(chosen)
    for j in range(len(seen.batches)):
        serving = max((v for v in (0, *chosen) if seen.trained[v] < j), key=lambda v: seen.trained[v])
        total += seen.losses[serving, j]
    return total


@pytest.mark.parametrize("price", [0.0, 0.3, 1.0, 50.0])
@pytest.mark.parametrize("seed", range(5))
def test_no_plan_costs_less(seed, price):
    seen = hindsight(seed)
    plan = find_plan(seen, price)
    versions = range(1, len(seen.trained))
    plans = itertools.chain.from_iterable(itertools.combinations(versions, k) for k in range(len(seen.trained)))
    cheapest = min(cost_of(seen, chosen, price) for chosen in plans)
    assert sum(plan.losses.values()) + price * len(plan.trainings) == pytest.approx(cheapest)


def test_what_costs_too_much_is_not_done():
    assert find_plan(hindsight(0), 1e6).trainings == []


def test_a_change_is_answered_right_after_it():
    # Version 1 is good for three batches, then whoever was trained since is.
    n = len(BATCHES)
    losses = np.full((n, n), 5.0)
    losses[0, :3] = 1.0
    losses[4:, 3:] = 1.0
    seen = Hindsight(BATCHES, np.array([-1, *range(n - 1)]), losses)
    plan = find_plan(seen, 0.5)
    assert plan.trainings == [BATCHES[3]]
    assert list(plan.losses.values()) == [1.0, 1.0, 1.0, 5.0, 1.0, 1.0, 1.0]
