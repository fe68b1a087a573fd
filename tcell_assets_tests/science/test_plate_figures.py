"""Plate pictures: right geometry, small thumbnails."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from tcell_assets.science.plates.plate_figures import plate_heat_maps
from tcell_assets.science.simulation.screen_simulation import SimulationSettings, simulate_screen


def picture(png: bytes) -> np.ndarray:
    from matplotlib.image import imread

    return imread(io.BytesIO(png), format="png")


@pytest.mark.parametrize("wells_per_plate", [96, 384])
def test_a_thumbnail_stays_below_50_kib_and_the_full_figure_is_larger(wells_per_plate: int) -> None:
    wells = simulate_screen(SimulationSettings(n_genes=24, wells_per_plate=wells_per_plate, n_plates=4)).wells
    noise = pd.Series(np.random.default_rng(0).normal(size=len(wells)), index=wells["well_id"])
    figure = plate_heat_maps({"raw": noise, "adjusted": noise**2}, wells, "Noise of every well", "noise")
    assert len(figure.thumbnail) <= 50 * 1024
    full, thumbnail = picture(figure.full), picture(figure.thumbnail)
    assert full.shape[0] > 2 * thumbnail.shape[0]
    assert thumbnail.shape[1] >= 400


def test_a_well_is_drawn_at_its_row_and_column_and_an_absent_one_grey() -> None:
    wells = simulate_screen(SimulationSettings(n_genes=24, n_batches=1, n_plates=1)).wells
    values = pd.Series(0.0, index=wells["well_id"])
    values.loc[wells.loc[wells["row"] == "A", "well_id"]] = 1.0
    kept = values.drop("tc1_A1_H12")
    image = picture(plate_heat_maps({"raw": kept}, wells, "Row A", "unit").thumbnail)[..., :3]
    # Ends of viridis: yellow (row A) must lie above violet (the other rows), grey in their lower right corner.
    yellow, violet, grey = (
        np.argwhere(np.abs(image - colour).max(axis=2) < 0.02)
        for colour in ((0.993, 0.906, 0.144), (0.267, 0.005, 0.329), (0.85, 0.85, 0.85))
    )
    plate = violet[violet[:, 1] < grey[:, 1].max() + 1]
    assert yellow[yellow[:, 1] < plate[:, 1].max()][:, 0].max() < plate[:, 0].min() + 2
    assert grey[:, 0].mean() > plate[:, 0].mean()
    assert grey[:, 1].mean() > plate[:, 1].mean()


def test_nothing_to_draw_is_an_error() -> None:
    wells = simulate_screen(SimulationSettings(n_genes=24, n_batches=1, n_plates=1)).wells
    with pytest.raises(ValueError, match="no values to draw"):
        plate_heat_maps({"raw": pd.Series(dtype=float)}, wells, "Nothing", "unit")
