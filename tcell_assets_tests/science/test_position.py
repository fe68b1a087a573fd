"""What the position audit says, and what the position adjustment takes out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tcell_assets.science.plates.position import (
    adjust_for_position,
    edge_effect,
    morans_i_by_plate,
    position_audit,
    resolve_adjustment,
    worst_verdict,
)
from tcell_assets.science.plates.settings import Adjustment, PositionThresholds
from tcell_assets.science.simulation.screen_simulation import (
    PresetName,
    SimulatedScreen,
    SimulationSettings,
    simulate_screen,
)
from tcell_assets_tests.science.published_screen import published_wells

FAST = PositionThresholds(trees=30, permutations=99)
SCORES = ["tscore", "cytotrace", "pseudotime"]


def one_plate(batch: str = "tc1", plate: str = "A1") -> pd.DataFrame:
    wells = pd.DataFrame(
        [(row, column) for row in "ABCDEFGH" for column in range(1, 13)], columns=["row", "column"]
    )
    wells.insert(0, "well_id", f"{batch}_{plate}_" + wells["row"] + wells["column"].astype(str))
    wells["batch"], wells["plate"] = batch, plate
    wells["is_edge"] = wells["row"].isin(["A", "H"]) | wells["column"].isin([1, 12])
    wells["metabolite"] = [f"metabolite {number % 24}" for number in range(96)]
    return wells


@pytest.fixture(scope="module")
def confounded() -> SimulatedScreen:
    return simulate_screen(SimulationSettings(preset="confounded", n_genes=100, seed=1))


def targets(screen: SimulatedScreen) -> pd.DataFrame:
    return screen.wells.set_index("well_id")[[*SCORES, "is_activated"]]


def replicate_correlation(values: pd.Series, wells: pd.DataFrame) -> float:
    treated = wells[~wells["is_dmso"]]
    table = treated.assign(value=values.loc[treated["well_id"]].to_numpy()).pivot(
        index="metabolite", columns="batch", values="value"
    )
    return float(np.corrcoef(table.to_numpy().T)[0, 1])


def test_the_published_screen_is_confounded_with_the_published_figures() -> None:
    wells = published_wells()
    audit = position_audit(wells.set_index("well_id")[[*SCORES, "is_activated"]], wells).set_index("variable")
    assert (audit["verdict"] == "confounded").all()
    # 0.02 is the spread over seeds and forest sizes of these figures, 0.03 for the noisier CytoTRACE.
    assert audit.loc["tscore", "r2"] == pytest.approx(0.95, abs=0.02)
    assert audit.loc["pseudotime", "r2"] == pytest.approx(0.97, abs=0.02)
    assert audit.loc["cytotrace", "r2"] == pytest.approx(0.62, abs=0.03)
    assert audit.loc["is_activated", "auc"] == pytest.approx(0.996, abs=0.003)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("preset", ["clean", "null", "dead_wells", "sparse"])
def test_a_randomised_layout_is_ok(preset: PresetName, seed: int) -> None:
    screen = simulate_screen(SimulationSettings(preset=preset, n_genes=100, seed=seed))
    values = targets(screen)[["tscore", "is_activated"]].assign(
        total_umi=np.asarray(screen.counts.sum(axis=1)).ravel()
    )
    assert worst_verdict(position_audit(values, screen.wells, FAST)) == "ok"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_confounded_screen_is_called_so_and_its_replicates_agree_only_unadjusted(seed: int) -> None:
    screen = simulate_screen(SimulationSettings(preset="confounded", n_genes=300, seed=seed))
    values = targets(screen)
    audit = position_audit(values[["tscore", "is_activated"]], screen.wells, FAST)
    assert worst_verdict(audit) == "confounded"
    adjusted = adjust_for_position(values[SCORES], screen.wells, "auto", verdict=worst_verdict(audit))
    assert replicate_correlation(values["tscore"], screen.wells) > 0.4
    # 364 pairs of unrelated values correlate within ±0.10 in 95 % of cases; saturation leaves a little of pseudotime.
    for score in SCORES:
        assert abs(replicate_correlation(adjusted[score], screen.wells)) < 0.2


def test_variance_shares_and_edge_effect_are_those_of_an_analysis_of_variance() -> None:
    wells = one_plate()
    values = pd.Series(np.random.default_rng(0).normal(size=96), index=wells["well_id"], name="x")
    audit = position_audit(values.to_frame(), wells, FAST).iloc[0]
    f_statistic, _ = stats.f_oneway(*[group for _, group in values.groupby(wells["column"].to_numpy())])
    # eta² = F·(k−1) / (F·(k−1) + n−k) with 12 columns and 96 wells.
    assert audit["eta_squared_column"] == pytest.approx(f_statistic * 11 / (f_statistic * 11 + 84))
    edge = wells["is_edge"].to_numpy()
    assert audit["edge_effect"] == pytest.approx(
        (values[edge].mean() - values[~edge].mean()) / values.std(ddof=0)
    )
    assert audit["edge_p"] == pytest.approx(stats.mannwhitneyu(values[edge], values[~edge]).pvalue)


def test_morans_i_is_the_textbook_double_sum_over_queen_neighbours() -> None:
    wells = one_plate().iloc[:40]
    values = pd.Series(np.random.default_rng(1).normal(size=40), index=wells["well_id"])
    z = values.to_numpy() - values.mean()
    row, column = wells["row"].map(ord).to_numpy(), wells["column"].to_numpy()
    numerator = weight = 0.0
    for i in range(40):
        for j in range(40):
            if i != j and abs(row[i] - row[j]) <= 1 and abs(column[i] - column[j]) <= 1:
                numerator += z[i] * z[j]
                weight += 1.0
    found = morans_i_by_plate(values, wells, permutations=99)
    assert found["morans_i"].item() == pytest.approx(40 / weight * numerator / (z @ z))


def test_a_smooth_gradient_has_a_significant_morans_i_and_noise_has_none() -> None:
    wells = one_plate()
    gradient = pd.Series(wells["column"].to_numpy(float), index=wells["well_id"])
    noise = pd.Series(np.random.default_rng(5).normal(size=96), index=wells["well_id"])
    assert morans_i_by_plate(gradient, wells)["morans_p"].item() == 0.001
    assert morans_i_by_plate(noise, wells)["morans_p"].item() > 0.05


@pytest.mark.parametrize("seed", [11, 12, 13, 14, 15])
def test_a_weak_gradient_that_a_forest_misses_is_found_by_the_smooth_fit(seed: int) -> None:
    """Fifteen percent of a score's variance, over row and column; `python -m benchmarks.position` tries 20 screens."""
    screen = simulate_screen(SimulationSettings(n_genes=64, seed=seed))
    score = screen.wells.set_index("well_id")["tscore"]
    row = screen.wells["row"].map(lambda letter: ord(letter) - 65.0).to_numpy()
    slope = 0.6 * (row - row.mean()) / row.std() + 0.8 * stats.zscore(screen.wells["column"].to_numpy(float))
    planted = score + np.sqrt(0.15 / 0.85) * score.std() * stats.zscore(slope)
    (audit,) = position_audit(planted.to_frame(), screen.wells, FAST).to_dict("records")
    assert (audit["fit"], audit["verdict"]) == ("smooth", "watch")


