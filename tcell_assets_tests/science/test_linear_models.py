"""The linear start says what ridge regression says, and the network starts from it exactly."""

from __future__ import annotations

import numpy as np
import pytest

from tcell_assets.science.model.linear_models import RIDGE_PENALTIES, fit_linear_heads
from tcell_assets.science.model.scoring import score_wells
from tcell_assets.science.model.training import split_wells, train
from tcell_assets.settings import SettingsError
from tcell_assets_tests.science.small_screens import (
    ONE_THREAD,
    expression_frame,
    small_model,
    small_screen,
    small_settings,
)

LABEL = 3
IS_BINARY = np.arange(5) == LABEL
# A step this small leaves every weight where it is.
NO_STEP = 1e-30


def _standardised(wells: int = 80, genes: int = 12) -> np.ndarray:
    values = np.random.default_rng(3).normal(size=(wells, genes))
    return (values - values.mean(axis=0)) / values.std(axis=0)


def _ridge_by_hand(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """The normal equations, and the penalty of the smallest leave-one-out error by leaving out one after the other."""

    def solve(x: np.ndarray, y: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
        centred, mean = x - x.mean(axis=0), y.mean()
        coefficients = np.linalg.solve(
            centred.T @ centred + penalty * np.eye(x.shape[1]), centred.T @ (y - mean)
        )
        return coefficients, mean - x.mean(axis=0) @ coefficients

    def left_out_error(penalty: float) -> float:
        errors = []
        for i in range(len(y)):
            others = np.arange(len(y)) != i
            coefficients, intercept = solve(x[others], y[others], penalty)
            errors.append((y[i] - x[i] @ coefficients - intercept) ** 2)
        return float(np.mean(errors))

    best = min(RIDGE_PENALTIES, key=left_out_error)
    return solve(x, y, best)


def test_a_head_is_the_ridge_regression_of_its_known_wells() -> None:
    x = _standardised()
    random = np.random.default_rng(4)
    targets = np.column_stack([x @ random.normal(size=12) + random.normal(size=80) for _ in range(5)])
    targets[:, LABEL] = targets[:, LABEL] > 0
    targets[:30, 1] = np.nan
    heads = fit_linear_heads(x, targets, IS_BINARY)
    for head in (0, 1):
        known = ~np.isnan(targets[:, head])
        coefficients, intercept = _ridge_by_hand(x[known], targets[known, head])
        np.testing.assert_allclose(heads.coefficients[head], coefficients, atol=1e-8)
        np.testing.assert_allclose(heads.intercepts[head], intercept, atol=1e-8)


def test_the_labels_head_turns_a_probability_into_a_logit() -> None:
    """At a probability of a half the logit is 0 and four times as steep."""
    x = _standardised()
    targets = np.full((80, 5), np.nan)
    targets[:, LABEL] = x[:, 0] > 0.3
    heads = fit_linear_heads(x, targets, IS_BINARY)
    coefficients, intercept = _ridge_by_hand(x, targets[:, LABEL])
    np.testing.assert_allclose(heads.coefficients[LABEL], 4 * coefficients, atol=1e-8)
    np.testing.assert_allclose(heads.intercepts[LABEL], 4 * (intercept - 0.5), atol=1e-8)
    unknown = [head for head in range(5) if head != LABEL]
    assert not heads.coefficients[unknown].any()
    assert not heads.intercepts[unknown].any()


def test_a_head_known_of_a_single_well_starts_from_nothing() -> None:
    targets = np.full((80, 5), np.nan)
    targets[7, LABEL] = 1.0
    heads = fit_linear_heads(_standardised(), targets, IS_BINARY)
    assert not heads.coefficients.any()
    assert not heads.intercepts.any()


def test_training_starts_from_the_ridge_regression_of_the_wells_it_fits() -> None:
    data = small_screen(wells=120)
    settings = small_settings("ridge_start", epochs=1, inner_fraction=0.0, learning_rate=NO_STEP)
    model = train(data, settings, ONE_THREAD)
    predictions = score_wells(model, expression_frame(data), ONE_THREAD).predictions.set_index("well_id")
    fitted = (split_wells(data.wells, settings) == "train").to_numpy()
    x = data.expression.astype(np.float64)
    x = (x - x[fitted].mean(axis=0)) / x[fitted].std(axis=0)
    coefficients, intercept = _ridge_by_hand(x[fitted], data.wells["tscore"].to_numpy()[fitted])
    np.testing.assert_allclose(
        predictions.loc[data.wells["well_id"], "pred_tscore"],
        x @ coefficients + intercept,
        rtol=0,
        atol=1e-4,
    )


def test_every_latent_axis_moves_away_from_a_ridge_start() -> None:
    """Axes that no head reads would stay at zero for ever."""
    still, moved = (
        small_model(use_zscore=True, linear_path=True, linear_start="ridge", learning_rate=rate)
        for rate in (NO_STEP, 1e-2)
    )
    before, after = (model.last_weights["latent_mlp.3.weight"] for model in (still, moved))
    np.testing.assert_allclose(before, 0, atol=1e-20)
    assert after.any(axis=1).all()


@pytest.mark.parametrize(
    "missing",
    [{"use_zscore": False}, {"linear_path": False}, {"latent": 4}],
    ids=lambda value: next(iter(value)),
)
def test_a_ridge_start_without_what_it_needs_is_refused_with_the_way_out(missing: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match=r"linear_start 'ridge' needs .* or take linear_start 'zero'"):
        small_settings("ridge_start", **missing)
