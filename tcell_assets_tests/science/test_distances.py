"""Distances to the DMSO centre against the formulas worked by hand in float64 NumPy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tcell_assets.lake.tables.columns import DISTANCES as DISTANCE_COLUMNS
from tcell_assets.science.screen.distances import DISTANCES, dmso_distances
from tcell_assets.science.screen.settings import ReferenceScope

MEAN = np.array([0.5, -0.25, 1.0])
# Both sides are float64 sums of at most 40 terms of size 1: rounding stays below 1e-13.
TOLERANCE = 1e-12


@pytest.fixture
def screen() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two batches of two plates, per plate 4 DMSO and 5 treated wells, 3 latent axes with an offset."""
    generator = np.random.default_rng(614)
    wells = pd.DataFrame(
        [
            {
                "well_id": f"{batch}_{plate}_A{column}",
                "batch": batch,
                "plate": plate,
                "metabolite": "DMSO" if column <= 4 else f"metabolite {column}",
                "is_dmso": column <= 4,
            }
            for batch in ("tc1", "tc2")
            for plate in ("A1", "B1")
            for column in range(1, 10)
        ]
    )
    z = (
        generator.normal(size=(len(wells), 3))
        + [2.0, 0.0, 1.0]
        + 0.5 * (wells[["batch"]] == "tc2").to_numpy()
    )
    latents = pd.DataFrame(z, columns=["z_00", "z_01", "z_02"])
    latents.insert(0, "well_id", wells["well_id"])
    return latents, wells


def distances_by_hand(z: np.ndarray, centre: np.ndarray) -> list[float]:
    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return 1 - sum(a * b) / (sum(a * a) ** 0.5 * sum(b * b) ** 0.5)

    return [sum((z - centre) ** 2) ** 0.5, cosine(z, centre), cosine(z - MEAN, centre - MEAN)]


def centre_by_hand(
    latents: pd.DataFrame, wells: pd.DataFrame, row: int, scope: str, leave_one_out: bool
) -> np.ndarray:
    z = latents[["z_00", "z_01", "z_02"]].to_numpy()

    is_dmso = wells["is_dmso"].tolist()

    def mean(same: list[str]) -> tuple[np.ndarray, int]:
        members = [
            other
            for other in range(len(wells))
            if is_dmso[other]
            and all(wells[name].iloc[other] == wells[name].iloc[row] for name in same)
            and not (leave_one_out and other == row)
        ]
        return np.mean([z[other] for other in members], axis=0), len(members)

    if scope == "plate_shrunk":
        plate_mean, n = mean(["batch", "plate"])
        return (n * plate_mean + 5 * mean(["batch"])[0]) / (n + 5)
    return mean({"screen": [], "batch": ["batch"], "plate": ["batch", "plate"]}[scope])[0]


@pytest.mark.parametrize("leave_one_out", [True, False])
@pytest.mark.parametrize("scope", ["screen", "batch", "plate", "plate_shrunk"])
def test_distances_equal_the_formulas_by_hand(
    screen: tuple[pd.DataFrame, pd.DataFrame], scope: ReferenceScope, leave_one_out: bool
) -> None:
    latents, wells = screen
    z = latents[["z_00", "z_01", "z_02"]].to_numpy()
    expected = [
        distances_by_hand(z[row], centre_by_hand(latents, wells, row, scope, leave_one_out))
        for row in range(len(wells))
    ]
    result = dmso_distances(latents, wells, scope, training_latent_mean=MEAN, leave_one_out=leave_one_out)
    np.testing.assert_allclose(
        result[["euclidean", "cosine", "cosine_centered"]].to_numpy(), expected, rtol=0, atol=TOLERANCE
    )


