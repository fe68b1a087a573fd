"""The models an evaluation compares, from the mean up: each fits on training wells and predicts held-out ones."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import pandas as pd
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from tcell_assets.science.plates.plate_geometry import row_number
from tcell_assets.targets import Target, evaluated, known_targets, names_of

PRINCIPAL_COMPONENTS = 50
NEIGHBOURS = 15
TREES = 100
# Small, slow and drawing a part of the genes a split: hundreds of wells beside thousands of genes.
BOOSTING: dict[str, Any] = {
    "max_iter": 150,
    "learning_rate": 0.06,
    "max_leaf_nodes": 8,
    "min_samples_leaf": 5,
    "l2_regularization": 1.0,
    "max_features": 0.3,
    "early_stopping": False,
}
# Stopping early would take a tenth of the few wells away; the penalty does its work.
NETWORK: dict[str, Any] = {"hidden_layer_sizes": (64,), "alpha": 10.0, "max_iter": 100}

# With fewer wells of a class, the inner folds of the logistic regression cannot all hold both classes.
RAREST_CLASS = 6


@dataclass(frozen=True, eq=False)
class FoldWells:
    """Wells of one side of a fold, all frames indexed by `well_id` in one order.

    Attributes:
        wells: `batch, plate, row, column, metabolite, is_dmso`; on the training side also the targets, which
            the held-out side does not have, so that no model can look at them.
        expression: One column a gene.
        depth: Total UMI a well, None where only transformed values are known.
        targets: What is to be predicted; a model may learn more of them than it is measured by.
    """

    wells: pd.DataFrame
    expression: pd.DataFrame
    depth: pd.Series | None
    targets: tuple[Target, ...] = field(default_factory=known_targets)


FitPredict = Callable[[FoldWells, FoldWells], pd.DataFrame]
"""Fits on the first wells and returns, for the second, the prediction of every evaluated target
(`Target.prediction`), indexed by `well_id`; a target unknown in training is NaN."""

Features = Callable[[FoldWells, FoldWells], tuple[np.ndarray, np.ndarray]]


def baseline_ladder(has_depth: bool, seed: int = 614) -> dict[str, FitPredict]:
    """The rungs below the Transformer, by name, from the plainest up.

    Args:
        has_depth: Whether total UMI is known; without it there is no `depth_only`.
        seed: Of the forests and of the principal components' solver.
    """

    def forest_regressor() -> RandomForestRegressor:
        return RandomForestRegressor(
            TREES, min_samples_leaf=3, max_features=1 / 3, random_state=seed, n_jobs=1
        )

    def forest_classifier() -> RandomForestClassifier:
        return RandomForestClassifier(
            TREES, min_samples_leaf=3, max_features=1 / 3, random_state=seed, n_jobs=1
        )

    def ridge() -> Pipeline:
        return make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(-2, 5, 22)))

    def logistic() -> Pipeline:
        strength = {"C": np.logspace(-4, 2, 7)}
        search = GridSearchCV(LogisticRegression(max_iter=2000), strength, cv=3, scoring="neg_log_loss")
        return make_pipeline(StandardScaler(), search)

    def nearest_regressor() -> KNeighborsRegressor:
        return KNeighborsRegressor(NEIGHBOURS, weights="distance")

    def nearest_classifier() -> KNeighborsClassifier:
        return KNeighborsClassifier(NEIGHBOURS, weights="distance")

    def boosting_regressor() -> HistGradientBoostingRegressor:
        return HistGradientBoostingRegressor(random_state=seed, **BOOSTING)

    def boosting_classifier() -> HistGradientBoostingClassifier:
        return HistGradientBoostingClassifier(random_state=seed, **BOOSTING)

    def kernel_ridge() -> Pipeline:
        # With z-scored genes 1 / genes is the kernel's natural width, as in scikit-learn's `scale`.
        search = GridSearchCV(
            _KernelRidge(), {"alpha": np.logspace(-2, 2, 5), "width": [0.3, 1.0, 3.0]}, cv=3
        )
        return make_pipeline(
            StandardScaler(), TransformedTargetRegressor(search, transformer=StandardScaler())
        )

    def kernel_classifier() -> Pipeline:
        return make_pipeline(StandardScaler(), _KernelClassifier())

    def network_regressor() -> Pipeline:
        network = MLPRegressor(random_state=seed, **NETWORK)
        return make_pipeline(
            StandardScaler(), TransformedTargetRegressor(network, transformer=StandardScaler())
        )

    def network_classifier() -> Pipeline:
        return make_pipeline(StandardScaler(), MLPClassifier(random_state=seed, **NETWORK))

    components = _principal_components(seed)
    ladder = {
        "mean": _per_target(DummyRegressor, lambda: DummyClassifier(strategy="prior"), _no_features),
        "position_forest": _per_target(forest_regressor, forest_classifier, _position),
        "depth_only": _per_target(ridge, logistic, _log_depth),
        "pca_ridge": _per_target(ridge, logistic, components),
        "pca_forest": _per_target(forest_regressor, forest_classifier, components),
        "nearest_neighbours": _per_target(nearest_regressor, nearest_classifier, components),
        "boosting": _per_target(boosting_regressor, boosting_classifier, _genes),
        "kernel_ridge": _per_target(kernel_ridge, kernel_classifier, _genes),
        "small_network": _per_target(network_regressor, network_classifier, _genes),
    }
    if not has_depth:
        del ladder["depth_only"]
    return ladder


class _KernelRidge(KernelRidge):  # type: ignore[misc]
    """Kernel ridge whose `width` is in units of the natural one, gamma = width / genes."""

    def __init__(self, alpha: float = 1.0, width: float = 1.0) -> None:
        super().__init__(alpha=alpha, kernel="rbf")
        self.width = width

    def fit(self, features: np.ndarray, target: np.ndarray) -> _KernelRidge:
        """See `KernelRidge.fit`."""
        self.gamma = self.width / features.shape[1]
        return cast("_KernelRidge", super().fit(features, target))


class _KernelClassifier(GaussianProcessClassifier):  # type: ignore[misc]
    """The label's counterpart: a Gaussian process of the same kernel, which gives probabilities of its own."""

    def fit(self, features: np.ndarray, target: np.ndarray) -> _KernelClassifier:
        """See `GaussianProcessClassifier.fit`; RBF's length ℓ means gamma = 1 / (2 ℓ²)."""
        self.kernel = ConstantKernel(4.0) * RBF(np.sqrt(features.shape[1] / 2.0))
        self.optimizer = None
        return cast("_KernelClassifier", super().fit(features, target))


