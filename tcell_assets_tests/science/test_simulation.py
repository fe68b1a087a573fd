"""What a simulated screen is, before any analysis looks at it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tcell_assets.science.simulation.screen_simulation import (
    PRESETS,
    PresetName,
    SimulatedScreen,
    SimulationSettings,
    simulate_expression_for,
    simulate_screen,
)


@pytest.fixture(scope="module")
def clean() -> SimulatedScreen:
    return simulate_screen(SimulationSettings(preset="clean", seed=1, n_genes=200))


def test_the_default_screen_has_the_published_layout_sizes() -> None:
    settings = SimulationSettings()
    assert settings.n_metabolites == 364
    assert settings.dmso_wells_per_batch * settings.n_batches == 40


def test_every_metabolite_has_one_replicate_in_each_batch(clean: SimulatedScreen) -> None:
    treated = clean.wells[~clean.wells["is_dmso"]]
    assert treated.groupby(["metabolite", "batch"]).size().eq(1).all()
    assert treated["metabolite"].nunique() == 364
    assert clean.wells["is_dmso"].sum() == 40


def test_the_same_settings_give_the_same_screen_and_another_seed_gives_another() -> None:
    settings = SimulationSettings(n_genes=64, n_plates=1, seed=5)
    first, again = simulate_screen(settings), simulate_screen(settings)
    other = simulate_screen(SimulationSettings(n_genes=64, n_plates=1, seed=6))
    pd.testing.assert_frame_equal(first.wells, again.wells, check_exact=True)
    pd.testing.assert_frame_equal(first.vst, again.vst, check_exact=True)
    assert not first.wells["tscore"].equals(other.wells["tscore"])


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_gives_joined_tables_of_whole_counts_and_finite_values(preset: PresetName) -> None:
    screen = simulate_screen(SimulationSettings(preset=preset, n_genes=100, seed=2))
    assert screen.counts.shape == (768, 100)
    assert (screen.counts.data >= 0).all()
    assert np.isfinite(screen.vst.to_numpy()).all()
    assert set(screen.vst.dtypes) == {np.dtype("float32")}
    assert list(screen.vst.index) == list(screen.wells["well_id"]) == list(screen.well_truth["well_id"])
    assert list(screen.vst.columns) == list(screen.gene_truth["gene"])
    assert screen.vst.columns.is_unique
    assert set(screen.metabolite_truth["metabolite"]) == set(screen.wells["metabolite"]) - {"DMSO"}
    assert screen.wells["well_id"].is_unique


def test_scores_are_tied_to_each_other_as_in_the_published_screen(clean: SimulatedScreen) -> None:
    wells = clean.wells
    correlation = wells[["tscore", "cytotrace", "pseudotime"]].corr()
    # Published: 0.954 and 0.642; a simulation need only tell the tight tie from the loose one.
    assert correlation.loc["tscore", "pseudotime"] == pytest.approx(0.954, abs=0.05)
    assert correlation.loc["tscore", "cytotrace"] == pytest.approx(0.642, abs=0.12)
    assert wells["is_activated"].mean() == pytest.approx(0.63, abs=0.01)
    assert (
        wells.loc[wells["is_activated"], "pseudotime"].min()
        > wells.loc[~wells["is_activated"], "pseudotime"].max()
    )
    np.testing.assert_array_equal(
        wells["activation_score"], wells["tscore"] + wells["cytotrace"] + wells["pseudotime"]
    )


def test_activator_wells_have_a_higher_tscore_than_suppressor_wells(clean: SimulatedScreen) -> None:
    effect_class = clean.metabolite_truth.set_index("metabolite")["effect_class"]
    tscore = clean.wells.groupby(clean.wells["metabolite"].map(effect_class))["tscore"].mean()
    assert tscore["suppressor"] + 1.0 < tscore["none"] < tscore["activator"] - 0.5


def test_driver_genes_follow_activation_and_background_genes_do_not(clean: SimulatedScreen) -> None:
    activation = clean.well_truth["activation"].to_numpy()
    correlation = clean.vst.apply(lambda values: np.corrcoef(values, activation)[0, 1]).to_numpy()
    programme = clean.gene_truth["programme"].to_numpy()
    assert np.median(correlation[programme == "activation"]) > 0.5
    assert np.median(correlation[programme == "resting"]) < -0.5
    assert abs(np.median(correlation[programme == "background"])) < 0.2


def test_a_fifth_of_the_metabolites_has_an_effect_and_in_the_null_none(clean: SimulatedScreen) -> None:
    null = simulate_screen(SimulationSettings(preset="null", n_genes=64))
    assert (clean.metabolite_truth["effect_class"] != "none").mean() == pytest.approx(0.2, abs=0.002)
    assert (null.metabolite_truth["effect_class"] == "none").all()
    assert (null.well_truth["metabolite_effect"] == 0).all()


def test_the_confounded_layout_is_the_published_one() -> None:
    wells = simulate_screen(SimulationSettings(preset="confounded", n_genes=64)).wells
    position = wells["plate"] + wells["well"]
    assert position[~wells["is_dmso"]].groupby(wells["metabolite"]).nunique().eq(1).all()
    assert set(wells.loc[wells["is_dmso"], "column"]) <= {1, 12}


def test_clean_replicates_lie_at_positions_drawn_anew(clean: SimulatedScreen) -> None:
    treated = clean.wells[~clean.wells["is_dmso"]]
    same = treated.groupby("metabolite")["well"].nunique().eq(1).mean()
    assert same < 0.05


def test_a_swap_exchanges_exactly_two_plates_of_different_batches() -> None:
    truth = simulate_screen(SimulationSettings(preset="plate_swap", n_genes=64, seed=3)).well_truth
    swapped = truth.dropna(subset="swapped_with")
    own = swapped["well_id"].str.rsplit("_", n=1).str[0]
    assert len(swapped) == 192
    assert set(own) == set(swapped["swapped_with"])
    assert own.str.split("_").str[0].nunique() == 2


def test_dead_wells_have_almost_no_umi_and_one_is_dmso() -> None:
    screen = simulate_screen(SimulationSettings(preset="dead_wells", n_genes=100))
    depth = np.asarray(screen.counts.sum(axis=1)).ravel()
    is_dead = screen.well_truth["is_dead"].to_numpy()
    assert is_dead.sum() == round(0.04 * 768)
    assert depth[is_dead].max() < depth[~is_dead].min()
    assert (is_dead & screen.wells["is_dmso"]).any()


def test_sparse_wells_hold_about_1500_umi() -> None:
    screen = simulate_screen(SimulationSettings(preset="sparse", n_genes=2000))
    assert np.median(np.asarray(screen.counts.sum(axis=1))) == pytest.approx(1500, rel=0.15)


def test_a_screen_of_one_small_plate_has_two_replicates_of_each_metabolite_on_it() -> None:
    screen = simulate_screen(SimulationSettings(n_batches=1, n_plates=1, n_genes=64))
    treated = screen.wells[~screen.wells["is_dmso"]]
    assert treated.groupby("metabolite").size().eq(2).all()
    assert screen.wells["is_dmso"].sum() >= 3


def test_a_384_well_plate_has_its_real_geometry() -> None:
    wells = simulate_screen(SimulationSettings(n_plates=1, wells_per_plate=384, n_genes=64)).wells
    assert wells.groupby("batch").size().eq(384).all()
    assert wells["row"].max() == "P"
    assert wells["column"].max() == 24
    assert wells.groupby("batch")["is_edge"].sum().eq(2 * 24 + 2 * 14).all()


def test_metabolite_names_are_as_awkward_as_real_ones(clean: SimulatedScreen) -> None:
    names = set(clean.metabolite_truth["metabolite"])
    assert {"2,6-Diaminoheptanedioic acid", "β-Alanine", "NAD+", "NA", '"Vitamin K2", MK-4'} <= names


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"preset": "dirty"}, "choose one of clean, null"),
        ({"wells_per_plate": 48}, "96, 384 or 1 536"),
        ({"preset": "confounded", "n_batches": 1}, "at least 2"),
        ({"preset": "plate_swap", "n_plates": 2}, "at least 3 plates"),
        ({"dmso_wells": 41}, "multiple of the 2 batches"),
    ],
)
def test_settings_that_cannot_be_simulated_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SimulationSettings(**settings)


def test_more_dmso_than_the_outer_columns_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="use at most 16"):
        simulate_screen(SimulationSettings(preset="confounded", n_plates=1, dmso_wells=80, n_genes=24))


def test_expression_made_for_given_targets_carries_them() -> None:
    generator = np.random.default_rng(0)
    wells = pd.DataFrame({"well_id": [f"tc1_A1_{i}" for i in range(96)], "tscore": generator.normal(size=96)})
    wells["pseudotime"] = wells["tscore"]
    wells["cytotrace"] = generator.normal(size=96)
    wells.loc[5, "cytotrace"] = np.nan
    vst = simulate_expression_for(wells, n_genes=100, seed=1)
    assert vst.shape == (96, 100)
    assert list(vst.index) == list(wells["well_id"])
    assert np.isfinite(vst.to_numpy()).all()
    assert np.corrcoef(vst["IL2RA"] - vst["IL7R"], wells["tscore"])[0, 1] > 0.9
    known = wells["cytotrace"].notna().to_numpy()
    proliferation = vst.loc[known, ["MKI67", "TOP2A", "CDK1", "CCNB1"]].mean(axis=1)
    assert np.corrcoef(proliferation, wells.loc[known, "cytotrace"])[0, 1] > 0.7
