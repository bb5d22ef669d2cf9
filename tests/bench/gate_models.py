"""The gate on fitted models: pairs of one recipe, judged on trips that neither was trained on."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from include.config.contract import GateConfig, Metric
from include.demo.stream import DemoStream
from include.judging.gate import judge
from include.records import Judgement
from tests.bench.gate_draws import EFFECT, FIRST, theory

# The defaults of training.window and gate.holdout.
WINDOW, HOLDOUT = 12, 4
# Trips that tell which model is truly better.
_TRUTH = 120_000
_LATE = 15.0
# Of challengers whose errors are stretched until it is truly so.
_IMPROVEMENTS = {"equal": 0.0, "better": EFFECT, "worse": -EFFECT, "tenth": 0.1}
_NO_ROWS = pd.DataFrame()
Predict = Callable[[np.ndarray], np.ndarray]


@dataclass
class Tally:
    """What became of gates between fitted models, at a first attempt of three.

    :param twins: judgements of pairs of one recipe, each with how much better it truly is.
    :param made: judgements of challengers that are truly equal, or better or worse by a known share, by name.
    :param spoilt: judgements of those better by a tenth, once all predictions are shifted or made too sure.
    :param expected: how many of them theory expects to be promoted, were batch means normal.
    :param noises: standard deviation of a batch's mean improvement, pair by pair.
    """

    twins: list[tuple[Judgement, float]] = field(default_factory=list)
    made: dict[str, list[Judgement]] = field(default_factory=lambda: {name: [] for name in _IMPROVEMENTS})
    spoilt: list[Judgement] = field(default_factory=list)
    expected: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_IMPROVEMENTS, 0.0))
    noises: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Pool:
    """Fitted models of one recipe, and what they predict for the trips that tell which is better."""

    models: list[Predict]
    target: np.ndarray
    predicted: list[np.ndarray]


def make_trips(random: np.random.Generator, batches: int, trips: int, metric: Metric) -> tuple[np.ndarray, np.ndarray]:
    """Trips as the demo's, without a season, each batch with a weather of its own.

    :returns: (batches * trips, 5) features, and minutes; for classification whether it took over a quarter of an hour.
    """
    n = batches * trips
    hour = np.clip(random.normal(14, 5, n), 0, 23.99)
    start, end = random.integers(1, 40, n), random.integers(1, 40, n)
    distance = np.round(np.clip(random.lognormal(0.7, 0.6, n), 0.3, 30), 2)
    minutes = DemoStream(changed=0)._minutes(random, 28, hour, start, distance)
    minutes = minutes * np.repeat(random.lognormal(0, 0.05, batches), trips)
    target = minutes if metric == "mae" else (minutes > _LATE).astype(float)
    return np.column_stack([distance, hour, start, end, random.integers(1, 6, n)]), target


def fit_pool(kind: str, metric: Metric, trips: int, count: int) -> Pool:
    """Fit models that differ by the bootstrap of their rows, or by the seed alone (each split sees 3 of 5 features)."""
    random = np.random.default_rng([7, len(kind), len(metric)])
    features, target = make_trips(random, WINDOW, trips, metric)
    fresh, truth = make_trips(random, _TRUTH // trips, trips, metric)
    models: list[Predict] = []
    for seed in range(count):
        rows = random.integers(0, len(target), len(target)) if kind == "bootstrap" else np.arange(len(target))
        settings = {"max_iter": 60, "max_features": 0.6 if kind == "seed" else 1.0, "random_state": seed}
        if metric == "mae":
            regressor = HistGradientBoostingRegressor(loss="absolute_error", **settings)
            models.append(regressor.fit(features[rows], target[rows]).predict)
        else:
            classifier = HistGradientBoostingClassifier(**settings).fit(features[rows], target[rows])
            models.append(functools.partial(_chance, classifier))
    return Pool(models, truth, [model(fresh) for model in models])


def judge_models(kind: str, metric: Metric, trips: int, count: int, gates: int) -> Tally:
    """Judge pairs of a pool, each on a holdout of its own.

    :param kind: ``bootstrap`` or ``seed``.
    :param trips: a batch.
    :param count: models that pairs are drawn from.
    """
    pool, random = fit_pool(kind, metric, trips, count), np.random.default_rng([8, len(kind), len(metric)])
    gate, tally = GateConfig(metric=metric), Tally()
    for _ in range(gates):
        first, second = random.choice(count, 2, replace=False)
        features, target = make_trips(random, HOLDOUT, trips, metric)
        old, new = pool.models[first](features), pool.models[second](features)
        true = pool.target, pool.predicted[first], pool.predicted[second]
        apart = 1 - _loss(metric, true[0], true[2]) / _loss(metric, true[0], true[1])
        tally.twins.append((_judged(gate, target, old, new), apart))
        for name, improvement in _IMPROVEMENTS.items():
            made = _made(metric, target, new, apart, improvement)
            tally.made[name].append(_judged(gate, target, old, made))
            if name == "tenth":
                tally.spoilt.append(_judged(gate, target, old, _spoil(metric, made, target, old)))
                continue
            noise = _noise(metric, trips, *true[:2], _made(metric, true[0], true[2], apart, improvement))
            tally.noises.append(noise)
            tally.expected[name] += theory(HOLDOUT, noise, improvement, FIRST)
    return tally


def passes(judged: Judgement, effect: float = EFFECT, confidence: float = FIRST) -> bool:
    """Whether the improvement is one, calibration left aside, at another confidence than it was judged at."""
    assert judged.confidence is not None
    at, asked = (float(stats.t.ppf(one, judged.blocks - 1)) for one in (judged.confidence, confidence))
    lower = judged.improvement - (judged.improvement - judged.lower) * asked / at
    return lower > 0 and judged.improvement >= effect


def refused(judged: Judgement) -> bool:
    """Whether calibration refuses it."""
    return judged.calibration is not None and not judged.calibration.passed


def _judged(gate: GateConfig, target: np.ndarray, old: np.ndarray, new: np.ndarray) -> Judgement:
    blocks = np.repeat(np.arange(HOLDOUT), len(target) // HOLDOUT)
    return judge(gate, "drawn", target, old, new, blocks, _NO_ROWS, FIRST)[0]


def _chance(model: HistGradientBoostingClassifier, features: np.ndarray) -> np.ndarray:
    chances: np.ndarray = model.predict_proba(features)[:, 1]
    return chances


def _losses(metric: Metric, target: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    errors: np.ndarray = np.abs(target - predicted)
    return errors if metric == "mae" else errors**2


def _loss(metric: Metric, target: np.ndarray, predicted: np.ndarray) -> float:
    return float(np.mean(_losses(metric, target, predicted)))


def _made(metric: Metric, target: np.ndarray, new: np.ndarray, apart: float, improvement: float) -> np.ndarray:
    """The challenger with its errors stretched until it is truly better by so much."""
    stretch = ((1 - improvement) / (1 - apart)) ** (1 if metric == "mae" else 0.5)
    return target + stretch * (new - target)


def _spoil(metric: Metric, made: np.ndarray, target: np.ndarray, old: np.ndarray) -> np.ndarray:
    """All predictions shifted by a quarter of the champion's error, or the log odds doubled."""
    if metric == "mae":
        return made + np.sign(np.mean(made - target)) * _loss(metric, target, old) / 4
    sure = np.clip(made, 1e-6, 1 - 1e-6)
    odds = (sure / (1 - sure)) ** 2
    return odds / (1 + odds)


def _noise(metric: Metric, trips: int, target: np.ndarray, old: np.ndarray, new: np.ndarray) -> float:
    losses = _losses(metric, target, old)
    means = np.mean((losses - _losses(metric, target, new)).reshape(-1, trips), axis=1) / np.mean(losses)
    return float(np.std(means, ddof=1))
