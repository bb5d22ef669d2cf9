"""Gradient boosting of the log loss, held back by large leaves: a week's bookings come in groups."""

from sklearn.ensemble import HistGradientBoostingClassifier


def build_estimator(seed: int) -> HistGradientBoostingClassifier:
    """An unfitted estimator, composed of library classes only so that it can be stored without pickle."""
    return HistGradientBoostingClassifier(
        max_iter=60,
        max_depth=4,
        min_samples_leaf=200,
        l2_regularization=10.0,
        categorical_features="from_dtype",
        random_state=seed,
    )
