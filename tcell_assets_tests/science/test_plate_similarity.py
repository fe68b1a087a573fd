"""Which plates are said to have changed places."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tcell_assets.science.plates.plate_similarity import plate_similarity, suspected_swaps
from tcell_assets.science.simulation.screen_simulation import PresetName, SimulationSettings, simulate_screen
from tcell_assets_tests.science.published_screen import published_wells

SCORES = ["tscore", "cytotrace", "pseudotime"]


def flagged(values: pd.DataFrame, wells: pd.DataFrame) -> list[set[str]]:
    return [set(suspect.plates) for suspect in suspected_swaps(plate_similarity(values, wells))]


def test_exactly_the_two_exchanged_plates_of_the_published_screen_are_suspected() -> None:
    wells = published_wells()
    by_well = wells.set_index("well_id")
    assert flagged(by_well[SCORES], wells) == [{"tc1_B2", "tc2_B2"}]
    (suspect,) = suspected_swaps(plate_similarity(by_well[["tscore"]], wells))
    # The published figures, on Tscore maps.
    np.testing.assert_allclose(suspect.correlation_to_other_batch, [0.96, 0.94], atol=0.01)
    np.testing.assert_allclose(suspect.correlation_to_own_batch, [0.61, 0.71], atol=0.01)
    assert "tc1_B2 looks like a plate of tc2" in suspect.finding


@pytest.mark.parametrize("seed", range(1, 6))
def test_exactly_the_two_plates_that_a_simulation_exchanged_are_suspected(seed: int) -> None:
    screen = simulate_screen(SimulationSettings(preset="plate_swap", n_genes=100, seed=seed))
    assert flagged(screen.wells.set_index("well_id")[SCORES], screen.wells) == [
        set(screen.well_truth["swapped_with"].dropna())
    ]


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("preset", ["clean", "null", "confounded", "dead_wells", "sparse"])
def test_no_plate_is_suspected_where_none_was_exchanged(preset: PresetName, seed: int) -> None:
    screen = simulate_screen(SimulationSettings(preset=preset, n_genes=100, seed=seed))
    assert flagged(screen.wells.set_index("well_id")[SCORES], screen.wells) == []


def test_the_correlation_is_that_of_the_wells_two_plates_have_in_common() -> None:
    screen = simulate_screen(SimulationSettings(n_genes=24, n_plates=1, seed=1))
    kept = screen.wells[~screen.wells["well_id"].isin(["tc1_A1_A1", "tc2_A1_B5"])]
    found = plate_similarity(kept.set_index("well_id")[["tscore"]], kept).iloc[0]
    maps = kept.pivot(index="well", columns="batch", values="tscore").dropna()
    assert found["n_wells"] == 94
    assert found["correlation"] == pytest.approx(np.corrcoef(maps["tc1"], maps["tc2"])[0, 1])


def test_a_constant_added_per_plate_and_the_order_of_wells_change_no_correlation() -> None:
    screen = simulate_screen(SimulationSettings(preset="plate_swap", n_genes=100, seed=1))
    values = screen.wells.set_index("well_id")[SCORES]
    shift = np.arange(8.0)[screen.wells.groupby(["batch", "plate"]).ngroup()]
    order = np.random.default_rng(0).permutation(len(values))
    original = plate_similarity(values, screen.wells)
    changed = plate_similarity((values + shift[:, None]).iloc[order], screen.wells)
    pd.testing.assert_frame_equal(original, changed, atol=1e-5)


def test_one_plate_in_each_batch_gives_no_verdict_and_no_suspicion() -> None:
    screen = simulate_screen(SimulationSettings(preset="confounded", n_genes=24, n_plates=1))
    assert flagged(screen.wells.set_index("well_id")[["tscore"]], screen.wells) == []


def test_two_plates_a_batch_with_replicates_at_the_same_well_raise_no_suspicion() -> None:
    screen = simulate_screen(SimulationSettings(preset="confounded", n_genes=48, n_plates=2))
    scores = screen.wells.set_index("well_id")[["tscore", "cytotrace", "pseudotime"]]
    similarity = plate_similarity(scores, screen.wells)
    named = similarity.set_index(["plate_a", "plate_b"])["same_treatment"]
    assert named["tc1_A1", "tc2_A1"] == 1.0
    assert named["tc1_A1", "tc2_A2"] < 0.1
    assert suspected_swaps(similarity) == []
