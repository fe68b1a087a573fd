"""Heat maps of plates in their real geometry; matplotlib is imported where it is used."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from tcell_assets.science.figures import Figure
from tcell_assets.science.plates.plate_geometry import plate_shape, row_letter, row_number
from tcell_assets.science.well_join import rows_for_wells

THUMBNAIL_BYTES = 50 * 1024
"""Largest thumbnail: it is kept in the event log once per materialization."""

MOST_THUMBNAIL_PLATES = 8
"""More plates than this cannot be told apart in a thumbnail; it shows the first ones."""


def plate_heat_maps(values: Mapping[str, pd.Series], wells: pd.DataFrame, title: str, unit: str) -> Figure:
    """Draw one map per plate, row letters down and column numbers across, for each kind of values.

    All plates of one kind share a colour scale that spans the 2nd to 98th percentile, so a single odd well does not
    flatten the picture; empty positions stay grey.

    Args:
        values: kind of values (for instance `raw`, `adjusted`) to one number per well, index `well_id`.
        wells: `well_id, batch, plate, row, column` of at least these wells.
        title: what is shown, the figure's title.
        unit: label of the colour scale.

    Returns:
        A full-size PNG with all plates, and a thumbnail of at most 50 KiB with the first 8.

    Raises:
        ValueError: a kind has no well, the kinds are not of the same plates, or a well has no row in `wells`.
    """
    if not values or any(series.empty for series in values.values()):
        raise ValueError("There are no values to draw; give at least one kind of values, each with a well.")
    grids = {kind: _grids(series, wells) for kind, series in values.items()}
    if len({tuple(grid_of_plate) for grid_of_plate in grids.values()}) > 1:
        raise ValueError(
            f"The kinds {', '.join(grids)} are not of the same plates; give the same wells for each."
        )
    # 90, 60 and 40 dots per inch: the second is only needed where a plate has 384 wells of noise.
    for resolution in (90, 60, 40):
        thumbnail = _draw(
            grids, title, unit, resolution, most_plates=MOST_THUMBNAIL_PLATES, is_thumbnail=True
        )
        if len(thumbnail) <= THUMBNAIL_BYTES:
            break
    return Figure(full=_draw(grids, title, unit, 130), thumbnail=thumbnail)


def _grids(values: pd.Series, wells: pd.DataFrame) -> dict[str, np.ndarray]:
    """One array of the plate format's shape per plate, NaN where there is no well."""
    layout = rows_for_wells(wells, values.index, "wells")
    shape = plate_shape(layout["row"], layout["column"])
    grids = {}
    for (batch, plate), on_plate in layout.groupby(["batch", "plate"]):
        grid = np.full(shape, np.nan)
        grid[on_plate["row"].map(row_number) - 1, on_plate["column"] - 1] = values.loc[on_plate.index].astype(
            float
        )
        grids[f"{batch} {plate}"] = grid
    return grids


def _draw(
    grids: Mapping[str, Mapping[str, np.ndarray]],
    title: str,
    unit: str,
    resolution: int,
    most_plates: int | None = None,
    is_thumbnail: bool = False,
) -> bytes:
    from matplotlib.figure import Figure as Canvas

    plates = list(next(iter(grids.values())))[:most_plates]
    across = min(4, len(plates))
    down = -(-len(plates) // across)
    # Inches a plate: a thumbnail has no room for row letters and column numbers, and is twice as quick without.
    width, height = (1.6, 1.25) if is_thumbnail else (3.6, 2.6)
    canvas = Canvas(
        figsize=(width * across + 0.9, (height * down + 0.3) * len(grids) + 0.4), layout="constrained"
    )
    canvas.suptitle(title, fontsize="medium" if is_thumbnail else "large")
    sections = np.atleast_1d(np.asarray(canvas.subfigures(len(grids), 1), dtype=object))
    for section, (kind, grid_of_plate) in zip(sections, grids.items(), strict=True):
        axes = section.subplots(down, across, squeeze=False).ravel()
        if len(grids) > 1:
            section.suptitle(kind, fontsize="medium")
        picture = _draw_plates(
            axes, {plate: grid_of_plate[plate] for plate in plates}, with_names=not is_thumbnail
        )
        section.colorbar(picture, ax=list(axes), label=unit, shrink=0.8)
    buffer = io.BytesIO()
    canvas.savefig(buffer, format="png", dpi=resolution)
    return buffer.getvalue()


def _draw_plates(axes: np.ndarray, grids: Mapping[str, np.ndarray], with_names: bool) -> Any:
    """Draw one plate on each of the axes and return the last picture, which carries the common colour scale."""
    known = np.concatenate([grid[np.isfinite(grid)] for grid in grids.values()])
    low, high = np.percentile(known, [2, 98]) if len(known) else (0.0, 1.0)
    picture = None
    for axis, (plate, grid) in zip(axes, grids.items(), strict=False):
        n_rows, n_columns = grid.shape
        axis.set_facecolor("0.85")
        picture = axis.imshow(grid, cmap="viridis", vmin=low, vmax=high if high > low else low + 1.0)
        axis.set_title(plate, fontsize="small")
        # On a 384-well plate every second name, on one of 1 536 every fourth, as all of them overlap.
        step = max(1, n_rows // 8)
        rows, columns = (range(0, n, step) if with_names else () for n in (n_rows, n_columns))
        axis.set_yticks(rows, [row_letter(row + 1) for row in rows])
        axis.set_xticks(columns, [str(column + 1) for column in columns])
        axis.tick_params(labelsize=6, length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    for axis in axes[len(grids) :]:
        axis.set_axis_off()
    return picture
