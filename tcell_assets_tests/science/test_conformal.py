"""Conformal intervals cover what they promise, on new metabolites of simulated screens too."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tcell_assets.science.evaluation.conformal import (
    Intervals,
    conformal_radii,
    conformal_radius,
    fit_intervals,
    with_intervals,
)
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
    # 36 metabolites lie in a tail of 73 wells; a share of .9 of them is known to ± .05.
    assert radii[["coverage_low_tail", "coverage_high_tail"]].to_numpy().min() >= 0.8


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


def test_the_coverage_of_a_fold_is_counted_with_the_intervals_of_the_others() -> None:
    predictions, wells = one_model()
    coverage = conformal_radii(predictions, wells).set_index("target")["coverage"]["tscore"]
    observed, fold = wells["tscore"].to_numpy(), predictions["fold"].to_numpy()
    zeros = np.zeros(50)
    expected = np.mean(
        [
            fit_intervals(observed[fold == 1 - number], zeros).covers(observed[fold == number], zeros).mean()
            for number in (0, 1)
        ]
    )
    assert coverage == pytest.approx(expected)


@pytest.mark.parametrize(
    ("seed", "rungs"),
    [
        (1, ["pca_ridge"]),
        pytest.param(2, ["pca_ridge", "kernel_ridge", "boosting"], marks=pytest.mark.slow),
    ],
)
def test_coverage_holds_on_screens_that_another_simulator_makes(seed: int, rungs: list[str]) -> None:
    """Nothing of it is in the project's own simulator.

    Counts of overdispersed genes, a score that saturates, noise that grows with it and has heavy tails, and effects
    that the wells of a compound share.
    """
    generator = np.random.default_rng(seed)
    compound = np.repeat(np.arange(350), 2)
    programmes = generator.gamma(1.0, 1.0, (350, 6))[compound] + 0.3 * generator.normal(size=(700, 6))
    rate = np.exp(0.3 * programmes @ generator.normal(size=(6, 80)) + generator.normal(2.0, 1.0, 80))
    expression = np.log2(generator.negative_binomial(3, 3 / (3 + rate)) + 1.0)
    signal = np.tanh(programmes[:, 0] - programmes[:, 1]) + 0.5 * programmes[:, 2]
    shared = 0.3 * generator.normal(size=350)[compound]
    score = signal + shared + 0.2 * (1 + np.abs(signal)) * generator.standard_t(3, 700)
    well_ids = [f"w{number}" for number in range(700)]
    wells = pd.DataFrame(
        {
            "well_id": well_ids,
            "batch": "b",
            "plate": "P",
            "row": "A",
            "column": 1,
            "metabolite": [f"m{one}" for one in compound],
            "is_dmso": False,
            "is_activated": pd.array([1] * 700, dtype="Int8"),
            **{name: score for name in ("tscore", "cytotrace", "pseudotime")},
        }
    )
    values = pd.DataFrame(expression, index=pd.Index(well_ids, name="well_id"))
    values.columns = [f"G{number}" for number in range(80)]
    ladder = baseline_ladder(has_depth=False)
    models = {name: ladder[name] for name in rungs}
    predictions = out_of_fold_predictions(
        EvaluationData(wells, lambda training_wells: values), models, ["leave_metabolite_out"]
    )
    radii = conformal_radii(predictions, wells)
    assert (radii["coverage"] - 0.9).abs().max() <= 0.03
    assert radii[["coverage_low_tail", "coverage_high_tail"]].to_numpy().min() >= 0.8


def shrunk_screen(seed: int, share: float = 0.5, wells: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Scores with variance 1 and predictions that explain `share` of it, the best ones there are."""
    generator = np.random.default_rng(seed)
    predicted = generator.normal(size=wells) * np.sqrt(share)
    return predicted + generator.normal(size=wells) * np.sqrt(1 - share), predicted


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_extreme_scores_of_new_wells_are_covered_as_often_as_all_are(share: float) -> None:
    covered, tails, plain_tails = [], [], []
    for seed in range(20):
        fitted = fit_intervals(*shrunk_screen(seed, share))
        observed, predicted = shrunk_screen(1000 + seed, share)
        own = fitted.covers(observed, predicted)
        extreme = np.abs(observed) > 1.2816
        covered.append(own.mean())
        tails.append(own[extreme].mean())
        plain = conformal_radius(np.subtract(*shrunk_screen(seed, share)))
        plain_tails.append((np.abs(observed - predicted) <= plain)[extreme].mean())
    # Standard errors: .002 of all wells, .004 of the tails.
    assert np.mean(covered) == pytest.approx(0.9, abs=0.02)
    assert np.mean(tails) >= 0.85
    assert np.mean(plain_tails) < 0.84


def test_a_model_that_tells_nothing_keeps_the_coverage_of_all_wells_and_not_that_of_the_tails() -> None:
    """Intervals that cover every extreme of a model without skill would have to cover everything."""
    observed = np.random.default_rng(0).normal(size=2000)
    fitted = fit_intervals(observed, np.zeros(2000))
    own = fitted.covers(observed, np.zeros(2000))
    assert own.mean() == pytest.approx(0.9, abs=0.012)
    assert own[np.abs(observed) > 1.2816].mean() < 0.7


def test_an_interval_holds_every_score_that_its_own_third_does_not_rule_out() -> None:
    fitted = Intervals(-1.0, 1.0, 2.0, 0.5, 3.0)
    low, high = fitted.around(np.array([0.0, 0.8, 2.0, -5.0, -2.6]))
    # 0: both tails reach it. .8: only the upper tail does, and .3 is the nearest inner score below. 2: no inner score
    # is near enough, the tail ends at 1. −5: only the lower tail. −2.6: the lower tail up to its end.
    assert low.tolist() == [-2.0, -1.2, 1.0, -7.0, -4.6]
    assert high.tolist() == [3.0, 3.8, 5.0, -3.0, -1.0]


def test_a_score_nobody_measured_has_no_interval() -> None:
    predictions, wells = one_model()
    assert conformal_radii(predictions, wells)["target"].tolist() == ["tscore"]


def test_intervals_of_a_table_of_one_radius_lie_that_far_below_and_above_the_prediction() -> None:
    radii = pd.DataFrame(
        {"model": ["transformer"], "scheme": ["leave_metabolite_out"], "target": ["tscore"], "radius": [0.5]}
    )
    extended = with_intervals(pd.DataFrame({"well_id": ["w"], "pred_tscore": [2.0]}), radii)
    assert extended[["low_tscore", "high_tscore"]].to_numpy().tolist() == [[1.5, 2.5]]


def test_intervals_of_a_model_never_evaluated_are_refused() -> None:
    radii = pd.DataFrame({"model": ["mean"], "scheme": ["random"], "target": ["tscore"], "radius": [1.0]})
    with pytest.raises(ValueError, match="no conformal radius of transformer for leave_metabolite_out"):
        with_intervals(pd.DataFrame({"well_id": ["w"], "pred_tscore": [2.0]}), radii)
