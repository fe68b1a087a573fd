"""Metrics against scikit-learn and SciPy, whole and under the weights of a bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from tcell_assets.science.evaluation import prediction_metrics as own

# Sums of a few hundred float64 terms.
TOLERANCE = 1e-10


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Target, prediction, label, probability (with ties) and bootstrap weights of 300 wells in 100 groups."""
    generator = np.random.default_rng(614)
    target = generator.normal(size=300).round(1)
    predicted = (0.7 * target + generator.normal(size=300)).round(1)
    label = (target > 0).astype(float)
    probability = np.clip((0.2 * predicted + 0.5).round(2), 0, 1)
    weights = own.bootstrap_weights(np.repeat(np.arange(100), 3), 20, seed=1)
    return target, predicted, label, probability, weights


def repeated(weights: np.ndarray, *columns: np.ndarray) -> list[np.ndarray]:
    """The wells as a resampled table holds them: each as often as its weight says."""
    return [np.repeat(column, weights.astype(int)) for column in columns]


def test_r_squared_and_mean_absolute_error_equal_those_of_the_resampled_wells(
    data: tuple[np.ndarray, ...],
) -> None:
    target, predicted, _, _, weights = data
    for row, r2, mae in zip(
        weights,
        own.r_squared(target, predicted, weights),
        own.mean_absolute_error(target, predicted, weights),
        strict=True,
    ):
        y, p = repeated(row, target, predicted)
        assert r2 == pytest.approx(metrics.r2_score(y, p), abs=TOLERANCE)
        assert mae == pytest.approx(metrics.mean_absolute_error(y, p), abs=TOLERANCE)


def test_correlations_equal_those_of_the_resampled_wells(data: tuple[np.ndarray, ...]) -> None:
    target, predicted, _, _, weights = data
    for row, pearson, spearman in zip(
        weights,
        own.pearson(target, predicted, weights),
        own.spearman(target, predicted, weights),
        strict=True,
    ):
        y, p = repeated(row, target, predicted)
        assert pearson == pytest.approx(stats.pearsonr(y, p).statistic, abs=TOLERANCE)
        assert spearman == pytest.approx(stats.spearmanr(y, p).statistic, abs=TOLERANCE)


def test_label_metrics_equal_those_of_the_resampled_wells(data: tuple[np.ndarray, ...]) -> None:
    _, _, label, probability, weights = data
    values = [function(label, probability, weights) for function in (own.auroc, own.auprc, own.brier)]
    for row, auroc, auprc, brier in zip(weights, *values, strict=True):
        y, p = repeated(row, label, probability)
        assert auroc == pytest.approx(metrics.roc_auc_score(y, p), abs=TOLERANCE)
        assert auprc == pytest.approx(metrics.average_precision_score(y, p), abs=TOLERANCE)
        assert brier == pytest.approx(metrics.brier_score_loss(y, p), abs=TOLERANCE)


def test_calibration_error_is_the_bins_gap_weighted_by_their_share() -> None:
    label = np.array([0.0, 1.0, 1.0, 1.0])
    probability = np.array([0.12, 0.18, 0.95, 1.0])
    # Bin 0.1–0.2: |0.5 − 0.15| of half the wells; bin 0.9–1: |1 − 0.975| of the other half.
    expected = 0.5 * 0.35 + 0.5 * 0.025
    assert own.calibration_error(label, probability, np.ones((1, 4)))[0] == pytest.approx(
        expected, abs=TOLERANCE
    )


def test_a_metric_without_spread_or_with_one_class_is_undefined() -> None:
    ones = np.ones((1, 5))
    assert np.isnan(own.r_squared(np.full(5, 2.0), np.arange(5.0), ones)[0])
    assert np.isnan(own.spearman(np.arange(5.0), np.full(5, 2.0), ones)[0])
    assert np.isnan(own.auroc(np.ones(5), np.arange(5.0), ones)[0])


def test_bootstrap_draws_take_whole_groups_as_many_as_there_are() -> None:
    groups = np.array(["a", "b", "b", "c", "c", "c"])
    weights = own.bootstrap_weights(groups, 50)
    assert (weights[0] == 1).all()
    per_group = weights[:, [0, 1, 3]]
    assert (per_group.sum(axis=1) == 3).all()
    assert (weights == per_group[:, [0, 1, 1, 2, 2, 2]]).all()
