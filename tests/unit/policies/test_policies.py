"""Policies: what each finds in a situation, and what several find together."""

from dataclasses import replace

import numpy as np
import pytest

from include.config.policies import (
    Adwin,
    AllOf,
    AnyOf,
    Cara,
    CodeChanged,
    Cusum,
    Decay,
    Due,
    EveryN,
    InputDrift,
    Never,
    Refilled,
    Uniform,
    describe_policy,
)
from include.policies import ArrivedLosses, Situation, build_policy, find_evidence, find_reasons
from include.policies.spread import find_spread
from include.records import SectionVerdict


def situation(age=5, idle=5, new_labels=100, inputs="ok", outcomes="ok", **more):
    return Situation(
        age=age,
        idle=idle,
        new_labels=new_labels,
        inputs=SectionVerdict(state=inputs, why=""),
        outcomes=SectionVerdict(state=outcomes, why=""),
        **more,
    )


CASES = [
    (Refilled(), {"refilled": True}, "due"),
    (Refilled(), {"outcomes": "bad", "inputs": "bad", "age": 999, "idle": 999}, None),
    (Never(), {"age": 999, "idle": 999, "new_labels": 10**9, "inputs": "bad", "outcomes": "bad"}, None),
    (Decay(), {"outcomes": "ok"}, None),
    (Decay(), {"outcomes": "bad"}, "decay"),
    (Decay(), {"outcomes": "provisional"}, None),
    (Decay(), {"inputs": "warn", "age": 999, "idle": 999, "new_labels": 10**9}, None),
    (InputDrift(), {"inputs": "ok"}, None),
    (InputDrift(), {"inputs": "warn"}, "drift"),
    (InputDrift(), {"inputs": "bad"}, "drift"),
    (InputDrift(), {"inputs": "provisional"}, None),
    (InputDrift(), {"outcomes": "bad"}, None),
    (EveryN(n=4), {"idle": 3}, None),
    (EveryN(n=4), {"idle": 4}, "due"),
    (EveryN(n=4), {"idle": 9}, "due"),
    (EveryN(n=4), {"age": 9, "idle": 3}, None),
    (Due(age=4), {"age": 3, "idle": 3}, None),
    (Due(age=4), {"age": 4, "idle": 4}, "due"),
    (Due(age=4), {"age": 9, "idle": 1}, "due"),
    (Due(age=4), {"age": 3, "idle": 3, "new_labels": 10**9}, None),
    (Due(new_labels=500), {"new_labels": 499, "age": 999, "idle": 999}, None),
    (Due(new_labels=500), {"new_labels": 500}, "due"),
    (Due(age=4, new_labels=500), {"age": 4, "idle": 4, "new_labels": 0}, "due"),
    (Due(age=4, new_labels=500), {"age": 0, "idle": 0, "new_labels": 500}, "due"),
    (Due(age=4, new_labels=500), {"age": 3, "idle": 3, "new_labels": 499}, None),
    (CodeChanged(), {}, None),
    (CodeChanged(), {"code_changed": True}, "code_changed"),
    (Cusum(), {}, None),
    (Adwin(), {}, None),
    (Cara(), {}, None),
]


@pytest.mark.parametrize(("policy", "seen", "reason"), CASES, ids=str)
def test_a_policy_gives_its_reason_or_none(policy, seen, reason):
    assert build_policy(policy).find_reason(situation(**seen)) == reason


def points(budget, over, width=1, last=104):
    """The batches at whose checks a uniform policy asks."""
    policy = build_policy(Uniform(budget=budget, over=over))
    ends = range(width, last + 1, width)
    return [end - 1 for end in ends if policy.find_reason(situation(covers=range(end - width, end)))]


def test_a_uniform_policy_asks_its_budget_evenly_spaced_and_of_every_check_that_covers_a_point():
    assert points(4, 12, last=24) == [2, 5, 8, 11, 14, 17, 20, 23]
    assert points(6, 52) == [8, 17, 25, 34, 43, 51, 60, 69, 77, 86, 95, 103]
    assert points(6, 52, width=7, last=56) == [13, 20, 27, 34, 48, 55]
    assert points(5, 5, last=10) == list(range(10))


