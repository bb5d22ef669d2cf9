"""A model folder in small, which tests break in one place at a time."""

from pathlib import Path

import pytest

from evergreen.config.locations import Locations

CONFIG = """\
title: Taxi trips
schedule: {every: day, start: 2024-01-01, timezone: America/New_York}
source:
  files: "trips_{batch:%Y-%m-%d}*.csv"
  complete: {marker: "trips_{batch:%Y-%m-%d}.done"}
  wait: 6h
rows:
  key: [id]
  event_time: at
  columns:
    id: integer
    at: {timestamp: "%Y-%m-%d %H:%M"}
    distance: float
    zone: category
  max_quarantined: 20%
labels:
  files: "labels_{batch:%Y-%m-%d}.csv"
  key: [id]
  target: {minutes: float}
  wait: 12h
features: {lookback: 0, rowwise: true}
model: {task: regression, seed: 7}
training: {window: 12, min_labels: 200}
gate: {metric: mae, min_effect: 2%, slices: {zone: {may_worsen: 10%}}}
check: {window: 2, ignore: [distance]}
retrain: {any: [decay, {every: 28}]}
"""
EXPECTATIONS = """\
rows:
  - expect_column_values_to_be_between: {column: distance, min_value: 0}
"""
FEATURES = """\
def build_features(batch, history):
    return batch[["distance"]]
"""
ESTIMATOR = """\
from sklearn.linear_model import LinearRegression


def build_estimator(seed):
    return LinearRegression()
"""


@pytest.fixture
def write_folder(tmp_path):
    """Write a sound model folder; each argument replaces one file's text, None leaves the file out."""

    def write(
        name: str = "taxi",
        root: Path = tmp_path / "models",
        config: str | None = CONFIG,
        expectations: str | None = EXPECTATIONS,
        features: str | None = FEATURES,
        estimator: str | None = ESTIMATOR,
    ) -> Path:
        folder = root / name
        folder.mkdir(parents=True)
        texts = {
            "config.yaml": config,
            "expectations.yaml": expectations,
            "features.py": features,
            "estimator.py": estimator,
        }
        for file, text in texts.items():
            if text is not None:
                (folder / file).write_text(text, encoding="utf-8")
        return folder

    return write


@pytest.fixture
def edit_config():
    """The sound config.yaml with one text put in another's place."""

    def edit(old: str, new: str) -> str:
        assert CONFIG.count(old) == 1, f"{old!r} stands {CONFIG.count(old)} times in the sound config.yaml"
        return CONFIG.replace(old, new)

    return edit


@pytest.fixture
def at(tmp_path):
    """A deployment of its own, where nothing has landed yet; its model registry is never asked."""
    (tmp_path / "landing" / "taxi").mkdir(parents=True)
    return Locations("dev", str(tmp_path / "lake"), str(tmp_path / "landing"), "http://127.0.0.1:1")
