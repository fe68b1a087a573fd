"""A real plate of UMI counts, sparse and with a known row effect, through transformation, quality and audit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from tcell_assets.science.counts.variance_stabilization import (
    KEEP_ALL_GENES,
    fit_variance_stabilization,
    transform,
)
from tcell_assets.science.plates.position import position_audit
from tcell_assets.science.plates.well_quality import plate_qc, well_qc
from tcell_assets_tests.science.published_screen import REAL

STAUROSPORINE = ("Staurosporine_0.1", "Staurosporine_1", "Staurosporine_10")


class Plate(NamedTuple):
    """The real plate: layout, counts and transformed expression of the same wells."""

    wells: pd.DataFrame
    counts: pd.DataFrame
    vst: pd.DataFrame


@pytest.fixture(scope="module")
def plate() -> Plate:
    folder = REAL / "macseq_plate"
    if not folder.is_dir():
        pytest.skip(f"the real plate is not at {folder}")
    counts = pd.read_csv(folder / "counts.csv", index_col="barcode", keep_default_na=False)
    layout = pd.read_csv(folder / "plate_map.csv", index_col="barcode").loc[counts.index]
    wells = pd.DataFrame(
        {
            "well_id": ("mac_PMMSq033_" + layout["Well_ID"]).to_numpy(),
            "batch": "mac",
            "plate": "PMMSq033",
            "row": layout["Row"].to_numpy(),
            "column": layout["Column"].to_numpy(),
            "metabolite": layout["combined_id"].to_numpy(),
        }
    )
    wells["is_edge"] = wells["row"].isin(["A", "P"]) | wells["column"].isin([1, 24])
    wells["is_dmso"] = (layout["Sample_type"] == "Vehicle_control").to_numpy() & wells["metabolite"].eq(
        "DMSO_0"
    )
    genes, well_ids = list(counts.columns), list(wells["well_id"])
    fit = fit_variance_stabilization(counts.to_numpy(), genes, well_ids, KEEP_ALL_GENES)
    return Plate(wells, counts, transform(counts.to_numpy(), genes, well_ids, fit))


def test_all_308_wells_have_finite_values(plate: Plate) -> None:
    assert plate.vst.shape == (308, 500)
    assert np.isfinite(plate.vst.to_numpy()).all()
    assert plate.wells["is_dmso"].sum() == 19


def test_the_known_row_effect_on_depth_is_seen(plate: Plate) -> None:
    total = np.log(plate.counts.sum(axis=1).to_numpy())
    audit = position_audit(pd.DataFrame({"ln_umi": total}, index=plate.wells["well_id"]), plate.wells).iloc[0]
    # 14 rows of unrelated values would explain about 13/307 = 4 %.
    assert audit["eta_squared_row"] > 0.15
    # Every second row is deeper, so neighbours differ: Moran's I is negative, and far from chance.
    assert audit["morans_i"] < -0.05
    assert audit["morans_p"] < 0.01


def test_staurosporine_at_10_micromolar_is_further_from_dmso_than_media_wells_are(plate: Plate) -> None:
    centre = plate.vst[plate.wells["is_dmso"].to_numpy()].mean()
    distance = (
        pd.Series(np.linalg.norm(plate.vst - centre, axis=1)).groupby(plate.wells["metabolite"]).median()
    )
    assert distance["Staurosporine_10"] > distance["Media_0"]


def test_quality_control_fails_the_one_empty_well_and_reads_the_positive_control(plate: Plate) -> None:
    quality = well_qc(plate.wells, plate.vst, plate.counts.to_numpy(), list(plate.counts.columns))
    found = plate_qc(plate.wells, quality, positive_controls=STAUROSPORINE).iloc[0]
    assert list(plate.wells["metabolite"][~quality["qc_pass"]]) == ["Staurosporine_10"]
    assert found["n_dmso"] == 19
    assert found["n_positive_controls"] == 8
    # The sign and not the size: staurosporine lowers the correlation to DMSO.
    assert found["ssmd"] < 0
