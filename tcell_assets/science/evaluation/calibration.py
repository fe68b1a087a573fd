"""Calibration of the probabilities of labels by temperature scaling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from tcell_assets.science.conditions import is_treated
from tcell_assets.science.evaluation.prediction_metrics import calibration_error
from tcell_assets.science.well_join import rows_for_wells
from tcell_assets.targets import Target, evaluated, known_targets, labels

# Probabilities of exactly 0 or 1, as a forest gives, have no finite logit.
SMALLEST_PROBABILITY = 1e-6

LOG_TEMPERATURE_BOUNDS = (np.log(0.05), np.log(20.0))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature T > 0 that minimises the log-loss of σ(logit / T) (Guo et al. 2017).

    Above 1 the probabilities were too sure, below 1 not sure enough; ranks and AUROC stay as they are.

    Args:
        logits: (n,) of wells the model has not trained on.
        labels: (n,) 0 or 1.

    Raises:
        ValueError: No wells, or all of one class.
    """
    labels = np.asarray(labels, dtype=np.float64)
    if set(np.unique(labels)) != {0.0, 1.0}:
        raise ValueError("temperature scaling needs held-out wells of both labels")

    def log_loss(log_temperature: float) -> float:
        scaled = np.asarray(logits) / np.exp(log_temperature)
        return float(np.mean(np.logaddexp(0.0, scaled) - labels * scaled))

    return float(np.exp(minimize_scalar(log_loss, bounds=LOG_TEMPERATURE_BOUNDS, method="bounded").x))


def calibrated_probability(logits: np.ndarray, temperature: float) -> np.ndarray:
    """σ(logit / T)."""
    return np.asarray(expit(np.asarray(logits) / temperature))


def logits_of(probabilities: np.ndarray) -> np.ndarray:
    """ln(p / (1 − p)), with p kept 1e-6 away from 0 and 1."""
    return np.asarray(logit(np.clip(probabilities, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)))


def calibrate_out_of_fold(
    predictions: pd.DataFrame, wells: pd.DataFrame, targets: Sequence[Target] | None = None
) -> pd.DataFrame:
    """Out-of-fold probabilities scaled by one temperature a model, where that lowers the error on other folds.

    Whether it does is judged by temperatures that are each fitted on the other folds: calibration error lower and
    log-loss no higher than without. The scale itself is one for all folds, so that no two wells change places; it is
    fitted on all of them, which is one number for hundreds of labels. DMSO wells are left out, as of the metrics.

    Args:
        predictions: `scheme, model, fold, well_id` and the probability of each label, as
            `evaluation.out_of_fold_predictions` returns.
        wells: `well_id, is_dmso` and the labels.
        targets: The targets predicted, by default every one of the installation.

    Returns:
        The same table with calibrated probabilities and, of each label, the column of its temperature
        (`Target.temperature`), 1 where a model is left as it is.
    """
    known = evaluated(known_targets() if targets is None else targets)
    calibrated = predictions.reset_index(drop=True)
    metadata = rows_for_wells(wells, wells["well_id"].tolist(), "well metadata")
    counted = is_treated(metadata)
    for target in labels(known):
        calibrated[target.temperature] = 1.0
        truth = pd.to_numeric(metadata[target.name], errors="coerce").where(counted)
        for _, own in calibrated.groupby(["scheme", "model"], sort=False):
            label = truth.loc[own["well_id"]].to_numpy(dtype=np.float64)
            logits = logits_of(own[target.prediction].to_numpy(dtype=np.float64))
            temperature = useful_temperature(logits, label, own["fold"].to_numpy())
            if temperature is not None:
                calibrated.loc[own.index, target.temperature] = temperature
                calibrated.loc[own.index, target.prediction] = calibrated_probability(logits, temperature)
    return calibrated


def useful_temperature(logits: np.ndarray, label: np.ndarray, fold: np.ndarray) -> float | None:
    """The temperature of all folds, or None where temperatures of other folds do not lower the error of each fold.

    Args:
        logits: (n,) of wells the model has not trained on.
        label: (n,) 0 or 1; unknown ones are NaN and count nowhere.
        fold: (n,) in which each well was held out.
    """
    known = np.isfinite(label) & np.isfinite(logits)
    logits, label, fold = logits[known], label[known], fold[known]
    by_other_folds = logits.copy()
    for held_out in np.unique(fold):
        others = fold != held_out
        if len(np.unique(label[others])) < 2:
            return None
        by_other_folds[~others] /= fit_temperature(logits[others], label[others])
    if not len(label):
        return None
    (error, loss), (error_before, loss_before) = _errors(by_other_folds, label), _errors(logits, label)
    return fit_temperature(logits, label) if error < error_before and loss <= loss_before else None


def _errors(logits: np.ndarray, label: np.ndarray) -> tuple[float, float]:
    """Expected calibration error and log-loss."""
    every_well = np.ones((1, len(label)))
    return (
        float(calibration_error(label, np.asarray(expit(logits)), every_well)[0]),
        float(np.mean(np.logaddexp(0.0, logits) - label * logits)),
    )
