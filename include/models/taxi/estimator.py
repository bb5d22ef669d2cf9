"""Gradient boosting for the median duration, which is what the mean absolute error asks for."""

from sklearn.ensemble import HistGradientBoostingRegressor


def build_estimator(seed: int) -> HistGradientBoostingRegressor:
    """An unfitted estimator, composed of library classes only so that it can be stored without pickle."""
    return HistGradientBoostingRegressor(loss="absolute_error", max_iter=120, learning_rate=0.1, random_state=seed)
