"""The share of 1 among the known outcomes."""

from sklearn.dummy import DummyClassifier


def build_estimator(seed: int) -> DummyClassifier:
    """An unfitted estimator."""
    return DummyClassifier(strategy="prior")