# Rows that lie 0.2 to either side of their batch's mean: the variance of a row is 0.04 * 50 / 49.
ROWS = np.tile([-0.2, 0.2], 25)
# The standard error of a batch's mean less that of a holdout of four such batches.
ERROR = np.sqrt(0.04 * 50 / 49 * (1 / 50 + 1 / 200))


def arrived(*means, rows=ROWS, at_promotion=1.0, newest=0):
    """Losses of one label batch a batch, up to a batch that lies ``newest`` before the check."""
    ages = tuple(range(newest + len(means) - 1, newest - 1, -1))
    losses = [mean + rows for mean in means]

    def recall(memory):
        reach = ages[-memory] + 1 if memory < len(ages) else 10**6
        return ArrivedLosses(ages[-memory:], tuple(losses[-memory:]), at_promotion, reach)

    return recall


def asks(policy, losses, **seen):
    return build_policy(policy).find_reason(situation(losses=losses, **seen)) is not None


TEXTBOOK = Cusum(k=0.5, h=5)


def test_cusum_adds_up_what_lies_above_the_slack_and_asks_past_the_threshold():
    level, above = [1.0] * 6, [1 + 2 * ERROR]
    # Each batch adds 2 - 0.5.
    assert [n for n in range(6) if asks(TEXTBOOK, arrived(*level, *above * n))] == [4, 5]
    assert [n for n in range(6) if asks(Cusum(k=0.5, h=2.9), arrived(*level, *above * n))] == [2, 3, 4, 5]
    assert not asks(Cusum(k=2, h=5), arrived(*level, *above * 20))
    # What is better brings the sum to nothing, not below; then it starts again.
    better = [1 - 50 * ERROR]
    assert not asks(TEXTBOOK, arrived(*level, *above * 4, *better))
    assert asks(TEXTBOOK, arrived(*level, *better, *above * 4))
    # What lies beyond its memory is forgotten.
    assert not asks(Cusum(k=0.5, h=5, memory=4), arrived(*above * 4, *level[:4]))


def test_cusum_is_silent_where_nothing_is_known_to_compare_with_or_too_little_has_come():
    assert not asks(TEXTBOOK, arrived(*[9.0] * 3))
    assert asks(TEXTBOOK, arrived(*[9.0] * 4))
    assert not asks(TEXTBOOK, arrived(*[9.0] * 8, at_promotion=None))


def test_a_batch_of_few_rows_weighs_less():
    losses = arrived(*[1.0] * 6, *[1 + 2 * ERROR] * 4)(28)
    few = tuple(batch[:4] if i > 5 else batch for i, batch in enumerate(losses.losses))
    assert not asks(TEXTBOOK, lambda memory: replace(losses, losses=few))


def test_the_spread_counts_what_days_share_and_a_single_change_of_level_does_not():
    variance, design = find_spread(arrived(1.0, 1.0, 1.0, 3.0, 3.0, 3.0)(28).losses)
    assert variance == pytest.approx(0.04 * 50 / 49)
    assert design == 1
    # Means half an error of their difference apart would make it 0.25 / 0.4549, and it is 1 at the least.
    apart = np.sqrt(variance * 2 / 50)
    assert find_spread(arrived(1.0, 1 + apart / 2, 1.0, 1 + apart / 2)(28).losses)[1] == 1
    assert find_spread(arrived(1.0, 1 + 3 * apart, 1.0, 1 + 3 * apart)(28).losses)[1] == pytest.approx(9 / 0.4549)
    assert find_spread((np.ones(3), np.ones(3))) == (0, 1)


