"""How far predictions lie from what came, on average: what a better mean loss may hide."""

import numpy as np


def calibration_terms(bins: int, target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Terms of each row whose mean is the calibration error.

    Of probabilities that is the expected calibration error, the mean distance between what was predicted and how often
    it came, over ten bins of equally many predictions (Naeini, Cooper and Hauskrecht, Obtaining Well Calibrated
    Probabilities Using Bayesian Binning, AAAI 2015; bins of equal mass are less biased than bins of equal width:
    Roelofs and others, Mitigating Bias in Calibration Error Estimation, AISTATS 2022). Of a regression it is the size
    of the mean residual, calibration in the large (Van Calster and others, Calibration: the Achilles heel of
    predictive analytics, BMC Medicine 17, 2019), which is the same with one bin.

    :param bins: how many.
    :param target: (n,) known outcomes; 0 or 1 for classification.
    :param prediction: (n,) finite; expected target, or probability of 1.
    :returns: (n,) residuals, each with the sign that the sum of its bin has; so a mean over some rows may be negative.
    """
    edges = np.quantile(prediction, np.linspace(0, 1, bins + 1)[1:-1])
    index = np.searchsorted(edges, prediction, side="right")
    residuals = target.astype(float) - prediction
    terms: np.ndarray = np.sign(np.bincount(index, weights=residuals))[index] * residuals
    return terms
