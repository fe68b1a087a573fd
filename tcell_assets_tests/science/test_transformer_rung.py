"""The Transformer in the evaluation ladder: real trainings of a small network inside the folds."""

from __future__ import annotations

import numpy as np

from tcell_assets.science.evaluation.model_evaluation import EvaluationData, out_of_fold_predictions
from tcell_assets.science.evaluation.transformer_rung import transformer_rung
from tcell_assets.science.simulation.screen_simulation import SimulationSettings, simulate_screen
from tcell_assets_tests.science.small_screens import ONE_THREAD, small_settings

SCREEN = simulate_screen(SimulationSettings(n_genes=32, n_plates=1, seed=2))
DATA = EvaluationData(SCREEN.wells, lambda training_wells: SCREEN.vst)


def test_the_transformer_predicts_every_held_out_well_of_every_batch() -> None:
    rung = transformer_rung(small_settings("ridge_start", epochs=20, layers=1), ONE_THREAD)
    predictions = out_of_fold_predictions(DATA, {"transformer": rung}, ["leave_batch_out"])
    assert set(predictions["well_id"]) == set(SCREEN.wells["well_id"])
    observed = SCREEN.wells.set_index("well_id")["tscore"].loc[predictions["well_id"]]
    # A tiny network, twenty epochs on one plate: it must have learnt something that holds in the other.
    assert np.corrcoef(observed, predictions["pred_tscore"])[0, 1] > 0.3


def test_an_ensemble_predicts_the_mean_of_its_members() -> None:
    settings = small_settings(epochs=1, layers=1)
    tables = [
        out_of_fold_predictions(
            DATA, {"transformer": transformer_rung(settings, ONE_THREAD, seeds)}, ["leave_batch_out"]
        )
        for seeds in ([1], [2], [1, 2])
    ]
    first, second, both = (table.set_index("well_id")["pred_tscore"] for table in tables)
    # Members are fp32.
    np.testing.assert_allclose(both, (first + second) / 2, atol=1e-6)
