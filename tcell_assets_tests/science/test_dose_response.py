"""Dose–response fits on series whose truth is known, and against a general least-squares solver."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

from tcell_assets.science.screen.dose_response import (
    activity_along_own_direction,
    fit_compounds,
    fit_dose_response,
    log_logistic,
)

SIX_DOSES = np.repeat([0.1, 0.32, 1.0, 3.2, 10.0, 32.0], 3)


def test_the_curve_is_the_hill_equation() -> None:
    assert log_logistic(np.array([2.0]), 1.0, 5.0, 2.0, 1.7)[0] == pytest.approx(3.0)
    assert log_logistic(np.array([6.0]), 0.0, 1.0, 2.0, 1.0)[0] == pytest.approx(6.0 / 8.0)


def test_the_least_squares_are_those_of_a_general_solver() -> None:
    generator = np.random.default_rng(3)
    activity = log_logistic(SIX_DOSES, 0.0, 4.0, 2.0, 1.3) + generator.normal(0, 0.3, 18)
    curve = fit_dose_response(SIX_DOSES, activity)
    assert curve is not None
    solved, _ = optimize.curve_fit(log_logistic, SIX_DOSES, activity, p0=(0.1, 3.5, 1.5, 1.0))
    assert (curve.bottom, curve.top, curve.ec50, curve.slope) == pytest.approx(tuple(solved), rel=1e-3)


def test_planted_half_maximal_doses_are_found_within_a_factor_of_two() -> None:
    generator = np.random.default_rng(1)
    near = []
    for _ in range(60):
        ec50 = float(np.exp(generator.uniform(np.log(0.4), np.log(8.0))))
        height = float(generator.choice([-1, 1]) * generator.uniform(4, 8))
        activity = log_logistic(SIX_DOSES, 0.0, height, ec50, generator.uniform(0.8, 2.0))
        curve = fit_dose_response(SIX_DOSES, activity + generator.normal(0, 0.5, 18))
        assert curve is not None
        near.append(curve.response == "response" and 0.5 <= curve.ec50 / ec50 <= 2.0)
    assert np.mean(near) >= 0.9


def test_flat_series_are_no_response() -> None:
    generator = np.random.default_rng(2)
    flat = [fit_dose_response(SIX_DOSES, generator.normal(0, 1, 18)) for _ in range(200)]
    assert np.mean([curve is not None and curve.response == "no response" for curve in flat]) >= 0.95


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(5)
    held = []
    for _ in range(80):
        activity = log_logistic(SIX_DOSES, 0.0, 6.0, 2.0, 1.2) + generator.normal(0, 0.6, 18)
        curve = fit_dose_response(SIX_DOSES, activity)
        assert curve is not None
        held.append(not curve.ec50_low > 2.0 and not curve.ec50_high < 2.0)
    # 80 intervals of 95 %: below .87 once in 500 such tests.
    assert np.mean(held) >= 0.87


def test_an_effect_that_only_begins_at_the_highest_dose_has_no_half_maximal_dose() -> None:
    activity = log_logistic(SIX_DOSES, 0.0, 50.0, 300.0, 1.5)
    activity += np.random.default_rng(6).normal(0, 0.02, 18)
    curve = fit_dose_response(SIX_DOSES, activity)
    assert curve is not None
    assert curve.response == "not reached"
    assert np.isnan(curve.ec50)


def test_a_hook_is_not_called_monotone() -> None:
    activity = np.repeat([0.0, 5.0, 0.0, 5.0, 0.0, 5.0], 3) + np.random.default_rng(7).normal(0, 0.2, 18)
    curve = fit_dose_response(SIX_DOSES, activity)
    assert curve is not None
    assert curve.response == "not monotone"


def test_two_steps_are_read_off_a_monotone_step_function() -> None:
    doses = np.repeat([0.1, 0.32, 1.0, 3.2, 10.0, 32.0, 100.0], 3)
    activity = np.repeat([0.0, 0.0, 3.0, 3.0, 3.0, 3.0, 9.0], 3)
    activity = activity + np.random.default_rng(8).normal(0, 0.05, len(doses))
    curve = fit_dose_response(doses, activity)
    assert curve is not None
    assert curve.fit == "isotonic"
    assert 32.0 < curve.ec50 < 100.0


@pytest.mark.parametrize("doses", [[1.0, 1.0, 2.0, 2.0, 2.0], [1.0, 2.0, 3.0, 4.0]])
def test_too_few_doses_or_wells_give_no_curve(doses: list[float]) -> None:
    assert fit_dose_response(np.array(doses), np.arange(len(doses), dtype=float)) is None


def test_a_dose_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        fit_dose_response(np.array([0.0, 1.0, 2.0, 3.0, 4.0]), np.arange(5.0))


def test_noise_alone_has_no_activity_along_its_own_direction() -> None:
    """Projected on a direction that its own noise made, a well would show an activity of its own length."""
    generator = np.random.default_rng(4)
    at_top = []
    for _ in range(200):
        displacement = generator.normal(size=(6, 30))
        dose = np.array([1.0, 1.0, 2.0, 2.0, 3.0, 3.0])
        at_top.append(activity_along_own_direction(displacement, dose)[4:])
    # The mean of 400 unit-variance numbers is known to 0.05.
    assert abs(np.mean(at_top)) < 0.2


def test_compounds_are_fitted_by_measure_and_wells_without_a_dose_left_out() -> None:
    activity = pd.DataFrame(
        {
            "compound": ["a"] * 18 + ["a"] * 2 + ["b"] * 4,
            "measure": "tscore",
            "dose_um": [*SIX_DOSES, np.nan, 0.0, 1.0, 1.0, 2.0, 2.0],
            "activity": [*log_logistic(SIX_DOSES, 0.0, 4.0, 2.0, 1.0), 99.0, 99.0, 1.0, 2.0, 3.0, 4.0],
        }
    )
    fitted = fit_compounds(activity)
    assert fitted["compound"].tolist() == ["a"]
    assert fitted["ec50"].iloc[0] == pytest.approx(2.0, rel=0.02)
    assert fitted["n_wells"].iloc[0] == 18
