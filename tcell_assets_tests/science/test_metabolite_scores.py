"""Scores per metabolite against means and standard deviations worked by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from tcell_assets.science.screen.metabolite_scores import score_metabolites

WELLS = pd.DataFrame(
    {
        "well_id": ["tc1_A1_A1", "tc1_A1_A2", "tc1_A1_A3", "tc2_A1_A2", "tc2_A1_A3", "tc2_A1_A4"],
        "metabolite": ["DMSO", "folate", "β-alanine, D", "folate", "β-alanine, D", "NA"],
        "is_dmso": [True, False, False, False, False, False],
    }
)
DISTANCES = pd.DataFrame(
    {
        "well_id": WELLS["well_id"],
        "euclidean": [100.0, 1.0, 4.0, 3.0, 6.0, 2.5],
        "cosine": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5],
        "cosine_centered": [0.0, 0.1, float("nan"), 0.3, 1.2, 0.5],
    }
)
PREDICTIONS = pd.DataFrame(
    {
        "well_id": WELLS["well_id"],
        "activation_probability": [0.5, 0.2, 0.9, 0.4, 0.7, 0.6],
        "pred_activation": [0.0, -1.0, 2.0, -2.0, 4.0, 1.0],
        "latent_norm": [1.0, 900.0, 1.0, 900.0, 1.0, 1.0],
    }
)


def test_mean_sd_and_number_are_those_of_the_metabolites_wells_in_all_batches() -> None:
    scores = score_metabolites(WELLS, PREDICTIONS, DISTANCES).set_index("metabolite")
    folate = scores.loc["folate"]
    assert folate["mean_euclidean"] == pytest.approx((1 + 3) / 2)
    assert folate["sd_euclidean"] == pytest.approx(((1 - 2) ** 2 + (3 - 2) ** 2) ** 0.5)
    assert folate["n_euclidean"] == 2
    assert folate["mean_activation_probability"] == pytest.approx(0.3)
    assert folate["sd_pred_activation"] == pytest.approx(0.5**0.5)


def test_dmso_is_not_in_the_ranking() -> None:
    scores = score_metabolites(WELLS, PREDICTIONS, DISTANCES)
    assert set(scores["metabolite"]) == {"folate", "β-alanine, D", "NA"}


def test_the_ranking_follows_the_distance_to_dmso_and_not_the_latent_norm() -> None:
    scores = score_metabolites(WELLS, PREDICTIONS, DISTANCES)
    assert scores[["rank", "metabolite"]].to_numpy().tolist() == [
        [1, "β-alanine, D"],
        [2, "NA"],
        [3, "folate"],
    ]


def test_the_ranking_follows_the_hit_calls_where_they_exist() -> None:
    hits = pd.DataFrame({"metabolite": ["NA", "folate", "β-alanine, D"], "rank": [3, 1, 2]})
    scores = score_metabolites(WELLS, PREDICTIONS, DISTANCES, hits=hits)
    assert scores["metabolite"].tolist() == ["folate", "β-alanine, D", "NA"]


def test_one_well_has_a_mean_but_no_standard_deviation() -> None:
    scores = score_metabolites(WELLS, PREDICTIONS, DISTANCES).set_index("metabolite")
    assert scores.loc["NA", "mean_euclidean"] == 2.5
    assert scores["sd_euclidean"].isna()["NA"]


def test_an_undefined_cosine_is_left_out_of_its_mean_and_its_number() -> None:
    scores = score_metabolites(WELLS, PREDICTIONS, DISTANCES).set_index("metabolite")
    assert scores["mean_cosine_centered"]["β-alanine, D"] == 1.2
    assert scores["n_cosine_centered"]["β-alanine, D"] == 1


def test_a_well_that_failed_quality_control_enters_no_score() -> None:
    usable = pd.Series(True, index=WELLS["well_id"])
    usable["tc2_A1_A2"] = False
    scores = score_metabolites(WELLS, PREDICTIONS, DISTANCES, usable=usable).set_index("metabolite")
    assert scores["n_wells"]["folate"] == 1
    assert scores["mean_euclidean"]["folate"] == 1.0


def test_a_metabolite_without_usable_wells_keeps_its_row_and_has_no_rank() -> None:
    usable = pd.Series(True, index=WELLS["well_id"])
    usable["tc2_A1_A4"] = False
    scores = score_metabolites(WELLS, PREDICTIONS, DISTANCES, usable=usable)
    assert scores["metabolite"].iloc[-1] == "NA"
    assert pd.isna(scores["rank"].iloc[-1])


def test_an_untrained_head_leaves_its_columns_empty() -> None:
    scores = score_metabolites(WELLS, PREDICTIONS.drop(columns="pred_activation"), DISTANCES)
    assert scores["mean_pred_activation"].isna().all()
    assert (scores["n_pred_activation"] == 0).all()


def test_a_well_without_a_prediction_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match=r"predictions: .*tc2_A1_A4"):
        score_metabolites(WELLS, PREDICTIONS.iloc[:-1], DISTANCES)


def test_the_order_of_the_tables_changes_nothing() -> None:
    ordered = score_metabolites(WELLS, PREDICTIONS, DISTANCES)
    shuffled = score_metabolites(WELLS.iloc[::-1], PREDICTIONS.sample(frac=1, random_state=3), DISTANCES)
    pd.testing.assert_frame_equal(shuffled, ordered)