def without_targets(side: FoldWells) -> FoldWells:
    """The same wells with every target column gone."""
    names = names_of(side.targets)
    return replace(side, wells=side.wells.drop(columns=names, errors="ignore"))


def _per_target(
    regressor: Callable[[], Pipeline], classifier: Callable[[], Pipeline], features: Features
) -> FitPredict:
    """A model that fits every target by itself, on the training wells where that target is known."""

    def fit_predict(training: FoldWells, held_out: FoldWells) -> pd.DataFrame:
        known_features, asked_features = features(training, held_out)
        predicted = pd.DataFrame(index=held_out.wells.index)
        for target in evaluated(training.targets):
            column, is_label = target.prediction, target.is_binary
            values = pd.to_numeric(training.wells[target.name], errors="coerce").to_numpy(dtype=np.float64)
            known = np.isfinite(values)
            if not known.any():
                predicted[column] = np.nan
            elif is_label and min((values == 0).sum(), (values == 1).sum()) < RAREST_CLASS:
                predicted[column] = values[known].mean()
            else:
                model = classifier() if is_label else regressor()
                with warnings.catch_warnings():
                    # A logistic fit stopped at its iteration limit on separable folds is a fit all the same.
                    warnings.simplefilter("ignore", ConvergenceWarning)
                    model.fit(known_features[known], values[known])
                predicted[column] = (
                    model.predict_proba(asked_features)[:, 1] if is_label else model.predict(asked_features)
                )
        return predicted

    return fit_predict


def _no_features(training: FoldWells, held_out: FoldWells) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((len(training.wells), 1)), np.zeros((len(held_out.wells), 1))


def _genes(training: FoldWells, held_out: FoldWells) -> tuple[np.ndarray, np.ndarray]:
    return training.expression.to_numpy(dtype=np.float64), held_out.expression.to_numpy(dtype=np.float64)


def _position(training: FoldWells, held_out: FoldWells) -> tuple[np.ndarray, np.ndarray]:
    """Row, column, distance to the rim, and indicators of batch and plate; no expression."""
    wells = pd.concat([training.wells, held_out.wells])
    row = pd.factorize(wells["row"].map(row_number), sort=True)[0]
    column = wells["column"].to_numpy(dtype=np.float64)
    rim = np.minimum.reduce([row, row.max() - row, column - column.min(), column.max() - column])
    place = wells[["batch", "plate"]].astype(str)
    features = np.column_stack([row, column, rim, pd.get_dummies(place).to_numpy(dtype=np.float64)])
    return features[: len(training.wells)], features[len(training.wells) :]


def _log_depth(training: FoldWells, held_out: FoldWells) -> tuple[np.ndarray, np.ndarray]:
    """The logarithm ln(1 + UMI) and its square.

    Raises:
        ValueError: The total UMI is not known.
    """
    if training.depth is None or held_out.depth is None:
        raise ValueError(
            "depth_only needs the total UMI of every well; leave the rung out where it is unknown"
        )
    known, asked = (
        np.log1p(side.depth.to_numpy(dtype=np.float64))
        for side in (training, held_out)
        if side.depth is not None
    )
    return np.column_stack([known, known**2]), np.column_stack([asked, asked**2])


def _principal_components(seed: int) -> Features:
    """Scores on the training wells' principal components, genes z-scored by the training wells."""

    def features(training: FoldWells, held_out: FoldWells) -> tuple[np.ndarray, np.ndarray]:
        known = training.expression.to_numpy(dtype=np.float64)
        count = min(PRINCIPAL_COMPONENTS, len(known) - 1, known.shape[1])
        pipeline = make_pipeline(StandardScaler(), PCA(count, random_state=seed))
        scores = pipeline.fit_transform(known)
        return scores, pipeline.transform(held_out.expression.to_numpy(dtype=np.float64))

    return features
