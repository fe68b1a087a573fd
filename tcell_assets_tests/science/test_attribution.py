"""Integrated Gradients against finite differences of the network written in float64 NumPy, and the drivers of hits."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

from benchmarks.driver_genes import driver_gene_areas
from tcell_assets.science.model.attribution import dmso_baseline, integrated_gradients
from tcell_assets.science.model.gene_importance import rank_genes
from tcell_assets.science.model.scoring import ScoringError, score_wells
from tcell_assets.science.model.trained_model import TrainedModel
from tcell_assets.science.screen.hit_drivers import hit_drivers
from tcell_assets_tests.science.numpy_network import numpy_forward
from tcell_assets_tests.science.small_screens import (
    ONE_THREAD,
    SMALL_NETWORK,
    expression_frame,
    small_model,
    small_screen,
)

DATA = small_screen()
EXPRESSION = expression_frame(DATA)


@cache
def trained() -> TrainedModel:
    return small_model(DATA, use_zscore=True)


def baseline() -> pd.Series:
    return dmso_baseline(EXPRESSION, DATA.wells, trained())


def head_in_numpy(model: TrainedModel, head: str, expression: np.ndarray) -> np.ndarray:
    output = numpy_forward(
        model.weights,
        expression,
        heads=SMALL_NETWORK["heads"],
        layers=SMALL_NETWORK["layers"],
        mean=model.gene_mean,
        standard_deviation=model.gene_standard_deviation,
    )
    if head == "activation_score":
        mean, standard_deviation = model.scales["activation_score"]
        return np.asarray(output["activation_score"] * standard_deviation + mean)
    if head == "is_activated":
        return output["is_activated"]
    return np.asarray(output["scores"][:, ["tscore", "cytotrace", "pseudotime"].index(head)])


@pytest.mark.parametrize("head", ["tscore", "cytotrace", "pseudotime", "is_activated", "activation_score"])
def test_integrated_gradients_equal_finite_differences_along_the_path(head: str) -> None:
    model = trained()
    well = EXPRESSION.iloc[[3]]
    own = integrated_gradients(model, well, baseline(), ONE_THREAD, head=head, steps=20, keep=well.index)

    genes = list(model.genes)
    start = baseline()[genes].to_numpy(dtype=np.float64)
    change = well[genes].to_numpy(dtype=np.float64)[0] - start
    nodes, weights = np.polynomial.legendre.leggauss(20)
    expected = np.zeros(len(genes))
    step = 1e-5
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        point = start + node * change
        around = np.concatenate([point + step * np.eye(len(genes)), point - step * np.eye(len(genes))])
        value = head_in_numpy(model, head, around)
        expected += weight * (value[: len(genes)] - value[len(genes) :]) / (2 * step) * change
    # Captum differentiates in fp32, good to about 1e-6 of the largest attribution.
    np.testing.assert_allclose(
        own.by_gene[genes].to_numpy()[0], expected, rtol=0, atol=1e-4 * np.abs(expected).max()
    )


def test_attributions_add_up_to_the_change_of_the_output() -> None:
    result = integrated_gradients(trained(), EXPRESSION.iloc[:8], baseline(), ONE_THREAD, steps=50)
    change = (result.wells["output"] - result.wells["baseline_output"]).abs()
    assert (result.wells["completeness_error"] < 0.01 * change.max()).all()


def test_more_steps_make_the_completeness_error_smaller() -> None:
    errors = [
        integrated_gradients(trained(), EXPRESSION.iloc[:8], baseline(), ONE_THREAD, steps=steps)
        .wells["completeness_error"]
        .mean()
        for steps in (2, 50)
    ]
    assert errors[1] < errors[0]


def test_the_output_is_the_exported_prediction() -> None:
    result = integrated_gradients(
        trained(), EXPRESSION, baseline(), ONE_THREAD, head="activation_score", steps=1
    )
    exported = score_wells(trained(), EXPRESSION, ONE_THREAD).predictions["pred_activation"]
    # The score's own unit is about 40; fp32.
    np.testing.assert_allclose(result.wells["output"], exported, atol=1e-3)


def test_the_importance_of_all_wells_is_the_mean_over_them() -> None:
    wells = EXPRESSION.iloc[:6]
    result = integrated_gradients(trained(), wells, baseline(), ONE_THREAD, steps=5, keep=wells.index)
    importance = result.importance.set_index("gene")
    np.testing.assert_allclose(importance["importance"], result.by_gene.abs().mean(), rtol=1e-6)
    np.testing.assert_allclose(importance["signed_importance"], result.by_gene.mean(), rtol=0, atol=1e-9)
    ranking = rank_genes({"tc1": result.importance})
    assert set(ranking["method"]) == {"integrated_gradients"}


def test_the_order_of_the_genes_in_the_input_changes_nothing() -> None:
    wells = EXPRESSION.iloc[:4]
    ordered = integrated_gradients(trained(), wells, baseline(), ONE_THREAD, steps=5)
    turned = integrated_gradients(trained(), wells.iloc[:, ::-1], baseline()[::-1], ONE_THREAD, steps=5)
    pd.testing.assert_frame_equal(turned.importance, ordered.importance)


def test_the_baseline_is_the_mean_of_the_training_dmso_wells() -> None:
    model = trained()
    training = set(model.split.loc[model.split["split"] == "train", "well_id"])
    chosen = DATA.wells["is_dmso"] & DATA.wells["well_id"].isin(training)
    expected = DATA.expression[chosen.to_numpy()].astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(baseline()[list(DATA.genes)], expected, rtol=1e-12)


def test_wells_without_training_dmso_give_no_baseline() -> None:
    treated = EXPRESSION[~DATA.wells["is_dmso"].to_numpy()]
    with pytest.raises(ValueError, match="usable DMSO well of its training set"):
        dmso_baseline(treated, DATA.wells, trained())


def test_an_untrained_head_cannot_be_explained() -> None:
    unscored = small_screen()
    unscored.wells["activation_score"] = np.nan
    model = small_model(unscored)
    with pytest.raises(ScoringError, match="'activation_score' is untrained"):
        integrated_gradients(model, EXPRESSION.iloc[:2], baseline(), ONE_THREAD, head="activation_score")


BY_GENE = pd.DataFrame(
    {"CD69": [0.5, 0.7, 0.1], "IL7R": [-0.9, -0.7, 0.2], "ACTB": [0.3, -0.2, 0.0]},
    index=pd.Index(["w1", "w2", "w3"], name="well_id"),
)
WELLS = pd.DataFrame({"well_id": ["w1", "w2", "w3"], "metabolite": ["folate", "folate", "NAD+"]})
HITS = pd.DataFrame(
    {"metabolite": ["NAD+", "folate"], "hit_class": ["inactive", "suppressor"], "rank": [2, 1]}
)


def test_a_hits_drivers_are_its_largest_mean_attributions_with_their_sign() -> None:
    drivers = hit_drivers(BY_GENE, WELLS, HITS, top=2)
    assert drivers["gene"].tolist() == ["IL7R", "CD69"]
    assert drivers["attribution"].tolist() == pytest.approx([-0.8, 0.6])
    assert drivers["n_same_sign"].tolist() == [2, 2]
    assert set(drivers["metabolite"]) == {"folate"}


def test_replicates_that_disagree_on_a_driver_show() -> None:
    drivers = hit_drivers(BY_GENE, WELLS, HITS).set_index("gene")
    assert drivers["n_same_sign"]["ACTB"] == 1
    assert drivers["n_replicates"]["ACTB"] == 2


def test_a_hit_without_attribution_is_an_error() -> None:
    with pytest.raises(ValueError, match="no attribution of any well of folate"):
        hit_drivers(BY_GENE.iloc[2:], WELLS, HITS)


@pytest.mark.slow
def test_importance_finds_the_driver_genes_of_a_simulated_screen() -> None:
    found = driver_gene_areas(seed=1)
    print(found)
    assert max(found["Gradient × Input"], found["Integrated Gradients"]) >= 0.9