def test_neighbours_that_are_alike_are_to_be_watched_where_no_fit_predicts_them() -> None:
    """Patches of four wells: no row, column or smooth surface tells them."""
    wells = pd.concat([one_plate("tc1", plate) for plate in ("A1", "A2", "A3")], ignore_index=True)
    row = wells["row"].map(lambda letter: ord(letter) - 65)
    generator = np.random.default_rng(1)
    patch = wells["plate"] + "_" + (row // 2).astype(str) + "_" + ((wells["column"] - 1) // 2).astype(str)
    level = dict(zip(patch.unique(), generator.normal(size=patch.nunique()), strict=True))
    values = pd.Series(patch.map(level).to_numpy() + generator.normal(size=len(wells)), wells["well_id"])
    wells["metabolite"] = generator.permutation([f"metabolite {number % 96}" for number in range(288)])
    rule = PositionThresholds(trees=30, watch_r2=0.25, confounded_r2=0.3)
    (audit,) = position_audit(values.to_frame("score"), wells, rule).to_dict("records")
    assert audit["r2"] < rule.watch_r2
    assert audit["verdict"] == "watch"
    assert "Neighbouring wells are alike beyond chance" in audit["finding"]


def test_alternating_rows_are_a_pattern_too() -> None:
    wells = one_plate()
    alternating = pd.Series(wells["row"].map(ord).to_numpy() % 2 * 1.0, index=wells["well_id"])
    found = morans_i_by_plate(alternating, wells)
    assert found["morans_i"].item() < -0.2
    assert found["morans_p"].item() == 0.001


def test_permuting_the_wells_changes_no_number_of_the_audit(confounded: SimulatedScreen) -> None:
    values = targets(confounded)[["tscore", "is_activated"]]
    order = np.random.default_rng(2).permutation(len(values))
    audit = position_audit(values, confounded.wells, FAST)
    permuted = position_audit(values.iloc[order, ::-1], confounded.wells.iloc[order[::-1]], FAST)
    pd.testing.assert_frame_equal(
        audit.set_index("variable"), permuted.set_index("variable").loc[audit["variable"]], atol=1e-5
    )


def test_a_confounded_finding_names_the_figure_and_the_consequence(confounded: SimulatedScreen) -> None:
    audit = position_audit(targets(confounded)[["tscore"]], confounded.wells, FAST).iloc[0]
    assert f"(R² {audit['r2']:.2f})" in audit["finding"]
    assert "replicates that agree at one position prove nothing" in audit["finding"]


def test_a_variable_that_never_changes_is_ok_and_one_treatment_alone_cannot_be_judged() -> None:
    wells = one_plate().assign(metabolite="DMSO")
    values = pd.DataFrame({"flat": 1.0, "varying": np.arange(96.0)}, index=wells["well_id"])
    audit = position_audit(values, wells, FAST).set_index("variable")
    assert audit.loc["flat", "verdict"] == "ok"
    assert audit.loc["varying", "verdict"] == "watch"
    assert "cannot be judged" in audit["finding"]["varying"]


def test_wells_without_a_value_are_left_out() -> None:
    wells = one_plate()
    values = pd.DataFrame({"x": np.random.default_rng(0).normal(size=96)}, index=wells["well_id"])
    values.iloc[:6] = np.nan
    full = position_audit(values.dropna(), wells, FAST)
    pd.testing.assert_frame_equal(position_audit(values, wells, FAST), full)
    assert full.loc[0, "n_wells"] == 90


@pytest.mark.parametrize("method", ["plate_median", "median_polish"])
def test_a_constant_added_per_plate_changes_no_adjusted_value(
    method: Adjustment, confounded: SimulatedScreen
) -> None:
    values = targets(confounded)[SCORES]
    plate = confounded.wells.groupby(["batch", "plate"]).ngroup().to_numpy()
    shifted = values + np.linspace(-7, 11, 8)[plate][:, None]
    before = adjust_for_position(values, confounded.wells, method)
    after = adjust_for_position(shifted, confounded.wells, method)
    np.testing.assert_allclose(after, before, atol=1e-5)


def test_the_plate_median_is_subtracted_per_plate_and_feature() -> None:
    wells = pd.concat([one_plate(plate="A1"), one_plate(plate="A2")], ignore_index=True)
    generator = np.random.default_rng(0)
    values = pd.DataFrame(generator.normal(size=(192, 3)), index=wells["well_id"], columns=list("xyz"))
    adjusted = adjust_for_position(values, wells, "plate_median")
    expected = (
        values.to_numpy().reshape(2, 96, 3) - np.median(values.to_numpy().reshape(2, 96, 3), axis=1)[:, None]
    )
    np.testing.assert_allclose(adjusted, expected.reshape(192, 3))


def test_median_polish_subtracts_row_and_column_medians_twice() -> None:
    wells = one_plate()
    values = pd.DataFrame({"x": np.random.default_rng(3).normal(size=96)}, index=wells["well_id"])
    grid = values["x"].to_numpy().reshape(8, 12)
    grid = grid - np.median(grid)
    for _ in range(2):
        grid = grid - np.median(grid, axis=1, keepdims=True)
        grid = grid - np.median(grid, axis=0, keepdims=True)
    adjusted = adjust_for_position(values, wells, "median_polish")
    np.testing.assert_allclose(adjusted["x"].to_numpy().reshape(8, 12), grid, atol=1e-12)


def test_wells_that_failed_are_adjusted_but_enter_no_median() -> None:
    wells = one_plate()
    values = pd.DataFrame({"x": np.random.default_rng(3).normal(size=96)}, index=wells["well_id"])
    usable = pd.Series(True, index=values.index)
    usable.iloc[:30] = False
    spoiled = values.copy()
    spoiled.iloc[:30] += 1000.0
    clean, dirty = (
        adjust_for_position(table, wells, "plate_median", usable=usable) for table in (values, spoiled)
    )
    np.testing.assert_allclose(clean.iloc[30:], dirty.iloc[30:])
    np.testing.assert_allclose(dirty.iloc[:30] - clean.iloc[:30], 1000.0)


def test_a_well_without_a_verdict_of_quality_control_is_refused() -> None:
    wells = one_plate()
    values = pd.DataFrame({"x": 0.0}, index=wells["well_id"])
    with pytest.raises(ValueError, match=r"1 well\(s\) have no verdict: tc1_A1_A1"):
        adjust_for_position(values, wells, "plate_median", usable=pd.Series(True, index=values.index[1:]))


def test_permuting_wells_and_features_changes_no_adjusted_value(confounded: SimulatedScreen) -> None:
    order = np.random.default_rng(4).permutation(768)
    adjusted = adjust_for_position(confounded.vst, confounded.wells, "median_polish")
    permuted = adjust_for_position(
        confounded.vst.iloc[order, ::-1], confounded.wells.iloc[order[::-1]], "median_polish"
    )
    np.testing.assert_allclose(permuted.loc[adjusted.index, adjusted.columns], adjusted, atol=1e-5)


def test_a_column_of_three_wells_keeps_its_own_signal() -> None:
    wells = one_plate()
    wells = wells[(wells["column"] < 12) | wells["row"].isin(["A", "B", "C"])]
    values = pd.DataFrame({"x": np.where(wells["column"] == 12, 5.0, 0.0)}, index=wells["well_id"])
    adjusted = adjust_for_position(values, wells, "median_polish")
    assert (adjusted["x"][(wells["column"] == 12).to_numpy()] == 5.0).all()


def test_auto_polishes_only_where_the_audit_says_confounded() -> None:
    assert resolve_adjustment("auto", "confounded") == "median_polish"
    assert resolve_adjustment("auto", "watch") == resolve_adjustment("auto", "ok") == "plate_median"
    with pytest.raises(ValueError, match="run the audit first"):
        resolve_adjustment("auto", None)


def test_an_edge_effect_needs_wells_on_both_sides() -> None:
    values = pd.Series([1.0, 2.0, 3.0])
    assert np.isnan(edge_effect(values, pd.Series([True, True, True]))[0])