def test_the_published_option_is_the_plain_mean_of_all_dmso_wells(
    screen: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    latents, wells = screen
    z = latents[["z_00", "z_01", "z_02"]].to_numpy()
    expected = np.linalg.norm(z - z[wells["is_dmso"]].mean(axis=0), axis=1)
    result = dmso_distances(latents, wells, "screen", training_latent_mean=MEAN, leave_one_out=False)
    np.testing.assert_allclose(result["euclidean"], expected, rtol=0, atol=TOLERANCE)


def test_a_dmso_well_in_its_own_centre_looks_closer_by_the_factor_of_its_share(
    screen: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    latents, wells = screen
    left_out = dmso_distances(latents, wells, "plate", training_latent_mean=MEAN)
    included = dmso_distances(latents, wells, "plate", training_latent_mean=MEAN, leave_one_out=False)
    ratio = (included["euclidean"] / left_out["euclidean"])[wells["is_dmso"]]
    np.testing.assert_allclose(ratio, 3 / 4, rtol=1e-12)


def test_reference_size_counts_the_wells_of_the_centre(screen: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    latents, wells = screen
    result = dmso_distances(latents, wells, "batch", training_latent_mean=MEAN)
    assert result["reference_size"].tolist() == np.where(wells["is_dmso"], 7, 8).tolist()


def test_a_batch_can_ask_for_its_own_wells_against_the_whole_screen(
    screen: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    latents, wells = screen
    own = wells.loc[wells["batch"] == "tc2", "well_id"].tolist()
    whole = dmso_distances(latents, wells, "screen", training_latent_mean=MEAN)
    asked = dmso_distances(latents, wells, "screen", training_latent_mean=MEAN, rows=own)
    expected = whole[whole["well_id"].isin(own)].reset_index(drop=True)
    pd.testing.assert_frame_equal(asked, expected)


def test_the_order_of_wells_changes_nothing(screen: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    latents, wells = screen
    ordered = dmso_distances(latents, wells, "plate_shrunk", training_latent_mean=MEAN)
    shuffled = dmso_distances(
        latents.sample(frac=1, random_state=1),
        wells.sample(frac=1, random_state=2),
        "plate_shrunk",
        training_latent_mean=MEAN,
    )
    # The sums run in another order, so the last bits may differ.
    pd.testing.assert_frame_equal(
        shuffled.set_index("well_id").loc[ordered["well_id"]].reset_index(), ordered, rtol=0, atol=TOLERANCE
    )


def test_a_shift_of_a_whole_plate_leaves_its_euclidean_distances_to_the_plate_reference(
    screen: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    latents, wells = screen
    shifted = latents.copy()
    shifted.loc[wells["plate"] == "B1", ["z_00", "z_01", "z_02"]] += 7.0
    before = dmso_distances(latents, wells, "plate", training_latent_mean=MEAN)
    after = dmso_distances(shifted, wells, "plate", training_latent_mean=MEAN)
    np.testing.assert_allclose(after["euclidean"], before["euclidean"], rtol=0, atol=TOLERANCE)


def test_wells_that_failed_quality_control_do_not_move_the_centre(
    screen: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    latents, wells = screen
    usable = pd.Series(True, index=wells["well_id"])
    usable["tc1_A1_A1"] = False
    wild = latents.copy()
    wild.loc[0, ["z_00", "z_01", "z_02"]] = 1e6
    calm = dmso_distances(latents, wells, "batch", training_latent_mean=MEAN, usable=usable)
    disturbed = dmso_distances(wild, wells, "batch", training_latent_mean=MEAN, usable=usable)
    pd.testing.assert_frame_equal(disturbed.iloc[1:], calm.iloc[1:])


def test_fewer_than_three_dmso_wells_are_an_error_that_names_the_plate(
    screen: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    latents, wells = screen
    usable = pd.Series(True, index=wells["well_id"])
    usable[["tc1_B1_A1", "tc1_B1_A2"]] = False
    with pytest.raises(ValueError, match=r"fewer than 3 usable DMSO wells in tc1 plate B1 \(2\)"):
        dmso_distances(latents, wells, "plate", training_latent_mean=MEAN, usable=usable)


def test_a_plate_without_dmso_falls_back_on_its_batch_when_shrunk(
    screen: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    latents, wells = screen
    no_control = wells.copy()
    no_control.loc[(wells["batch"] == "tc1") & (wells["plate"] == "B1"), "is_dmso"] = False
    shrunk = dmso_distances(latents, no_control, "plate_shrunk", training_latent_mean=MEAN)
    batch = dmso_distances(latents, no_control, "batch", training_latent_mean=MEAN)
    rows = ((wells["batch"] == "tc1") & (wells["plate"] == "B1")).to_numpy()
    np.testing.assert_allclose(shrunk["euclidean"][rows], batch["euclidean"][rows], rtol=0, atol=TOLERANCE)


def test_the_cosine_of_a_zero_vector_is_missing_and_not_a_number_that_looks_measured(
    screen: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    latents, wells = screen
    zero = latents.copy()
    zero.loc[8, ["z_00", "z_01", "z_02"]] = 0.0
    zero.loc[7, ["z_00", "z_01", "z_02"]] = MEAN
    result = dmso_distances(zero, wells, "batch", training_latent_mean=MEAN)
    assert result["cosine"].isna().to_numpy().nonzero()[0].tolist() == [8]
    assert result["cosine_centered"].isna().to_numpy().nonzero()[0].tolist() == [7]


def test_a_well_without_a_latent_is_an_error_that_names_it(screen: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    latents, wells = screen
    with pytest.raises(ValueError, match="tc1_A1_A1"):
        dmso_distances(latents.iloc[1:], wells, training_latent_mean=MEAN)


def test_a_latent_that_is_not_finite_is_an_error_that_names_the_well(
    screen: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    latents, wells = screen
    broken = latents.copy()
    broken.loc[3, "z_01"] = np.nan
    with pytest.raises(ValueError, match="tc1_A1_A4"):
        dmso_distances(broken, wells, training_latent_mean=MEAN)


def test_every_distance_is_a_described_column() -> None:
    assert list(DISTANCES) == [column.name for column in DISTANCE_COLUMNS]
