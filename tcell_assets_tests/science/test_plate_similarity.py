"""Which plates are said to have changed places."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from tcell_assets.science.plates.plate_similarity import (
    plate_profiles,
    plate_similarity,
    suspected_swaps,
    swaps_by_profile,
)
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


def by_profile(expression: pd.DataFrame, wells: pd.DataFrame) -> list[set[str]]:
    similarity = plate_similarity(wells.set_index("well_id")[SCORES], wells)
    return [
        set(suspect.plates) for suspect in swaps_by_profile(plate_profiles(expression, wells), similarity)
    ]


@pytest.mark.parametrize("n_batches", [3, 4])
def test_two_plates_exchanged_among_three_or_four_batches_are_found_by_their_mean_expression(
    n_batches: int,
) -> None:
    """Maps share their pattern there: by maps alone 7 and 4 of 10 are found."""
    found = 0
    for seed in range(50, 60):
        settings = SimulationSettings(
            preset="plate_swap", n_batches=n_batches, n_plates=4, n_genes=64, seed=seed
        )
        screen = simulate_screen(settings)
        suspected = by_profile(screen.vst, screen.wells)
        assert suspected in ([], [set(screen.well_truth["swapped_with"].dropna())]), seed
        found += len(suspected)
    assert found >= 9


@pytest.mark.parametrize("preset", ["clean", "null", "confounded", "sparse"])
def test_no_plate_is_suspected_by_its_mean_expression_where_none_was_exchanged(preset: PresetName) -> None:
    for seed in (1, 2):
        screen = simulate_screen(
            SimulationSettings(preset=preset, n_batches=3, n_plates=4, n_genes=64, seed=seed)
        )
        assert by_profile(screen.vst, screen.wells) == []


@pytest.mark.parametrize("axes", [0, 1, 2, 5])
def test_plate_effects_without_batches_put_no_plate_into_another(axes: int) -> None:
    """Plates differ along few axes and batches not at all, so that chance alone groups plates."""
    names = [f"b{batch}_P{plate}" for batch in range(3) for plate in range(4)]
    pairs = pd.DataFrame(
        [(one, other, one[:2], other[:2]) for one, other in combinations(names, 2)],
        columns=["plate_a", "plate_b", "batch_a", "batch_b"],
    )
    for seed in range(60):
        generator = np.random.default_rng(seed)
        values = 0.2 * generator.normal(size=(12, 200))
        values += generator.normal(size=(12, axes)) @ generator.normal(size=(axes, 200))
        assert swaps_by_profile(pd.DataFrame(values, index=names), pairs) == [], seed


def test_with_two_batches_mean_expression_gives_no_verdict() -> None:
    screen = simulate_screen(SimulationSettings(preset="plate_swap", n_genes=64, seed=1))
    assert by_profile(screen.vst, screen.wells) == []
