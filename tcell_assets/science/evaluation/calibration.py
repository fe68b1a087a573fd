"""Calibration of the probabilities of labels by temperature scaling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

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
    """Out-of-fold probabilities scaled by the temperature of the *other* folds, so none sees its own labels.

    Args:
        predictions: `scheme, model, fold, well_id` and the probability of each label, as
            `evaluation.out_of_fold_predictions` returns.
        wells: `well_id` and the labels.
        targets: The targets predicted, by default every one of the installation.

    Returns:
        The same table with calibrated probabilities and, of each label, the column of its temperature
        (`Target.temperature`). A fold whose other folds lack a class keeps temperature 1.
    """
    known = evaluated(known_targets() if targets is None else targets)
    calibrated = predictions.reset_index(drop=True)
    metadata = rows_for_wells(wells, wells["well_id"].tolist(), "well metadata")
    for target in labels(known):
        calibrated[target.temperature] = 1.0
        truth = pd.to_numeric(metadata[target.name], errors="coerce")
        for _, own in calibrated.groupby(["scheme", "model"], sort=False):
            _calibrate(calibrated, own, truth, target)
    return calibrated


def _calibrate(calibrated: pd.DataFrame, own: pd.DataFrame, truth: pd.Series, target: Target) -> None:
    """Calibrate one label in the rows of one model and scheme, in place."""
    label = truth.loc[own["well_id"]].to_numpy(dtype=np.float64)
    logits = logits_of(own[target.prediction].to_numpy(dtype=np.float64))
    fold = own["fold"].to_numpy()
    for held_out in np.unique(fold):
        others = (fold != held_out) & np.isfinite(label) & np.isfinite(logits)
        if len(np.unique(label[others])) < 2:
            continue
        rows = own.index[fold == held_out]
        temperature = fit_temperature(logits[others], label[others])
        calibrated.loc[rows, target.temperature] = temperature
        calibrated.loc[rows, target.prediction] = calibrated_probability(
            logits[fold == held_out], temperature
        )