def test_batches_of_one_row_scatter_as_their_means_do():
    random = np.random.default_rng(1)
    apart = [tuple(random.exponential(1, (28, 1))) for _ in range(200)]
    assert find_spread(apart[0])[1] == 1
    alarms = [
        asks(Cusum(), lambda memory, one=one: ArrivedLosses(tuple(range(28))[::-1], one, 1.0, 28)) for one in apart
    ]
    assert sum(alarms) <= 4
    assert asks(
        Cusum(), lambda memory: ArrivedLosses(tuple(range(28))[::-1], tuple(one + 2 for one in apart[0]), 1.0, 28)
    )


def days(seed, n, rows, shared, rise=1.0, since=99):
    """Losses as absolute errors have them, of which the rows of a day share a factor."""
    random = np.random.default_rng(seed)
    factors = np.exp(random.normal(0, shared, n)) * np.where(np.arange(n) < since, 1, rise)
    losses = tuple(np.abs(random.normal(0, 1, rows)) * factor for factor in factors)

    def recall(memory):
        kept = losses[-memory:]
        return ArrivedLosses(tuple(range(len(kept) - 1, -1, -1)), kept, np.sqrt(2 / np.pi), len(kept))

    return recall


@pytest.mark.parametrize(("shared", "rise"), [(0, 1.5), (0.1, 2.0)])
def test_adwin_and_cusum_find_a_rise_and_are_silent_without_one(shared, rise):
    for policy in (Adwin(), Cusum()):
        calm = [asks(policy, days(seed, 24, 400, shared)) for seed in range(20)]
        risen = [asks(policy, days(seed, 24, 400, shared, rise, since=20)) for seed in range(20)]
        assert sum(calm) <= 1, policy
        assert sum(risen) >= 19, policy


def test_row_by_row_adwin_would_take_what_days_share_for_a_change(monkeypatch):
    monkeypatch.setattr("include.policies.adwin.find_spread", lambda losses: (1.0, 1.0))
    assert sum(asks(Adwin(), days(seed, 24, 400, 0.1)) for seed in range(20)) >= 5


def test_adwin_takes_only_a_rise_and_only_above_the_error_at_promotion():
    rise, fall = days(1, 24, 400, 0, 2.0, since=16)(28), days(1, 24, 400, 0, 0.5, since=16)(28)
    assert asks(Adwin(), lambda memory: rise)
    assert not asks(Adwin(), lambda memory: fall)
    assert not asks(Adwin(), lambda memory: replace(rise, at_promotion=2.0))
    assert asks(Adwin(), lambda memory: replace(rise, at_promotion=None))
    # A few large losses are cut, and so is what they are held against.
    tail = np.exp(np.random.default_rng(5).normal(0, 2, (24, 400)))
    heavy = tuple(day * (1.5 if n > 15 else 1) for n, day in enumerate(tail))
    assert asks(Adwin(), lambda memory: replace(rise, losses=heavy, at_promotion=float(tail[:16].mean())))
    # It is over once the error has fallen again.
    again = (*rise.losses, *(batch / 2 for batch in rise.losses[16:]))
    assert not asks(Adwin(), lambda memory: ArrivedLosses(tuple(range(31, -1, -1)), again, 0.8, 32))
    assert not asks(Adwin(), lambda memory: ArrivedLosses(rise.ages[-3:], rise.losses[-3:], 0.1, 3))
    same = (np.ones(50),) * 8
    assert not asks(Adwin(), lambda memory: ArrivedLosses(tuple(range(7, -1, -1)), same, 1.0, 8))


def test_a_thousand_rows_of_a_batch_are_enough_for_adwin():
    few, many = days(3, 12, 1000, 0, 1.3, since=8), days(3, 12, 100_000, 0, 1.3, since=8)
    assert asks(Adwin(), few)
    assert asks(Adwin(), many)


