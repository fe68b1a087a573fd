"""The Transformer as one rung of the evaluation ladder: trained afresh on the training wells of every fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from tcell_assets.science.evaluation.evaluation_ladder import FitPredict, FoldWells
from tcell_assets.science.model.compute import Compute
from tcell_assets.science.model.ensemble import combine_members
from tcell_assets.science.model.scoring import score_wells
from tcell_assets.science.model.settings import TrainingSettings
from tcell_assets.science.model.training import Progress, train
from tcell_assets.science.model.training_data import TrainingData
from tcell_assets.targets import evaluated, names_of


def transformer_rung(
    settings: TrainingSettings,
    compute: Compute,
    seeds: Sequence[int] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> FitPredict:
    """A `FitPredict` that trains the network on one side of a fold and predicts the other.

    Args:
        settings: Of every training; its own validation split is taken from the training wells, so the
            held-out wells decide nothing.
        compute: Device and precision.
        seeds: One member of an ensemble a seed, by default the single seed of the settings.
        on_progress: Passed on to every training.

    Returns:
        The rung. It raises `training.TrainingError` where the training wells cannot be trained on.
    """
    members = [settings.seed] if seeds is None else list(seeds)

    def fit_predict(training: FoldWells, held_out: FoldWells) -> pd.DataFrame:
        wells, names = training.wells.reset_index(), names_of(training.targets)
        targets = wells.reindex(columns=names).apply(pd.to_numeric, errors="coerce").astype(np.float64)
        data = TrainingData(
            expression=training.expression.to_numpy(dtype=np.float32),
            genes=tuple(str(gene) for gene in training.expression.columns),
            wells=wells.drop(columns=names, errors="ignore").join(targets),
            batch_hashes={},
            targets=training.targets,
        )
        predictions = {
            str(seed): score_wells(
                train(data, replace(settings, seed=seed), compute, on_progress=on_progress),
                held_out.expression,
                compute,
            ).predictions
            for seed in members
        }
        combined = combine_members(predictions, training.targets).set_index("well_id")
        return combined[[target.prediction for target in evaluated(training.targets)]]

    return fit_predict
