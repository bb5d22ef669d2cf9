"""The gate on losses drawn from known distributions: how often it promotes, and what theory says."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import integrate, stats

from include.config.contract import GateConfig
from include.judging.gate import attempt_confidence, judge
from include.records import Judgement

ATTEMPTS, EFFECT = 3, 0.02
FIRST = attempt_confidence(0.95, 1, ATTEMPTS)
BLOCKS = (2, 3, 4, 6, 8, 12)
NOISES = (0.5, 1.0, 2.0, 4.0)
KINDS = ("even", "uneven", "heavy", "together", "all")
_GATE = GateConfig(metric="mae", min_effect=0, calibration=None)
_NO_ROWS = pd.DataFrame()
_ROWS = 60


@dataclass(frozen=True)
class Rate:
    """How many of so many gates promoted, without a minimum effect and with it, and with rows counted one by one."""

    gates: int
    promoted: int
    with_effect: int
    by_rows: int


def judge_draw(old: np.ndarray, new: np.ndarray, blocks: np.ndarray, confidence: float) -> Judgement:
    """What the gate says of two models' errors."""
    return judge(_GATE, "drawn", np.zeros(len(old)), old, new, blocks, _NO_ROWS, confidence)[0]


def draw_equals(random: np.random.Generator, count: int, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Errors of two models that are equally good, and their batches.

    Each error has a part that both models share and one of its own. ``uneven``: the last batch has most rows.
    ``heavy``: Student's t with 2.5 degrees of freedom, whose losses have no third moment. ``together``: half of what a
    model has of its own is the same for all rows of a batch. ``all``: the three at once.
    """
    sizes = np.full(count, _ROWS)
    if kind in ("uneven", "all"):
        sizes = np.array([8] * (count - 1) + [_ROWS * count])
    blocks = np.repeat(np.arange(count), sizes)
    shape = 2.5 if kind in ("heavy", "all") else np.inf
    shared, *own = (random.standard_t(shape, len(blocks)) if np.isfinite(shape) else random.normal(0, 1, len(blocks))
                    for _ in range(3))  # fmt: skip
    if kind in ("together", "all"):
        own = [part + random.normal(0, 1, count)[blocks] for part in own]
    return shared + 0.5 * own[0], shared + 0.5 * own[1], blocks


def promote_equals(count: int, kind: str, gates: int, seed: int) -> Rate:
    """A/A gates of single attempts at 95 %."""
    random = np.random.default_rng([seed, count, KINDS.index(kind)])
    promoted = with_effect = by_rows = 0
    for _ in range(gates):
        old, new, blocks = draw_equals(random, count, kind)
        judged = judge_draw(old, new, blocks, 0.95)
        promoted += judged.lower > 0
        with_effect += judged.lower > 0 and judged.improvement >= EFFECT
        better = np.abs(old) - np.abs(new)
        by_rows += np.mean(better) > stats.t.ppf(0.95, len(better) - 1) * np.std(better, ddof=1) / len(better) ** 0.5
    return Rate(gates, promoted, with_effect, by_rows)


def promote_in_verdict(count: int, verdicts: int, spent: bool, seed: int) -> float:
    """The share of verdicts about equal models that promote in one of their attempts, without a minimum effect."""
    random = np.random.default_rng([seed, count])
    promoted = 0
    for _ in range(verdicts):
        for number in range(1, ATTEMPTS + 1):
            confidence = attempt_confidence(0.95, number, ATTEMPTS) if spent else 0.95
            if judge_draw(*draw_equals(random, count, "even"), confidence).lower > 0:
                promoted += 1
                break
    return promoted / verdicts


def promote_known(count: int, noise: float, improvement: float, gates: int, seed: int) -> float:
    """The share promoted of challengers whose true improvement is known, at a first attempt.

    :param noise: standard deviation of a batch's mean improvement, in minimum effects.
    """
    random = np.random.default_rng([seed, count, int(10 * noise), int(improvement > 0)])
    blocks = np.repeat(np.arange(count), 2)
    promoted = 0
    for _ in range(gates):
        better = improvement + noise * EFFECT * random.normal(0, 1, count)
        judged = judge_draw(np.ones(2 * count), np.repeat(1 - better, 2), blocks, FIRST)
        promoted += judged.lower > 0 and judged.improvement >= EFFECT
    return promoted / gates


def theory(count: int, deviation: float, improvement: float, confidence: float, effect: float = EFFECT) -> float:
    """The probability that the mean of normal batch means reaches the effect and its t bound lies above 0.

    Mean and standard deviation of a normal sample are independent: the integral over the deviation's chi distribution
    of the normal probability that the mean reaches the larger of the effect and the quantile times the standard error.
    Without an effect that is the noncentral t distribution.

    :param count: batches.
    :param deviation: of a batch's mean.
    :param improvement: the true mean.
    """
    freedom, error = count - 1, deviation / count**0.5
    quantile = float(stats.t.ppf(confidence, freedom))

    def density(chi: float) -> float:
        needed = max(effect, quantile * error * chi / freedom**0.5)
        return float(stats.chi.pdf(chi, freedom) * stats.norm.sf((needed - improvement) / error))

    kink = effect * freedom**0.5 / (quantile * error)
    end = freedom**0.5 + 8
    inner = min(kink, end)
    return float(integrate.quad(density, 0, inner)[0] + integrate.quad(density, inner, end)[0])


def detectable(count: int, deviation: float, power: float = 0.8) -> float:
    """The true improvement that a first attempt promotes with a given probability."""
    low, high = 0.0, 100 * (deviation + EFFECT)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if theory(count, deviation, middle, FIRST) < power else (low, middle)
    return high
