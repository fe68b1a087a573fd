"""A plate of 1 536 wells through quality, position audit and pictures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tcell_assets.science.plates.plate_figures import THUMBNAIL_BYTES, plate_heat_maps
from tcell_assets.science.plates.plate_geometry import plate_shape, row_letter, row_number
from tcell_assets.science.plates.position import position_audit
from tcell_assets.science.plates.well_quality import plate_qc, well_qc


@pytest.fixture(scope="module")
def wells() -> pd.DataFrame:
    """Every well of one plate, 96 of them DMSO."""
    row, column = (axis.ravel() + 1 for axis in np.indices((32, 48)))
    frame = pd.DataFrame({"row": [row_letter(int(one)) for one in row], "column": column})
    frame["batch"], frame["plate"] = "tc1", "P1"
    frame["well"] = frame["row"] + frame["column"].astype(str)
    frame.insert(0, "well_id", "tc1_P1_" + frame["well"])
    frame["is_edge"] = np.isin(row, (1, 32)) | np.isin(column, (1, 48))
    number = np.random.default_rng(614).permutation(len(frame))
    frame["is_dmso"] = number < 96
    frame["metabolite"] = np.where(frame["is_dmso"], "DMSO", [f"m{one // 4}" for one in number])
    return frame


def test_rows_are_lettered_to_af_and_back() -> None:
    assert [row_letter(number) for number in (1, 26, 27, 32)] == ["A", "Z", "AA", "AF"]
    assert [row_number(row_letter(number)) for number in range(1, 33)] == list(range(1, 33))
    assert plate_shape(pd.Series(["A", "AA"]), pd.Series([1, 2])) == (32, 48)


def test_quality_takes_every_well(wells: pd.DataFrame) -> None:
    counts = np.random.default_rng(614).poisson(20.0, (len(wells), 30)).astype(np.float64)
    genes = [f"G{number}" for number in range(30)]
    vst = pd.DataFrame(np.log2(counts + 1), index=pd.Index(wells["well_id"], name="well_id"), columns=genes)
    quality = well_qc(wells, vst, counts, genes)
    assert len(quality) == 1536
    assert quality["qc_pass"].mean() > 0.99
    assert plate_qc(wells, quality)["plate"].tolist() == ["P1"]


def test_a_gradient_from_a_to_af_is_found_and_noise_is_not(wells: pd.DataFrame) -> None:
    noise = np.random.default_rng(614).normal(size=(len(wells), 2))
    gradient = wells["row"].map(row_number).to_numpy() / 8.0
    values = pd.DataFrame(
        {"flat": noise[:, 0], "tilted": noise[:, 1] + gradient}, index=pd.Index(wells["well_id"])
    )
    verdict = position_audit(values, wells).set_index("variable")["verdict"]
    assert verdict["flat"] == "ok"
    assert verdict["tilted"] == "confounded"


def test_the_picture_of_a_plate_is_drawn_and_its_thumbnail_stays_small(wells: pd.DataFrame) -> None:
    values = pd.Series(np.random.default_rng(614).normal(size=len(wells)), index=pd.Index(wells["well_id"]))
    figure = plate_heat_maps({"depth": values}, wells, "Depth", "log10 UMI")
    assert figure.full.startswith(b"\x89PNG")
    assert len(figure.thumbnail) <= THUMBNAIL_BYTES
