"""Temperature scaling finds the temperature that was put in and does not look at the labels it is judged by."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tcell_assets.science.evaluation.calibration import (
    calibrate_out_of_fold,
    calibrated_probability,
    fit_temperature,
    logits_of,
    useful_temperature,
)
from tcell_assets.science.evaluation.prediction_metrics import calibration_error


def overconfident_screen(wells: int = 4000, temperature: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from σ(logit), and logits `temperature` times too large."""
    generator = np.random.default_rng(614)
    logits = generator.normal(size=wells) * 1.5
    labels = (generator.random(wells) < 1 / (1 + np.exp(-logits))).astype(float)
    return logits * temperature, labels


def test_the_temperature_that_was_put_in_is_found() -> None:
    logits, labels = overconfident_screen()
    # 4 000 labels determine ln T with a standard error of about 0.04.
    assert np.log(fit_temperature(logits, labels)) == pytest.approx(np.log(3.0), abs=0.12)


def test_the_temperature_minimises_the_log_loss() -> None:
    logits, labels = overconfident_screen(400)
    fitted = fit_temperature(logits, labels)

    def log_loss(temperature: float) -> float:
        p = 1 / (1 + np.exp(-logits / temperature))
        return float(-np.mean(labels * np.log(p) + (1 - labels) * np.log(1 - p)))

    assert log_loss(fitted) <= min(log_loss(fitted * 1.01), log_loss(fitted / 1.01))


def test_one_class_alone_is_an_error() -> None:
    with pytest.raises(ValueError, match="both labels"):
        fit_temperature(np.arange(5.0), np.ones(5))


def out_of_fold(logits: np.ndarray, labels: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame]:
    well_ids = [f"tc1_A1_{number}" for number in range(len(logits))]
    wells = pd.DataFrame({"well_id": well_ids, "is_dmso": False, "is_activated": labels})
    predictions = pd.DataFrame(
        {
            "scheme": "leave_metabolite_out",
            "model": "transformer",
            "fold": np.arange(len(logits)) % 5,
            "well_id": well_ids,
            "activation_probability": calibrated_probability(logits, 1.0),
        }
    )
    return predictions, wells


def test_calibration_lowers_the_calibration_error_out_of_fold() -> None:
    logits, labels = overconfident_screen()
    predictions, wells = out_of_fold(logits, labels)
    calibrated = calibrate_out_of_fold(predictions, wells)
    before, after = (
        calibration_error(labels, table["activation_probability"].to_numpy(), np.ones((1, len(labels))))[0]
        for table in (predictions, calibrated)
    )
    assert after < 0.03 < before


def test_one_temperature_serves_all_folds_so_that_no_two_wells_change_places() -> None:
    logits, labels = overconfident_screen(500)
    predictions, wells = out_of_fold(logits, labels)
    calibrated = calibrate_out_of_fold(predictions, wells)
    assert calibrated["temperature"].nunique() == 1
    before, after = (table["activation_probability"].rank() for table in (predictions, calibrated))
    pd.testing.assert_series_equal(after, before)


def test_probabilities_that_are_right_already_are_left_as_they_are() -> None:
    """Labels drawn by the probabilities themselves: a fitted temperature is noise, and helps other folds by chance."""
    left = 0
    for seed in range(20):
        generator = np.random.default_rng(seed)
        logits = generator.normal(size=600) * 1.5
        labels = (generator.random(600) < calibrated_probability(logits, 1.0)).astype(float)
        left += useful_temperature(logits, labels, np.arange(600) % 5) is None
    # Either error alone would fall in half of the screens by chance; that both fall is rarer.
    assert left >= 12


def test_a_temperature_that_would_make_other_folds_worse_is_not_taken() -> None:
    """The first fold is sure and wrong: its temperature is far from what the others need, and theirs from its."""
    logits, labels = overconfident_screen(500)
    fold = np.arange(500) % 2
    labels = np.where(fold == 0, 1 - labels, labels)
    assert useful_temperature(logits / 3.0, labels, fold) is None


def test_dmso_wells_and_unknown_labels_change_no_temperature() -> None:
    logits, labels = overconfident_screen(500)
    predictions, wells = out_of_fold(logits, labels)
    odd = wells.assign(
        is_dmso=np.arange(500) < 20,
        is_activated=np.where(np.arange(500) < 40, np.nan, wells["is_activated"]),
    )
    rest = predictions.iloc[40:]
    expected = calibrate_out_of_fold(rest, wells)["temperature"].iloc[0]
    assert calibrate_out_of_fold(predictions, odd)["temperature"].iloc[0] == expected
    flipped = odd.assign(is_activated=np.where(odd["is_dmso"], 1.0, odd["is_activated"]))
    assert calibrate_out_of_fold(predictions, flipped)["temperature"].iloc[0] == expected


def test_probabilities_of_zero_and_one_have_finite_logits() -> None:
    assert np.isfinite(logits_of(np.array([0.0, 1.0]))).all()
