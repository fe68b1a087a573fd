"""Conformal intervals cover what they promise, on new metabolites of simulated screens too."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tcell_assets.science.evaluation.conformal import conformal_radii, conformal_radius, with_intervals
from tcell_assets.science.evaluation.evaluation_ladder import baseline_ladder
from tcell_assets.science.evaluation.model_evaluation import EvaluationData, out_of_fold_predictions
from tcell_assets.science.simulation.screen_simulation import SimulationSettings, simulate_screen


def test_the_radius_is_the_residual_of_the_promised_rank() -> None:
    # ⌈(19 + 1) · 0.9⌉ = 18: the 18th smallest of 1 … 19.
    assert conformal_radius(np.array([*range(-19, 0)], dtype=float), 0.9) == 18.0


def test_too_few_residuals_give_an_infinite_interval_and_not_a_false_promise() -> None:
    assert conformal_radius(np.arange(8.0), 0.9) == np.inf


def test_new_wells_are_covered_as_often_as_promised() -> None:
    generator = np.random.default_rng(614)
    covered = [
        abs(draw[0]) <= conformal_radius(draw[1:], 0.8) for draw in generator.standard_t(3, size=(4000, 31))
    ]
    # Exact coverage is 25/31 = 0.806; 4 000 draws have a standard error of 0.006.
    assert np.mean(covered) == pytest.approx(25 / 31, abs=0.02)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3, 4))])
def test_coverage_on_metabolites_never_seen_is_within_three_points_of_nominal(seed: int) -> None:
    screen = simulate_screen(SimulationSettings(seed=seed, n_genes=256))
    data = EvaluationData(screen.wells, lambda training_wells: screen.vst)
    ridge = {"pca_ridge": baseline_ladder(has_depth=False)["pca_ridge"]}
    predictions = out_of_fold_predictions(data, ridge, ["leave_metabolite_out"])
    radii = conformal_radii(predictions, screen.wells, level=0.9)
    print(radii[["target", "radius", "coverage"]].to_string(index=False))
    assert (radii["coverage"] - 0.9).abs().max() <= 0.03


def one_model() -> tuple[pd.DataFrame, pd.DataFrame]:
    """100 wells whose prediction is 0; the first fold's targets are ten times as far off."""
    well_ids = [f"w{number}" for number in range(100)]
    fold = np.arange(100) % 2
    residual = np.random.default_rng(0).normal(size=100) * np.where(fold == 0, 10.0, 1.0)
    wells = pd.DataFrame({"well_id": well_ids, "is_dmso": False, "tscore": residual})
    wells[["cytotrace", "pseudotime"]] = np.nan
    predictions = pd.DataFrame(
        {"scheme": "leave_batch_out", "model": "ridge", "fold": fold, "well_id": well_ids}
    )
    predictions[["pred_tscore", "pred_cytotrace", "pred_pseudotime"]] = 0.0
    return predictions, wells


def test_the_coverage_of_a_fold_is_counted_with_the_radius_of_the_others() -> None:
    predictions, wells = one_model()
    coverage = conformal_radii(predictions, wells).set_index("target")["coverage"]["tscore"]
    residual, fold = wells["tscore"].abs().to_numpy(), predictions["fold"].to_numpy()
    # ⌈51 · 0.9⌉ = 46th of the other fold's 50.
    radius = {0: np.sort(residual[fold == 1])[45], 1: np.sort(residual[fold == 0])[45]}
    expected = np.mean([residual[number] <= radius[fold[number]] for number in range(100)])
    assert coverage == pytest.approx(expected)


def test_a_score_nobody_measured_has_no_interval() -> None:
    predictions, wells = one_model()
    assert conformal_radii(predictions, wells)["target"].tolist() == ["tscore"]


def test_intervals_lie_the_radius_below_and_above_the_prediction() -> None:
    radii = pd.DataFrame(
        {"model": ["transformer"], "scheme": ["leave_metabolite_out"], "target": ["tscore"], "radius": [0.5]}
    )
    extended = with_intervals(pd.DataFrame({"well_id": ["w"], "pred_tscore": [2.0]}), radii)
    assert extended[["low_tscore", "high_tscore"]].to_numpy().tolist() == [[1.5, 2.5]]


def test_intervals_of_a_model_never_evaluated_are_refused() -> None:
    radii = pd.DataFrame({"model": ["mean"], "scheme": ["random"], "target": ["tscore"], "radius": [1.0]})
    with pytest.raises(ValueError, match="no conformal radius of transformer for leave_metabolite_out"):
        with_intervals(pd.DataFrame({"well_id": ["w"], "pred_tscore": [2.0]}), radii)