def test_cara_asks_when_keeping_has_cost_a_training():
    # A quarter more error over four batches is one batch of twice the error.
    assert [n for n in range(1, 7) if asks(Cara(), arrived(*[1.25] * n), age=n, idle=n)] == [4, 5, 6]
    assert [n for n in range(1, 7) if asks(Cara(price=0.5), arrived(*[1.25] * n), age=n, idle=n)] == [2, 3, 4, 5, 6]
    assert not asks(Cara(), arrived(*[1.25] * 4, at_promotion=None), age=4, idle=4)
    # Better batches count against worse ones.
    assert not asks(Cara(), arrived(0.9, *[1.25] * 4), age=5, idle=5)


def test_cara_counts_from_the_last_training_and_by_batches_not_by_label_batches():
    # A retraining was closed two batches ago: two quarters.
    assert not asks(Cara(), arrived(*[1.25] * 8), age=8, idle=2)
    assert asks(Cara(price=0.5), arrived(*[1.25] * 8), age=8, idle=2)
    assert not asks(Cara(), arrived(*[9.0] * 8, newest=3), age=11, idle=3)
    # Labels of ten batches came at once, six batches ago: ten times 0.2 were borne.
    once = arrived(1.2, newest=6)
    assert asks(Cara(price=2.0 - 1e-9), once, age=16, idle=16)
    assert not asks(Cara(price=2.1), once, age=16, idle=16)
    # A bulk is told apart by its rows' batches, and came at one time all the same.
    bulk = ArrivedLosses((0,) * 10, (1.2 + ROWS,) * 10, 1.0, 10)
    assert asks(Cara(price=2.0 - 1e-9, memory=10), lambda memory: bulk, age=40, idle=40)
    assert not asks(Cara(price=2.1, memory=10), lambda memory: bulk, age=40, idle=40)
    # Beyond its memory it knows of nothing: three batches of half as much more.
    assert asks(Cara(price=1.5, memory=3), arrived(*[1.5] * 40), age=40, idle=40)
    assert not asks(Cara(price=1.6, memory=3), arrived(*[1.5] * 40), age=40, idle=40)


def test_any_policy_is_enough_and_each_reason_is_given_once():
    configured = (Never(), EveryN(n=4), Decay(), Due(age=2), InputDrift())
    assert find_reasons(configured, situation(outcomes="bad", inputs="warn")) == ("due", "decay", "drift")
    assert find_reasons(configured, situation(age=1, idle=1)) == ()
    assert find_reasons((), situation(outcomes="bad")) == ()


def test_all_of_several_ask_together_or_not_at_all_and_either_way_nests():
    both = AllOf(of=(Decay(), InputDrift()))
    assert find_reasons((both,), situation(outcomes="bad", inputs="warn")) == ("decay", "drift")
    assert find_reasons((both,), situation(outcomes="bad")) == ()
    assert find_reasons((both, EveryN(n=5)), situation(inputs="warn")) == ("due",)
    nested = AllOf(of=(AnyOf(of=(Decay(), InputDrift())), EveryN(n=4)))
    assert find_reasons((nested,), situation(inputs="warn")) == ("drift", "due")
    assert find_reasons((nested,), situation(inputs="warn", idle=3)) == ()
    assert describe_policy(nested) == "all of (any of (decay, input_drift), every)"


def test_what_asks_is_weighed_without_the_reasons_that_do_not_count():
    both = AllOf(of=(Decay(), EveryN(n=4)))
    seen = situation(outcomes="bad", inputs="warn")
    assert find_reasons((both, InputDrift()), seen, without=("decay",)) == ("drift",)
    assert find_reasons((both,), seen, without=("drift",)) == ("decay", "due")
    assert find_reasons((both,), seen, without=("decay", "due")) == ()


def test_what_is_measured_is_evidence_though_it_may_not_ask_alone():
    both = AllOf(of=(Decay(), Uniform(budget=1, over=7)))
    seen = situation(outcomes="bad", covers=range(1))
    assert (find_reasons((both,), seen), find_evidence((both,), seen)) == ((), ("decay",))
    assert find_evidence((both, InputDrift(), EveryN(n=1)), situation(inputs="warn")) == ("drift",)
