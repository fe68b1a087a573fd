"""Ridge and logistic regression: what the Transformer is compared with, and what its linear path may start from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import GridSearchCV

RIDGE_PENALTIES = np.logspace(-1, 5, 13)
LOGISTIC_INVERSE_PENALTIES = np.logspace(-5, 1, 7).tolist()

# Slope of the logistic function at 0: a probability that is linear in x has about a logit of four times that slope.
LOGIT_A_PROBABILITY = 4.0
# Leaving one out must leave one to fit.
FEWEST_WELLS = 2


def ridge_regression() -> RidgeCV:
    """Ridge regression for standardised genes; every target chooses its penalty by leave-one-out."""
    from sklearn.linear_model import RidgeCV

    return RidgeCV(RIDGE_PENALTIES, alpha_per_target=True)


def logistic_regression() -> GridSearchCV:
    """Logistic regression for standardised genes; the penalty is chosen by cross-validated log loss."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    penalties = {"C": LOGISTIC_INVERSE_PENALTIES}
    return GridSearchCV(LogisticRegression(max_iter=1_000), penalties, scoring="neg_log_loss")


@dataclass(frozen=True, eq=False)
class LinearHeads:
    """A linear map from standardised expression to the heads: `coefficients @ x + intercepts`.

    Attributes:
        coefficients: float64 (heads, genes); 0 for a head whose target is known of fewer than two wells.
        intercepts: float64 (heads,).
    """

    coefficients: np.ndarray
    intercepts: np.ndarray


def fit_linear_heads(scaled: np.ndarray, targets: np.ndarray, is_binary: np.ndarray) -> LinearHeads:
    """Fit every head by ridge regression, a label's by that of its probability, turned into a logit.

    553 wells × 2 541 genes take 3 s and 14 400 wells 44 s in 1 GiB on two cores; cross-validated logistic regression of
    the label alone takes 7 s for 553 wells. The direction is what matters here, training finds the scale.

    Args:
        scaled: Standardised expression (wells, genes).
        targets: (wells, heads), NaN where unknown.
        is_binary: (heads,), whether the targets of a head are 0 and 1.
    """
    known = ~np.isnan(targets)
    coefficients = np.zeros((targets.shape[1], scaled.shape[1]))
    intercepts = np.zeros(targets.shape[1])
    # Targets known of the same wells share one decomposition of the expression.
    for pattern in np.unique(known, axis=1).T:
        heads = np.flatnonzero((known == pattern[:, None]).all(axis=0))
        if pattern.sum() < FEWEST_WELLS:
            continue
        ridge = ridge_regression().fit(scaled[pattern], targets[np.ix_(pattern, heads)])
        coefficients[heads], intercepts[heads] = ridge.coef_, ridge.intercept_
    coefficients[is_binary] *= LOGIT_A_PROBABILITY
    fitted_labels = is_binary & (known.sum(axis=0) >= FEWEST_WELLS)
    intercepts[fitted_labels] = LOGIT_A_PROBABILITY * (intercepts[fitted_labels] - 0.5)
    return LinearHeads(coefficients, intercepts)
