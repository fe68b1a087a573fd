"""The model is compared with ridge and logistic regression on the same wells, whoever wins."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score, roc_auc_score

from tcell_assets.science.evaluation.baselines import compare_with_linear_baselines
from tcell_assets.science.model.scoring import score_wells
from tcell_assets_tests.science.small_screens import ONE_THREAD, expression_frame, small_model, small_screen

DATA = small_screen(wells=200)


@pytest.fixture(scope="module")
def comparison_and_model() -> tuple:
    model = small_model(DATA, use_zscore=True, linear_path=True)
    return compare_with_linear_baselines(DATA, model, ONE_THREAD).set_index("target"), model


def test_every_trained_target_has_its_metric(comparison_and_model: tuple) -> None:
    comparison, _ = comparison_and_model
    assert comparison["metric"].to_dict() == {
        "tscore": "r2",
        "cytotrace": "r2",
        "pseudotime": "r2",
        "is_activated": "auroc",
        "activation_score": "r2",
    }


def test_the_transformer_is_judged_on_the_held_out_wells_alone(comparison_and_model: tuple) -> None:
    comparison, model = comparison_and_model
    predictions = score_wells(model, expression_frame(DATA), ONE_THREAD).predictions
    held_out = (predictions["split"] == "val").to_numpy()
    expected = r2_score(DATA.wells["tscore"][held_out], predictions["pred_tscore"][held_out])
    assert comparison.loc["tscore", "transformer"] == pytest.approx(expected)
    expected = roc_auc_score(
        DATA.wells["is_activated"][held_out], predictions["activation_probability"][held_out]
    )
    assert comparison.loc["is_activated", "transformer"] == pytest.approx(expected)
    assert set(comparison["n_wells"]) == {40}


def test_ridge_matches_least_squares_where_the_truth_is_linear_and_free_of_noise(
    comparison_and_model: tuple,
) -> None:
    comparison, model = comparison_and_model
    in_training = (
        model.split.set_index("well_id")["split"].reindex(DATA.wells["well_id"]) == "train"
    ).to_numpy()
    least_squares = LinearRegression().fit(DATA.expression[in_training], DATA.wells["tscore"][in_training])
    expected = least_squares.score(DATA.expression[~in_training], DATA.wells["tscore"][~in_training])
    assert comparison.loc["tscore", "linear"] == pytest.approx(expected, abs=1e-3)
    assert comparison.loc["is_activated", "linear"] > 0.95


def test_an_untrained_head_is_not_compared() -> None:
    data = dataclasses.replace(DATA, wells=DATA.wells.assign(activation_score=np.nan))
    comparison = compare_with_linear_baselines(data, small_model(data), ONE_THREAD)
    assert "activation_score" not in set(comparison["target"])
