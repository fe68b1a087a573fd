"""Metrics of predictions under many weightings of the wells at once, which is what a bootstrap needs.

Every metric takes targets (n,), predictions (n,) and weights (draws, n), and returns one value a draw. A draw of
the bootstrap over metabolites weights each well by how often its metabolite was drawn; a row of ones gives
the plain metric. NaN where a metric is undefined (one class only, no spread).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

CALIBRATION_BINS = 10

Metric = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def bootstrap_weights(groups: np.ndarray, draws: int, seed: int = 614) -> np.ndarray:
    """Weights (draws + 1, n): a row of ones, then one row a bootstrap draw of whole groups.

    Args:
        groups: (n,) group of each well, its metabolite.
        draws: Bootstrap draws.
        seed: Of the draws.
    """
    _, codes = np.unique(groups, return_inverse=True)
    count = int(codes.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws)
    return np.vstack([np.ones(len(codes)), drawn[:, codes]])


def r_squared(target: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """1 − Σ w (y − ŷ)² / Σ w (y − ȳ)²."""
    total = weights.sum(axis=1)
    mean = weights @ target / total
    spread = weights @ target**2 - total * mean**2
    return _divide(spread - weights @ (target - predicted) ** 2, spread)


def mean_absolute_error(target: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Σ w |y − ŷ| / Σ w."""
    return np.asarray(weights @ np.abs(target - predicted) / weights.sum(axis=1))


def pearson(target: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pearson's correlation of the weighted wells."""
    shape = weights.shape
    return _weighted_correlation(np.broadcast_to(target, shape), np.broadcast_to(predicted, shape), weights)


def spearman(target: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Spearman's correlation, ties at their mean rank, of wells repeated by their weights."""
    return _weighted_correlation(
        _weighted_ranks(target, weights), _weighted_ranks(predicted, weights), weights
    )


def auroc(label: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve: the probability that an activated well scores above a resting one, ties half."""
    positive, negative = _class_weights_by_score(label, score, weights)
    below = np.cumsum(negative, axis=1) - negative
    return _divide(
        (positive * (below + negative / 2)).sum(axis=1), positive.sum(axis=1) * negative.sum(axis=1)
    )


def auprc(label: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average precision Σ (R_k − R_{k−1}) P_k over the distinct scores from the highest down."""
    positive, negative = _class_weights_by_score(label, score, weights)
    found = np.cumsum(positive[:, ::-1], axis=1)
    chosen = found + np.cumsum(negative[:, ::-1], axis=1)
    precision = np.divide(found, chosen, out=np.zeros_like(found), where=chosen > 0)
    return _divide((positive[:, ::-1] * precision).sum(axis=1), positive.sum(axis=1))


def brier(label: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean squared difference of probability and label."""
    return np.asarray(weights @ (label - probability) ** 2 / weights.sum(axis=1))


def calibration_error(label: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Expected calibration error: Σ_bins share · |mean label − mean probability|, 10 bins of equal width."""
    bins = np.minimum((probability * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    member = np.eye(CALIBRATION_BINS)[bins]
    return np.asarray(
        np.abs(weights @ ((label - probability)[:, None] * member)).sum(axis=1) / weights.sum(axis=1)
    )


SCORE_METRICS: dict[str, Metric] = {"r2": r_squared, "mae": mean_absolute_error, "spearman": spearman}
LABEL_METRICS: dict[str, Metric] = {
    "auroc": auroc,
    "auprc": auprc,
    "brier": brier,
    "calibration_error": calibration_error,
}
LOWER_IS_BETTER = frozenset({"mae", "brier", "calibration_error"})


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    defined = denominator > 1e-12
    quotient: np.ndarray = np.divide(
        numerator, denominator, out=np.full(len(numerator), np.nan), where=defined
    )
    return quotient


def _tie_groups(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order of the values, ascending, and where each run of equal ones starts in it."""
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(values[order]) != 0])
    return order, starts


def _weighted_ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean rank (draws, n) that each value has when every well is repeated by its weight."""
    order, starts = _tie_groups(values)
    tied = np.add.reduceat(weights[:, order], starts, axis=1)
    rank = np.cumsum(tied, axis=1) - (tied - 1) / 2
    run_of = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(values)]))
    ranks = np.empty_like(weights, dtype=np.float64)
    ranks[:, order] = rank[:, run_of]
    return ranks


def _weighted_correlation(a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> np.ndarray:
    total = weights.sum(axis=1, keepdims=True)
    a = a - (weights * a).sum(axis=1, keepdims=True) / total
    b = b - (weights * b).sum(axis=1, keepdims=True) / total
    spread = (weights * a**2).sum(axis=1) * (weights * b**2).sum(axis=1)
    return _divide((weights * a * b).sum(axis=1), np.sqrt(spread))


def _class_weights_by_score(
    label: np.ndarray, score: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weight of activated and of resting wells at every distinct score, ascending."""
    order, starts = _tie_groups(score)
    ordered = weights[:, order]
    positive = np.add.reduceat(ordered * (label[order] == 1), starts, axis=1)
    negative = np.add.reduceat(ordered * (label[order] == 0), starts, axis=1)
    return positive, negative
