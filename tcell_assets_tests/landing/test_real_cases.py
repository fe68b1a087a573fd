"""Folders made after public reports, dropped in as they are: what their plate maps are read as."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from tcell_assets.landing.batch import LandedBatch, read_batch
from tcell_assets_tests.landing.folders import REAL_PLATE, REAL_SHEET, only_problem_of

CASES = Path(__file__).parents[3] / "shared" / "real" / "cases"

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason=f"the folders are not at {CASES}")


def landed(tmp_path: Path, number: str) -> Path:
    """A copy of a case as a batch folder."""
    (case,) = CASES.glob(f"{number}-*")
    shutil.copytree(case, tmp_path / "tc1")
    return tmp_path / "tc1"


def read(tmp_path: Path, number: str) -> LandedBatch:
    """A case, read."""
    return read_batch(landed(tmp_path, number))


def replicates(wells: pd.DataFrame) -> pd.Series:
    """Wells by condition, treated ones alone."""
    return wells[wells["well_type"] == "sample"].groupby("condition").size()


def test_01_a_second_compound_makes_another_treatment(tmp_path: Path) -> None:
    wells = read(tmp_path, "01").wells
    assert (wells["compound"] == "Cmpd-03 + Cmpd-08").sum() == 8
    assert (wells["condition"] == "Cmpd-03 10").sum() == 4
    assert wells["is_dmso"].sum() == 24


def test_02_doses_are_told_apart_by_the_unit_in_the_header(tmp_path: Path) -> None:
    wells = read(tmp_path, "02").wells
    assert replicates(wells).eq(4).all()
    assert len(replicates(wells)) == 18
    assert sorted(wells["dose_um"].dropna().unique()) == [0.1, 1, 10]


def test_05_every_spelling_of_the_vehicle_is_a_control(tmp_path: Path) -> None:
    wells = read(tmp_path, "05").wells
    assert wells["is_dmso"].sum() == 24
    assert set(wells.loc[wells["is_dmso"], "metabolite"]) == {"DMSO"}


def test_06_empty_and_medium_wells_are_no_metabolites(tmp_path: Path) -> None:
    wells = read(tmp_path, "06").wells
    assert wells["well_type"].value_counts().to_dict() == {
        "sample": 60, "vehicle_control": 24, "empty": 8, "untreated": 4,
    }  # fmt: skip


def test_07_time_cell_line_and_donor_make_no_replicates(tmp_path: Path) -> None:
    wells = read(tmp_path, "07").wells
    assert len(replicates(wells)) == 6 * 2 * 2 * 2
    assert wells.groupby("condition")[["time_h", "cell_line", "donor"]].nunique().eq(1).all(axis=None)


def test_20_a_blank_compound_in_dmso_is_the_vehicle(tmp_path: Path) -> None:
    wells = read(tmp_path, "20").wells
    assert wells["is_dmso"].sum() == 12
    assert set(wells.loc[~wells["is_dmso"], "dose_um"]) == {5000.0}


def test_24_spellings_are_folded_or_asked_about(tmp_path: Path) -> None:
    folder = landed(tmp_path, "24")
    assert "spells what may be one compound as 'beta-Alanine', 'β-Alanine', 'β-alanine'" in only_problem_of(
        folder
    )
    line = 'names: {beta-Alanine: "β-Alanine", "β-alanine": "β-Alanine"}\n'
    (folder / "screen.yaml").write_text(line, encoding="utf-8")
    assert (read_batch(folder).wells["metabolite"] == "β-Alanine").sum() == 12


def test_30_doses_over_columns_share_their_compound(tmp_path: Path) -> None:
    wells = read(tmp_path, "30").wells
    treated = wells[wells["well_type"] == "sample"]
    assert treated["compound"].nunique() == 4
    assert treated["condition"].nunique() == 40


@pytest.mark.skipif(not REAL_PLATE.is_dir(), reason=f"the real MAC-seq plate is not at {REAL_PLATE}")
def test_the_medium_wells_of_the_real_plate_are_untreated(tmp_path: Path) -> None:
    (tmp_path / "mac").mkdir()
    for path in REAL_PLATE.iterdir():
        shutil.copyfile(path, tmp_path / "mac" / path.name)
    wells = read_batch(tmp_path / "mac").wells
    assert wells["well_type"].value_counts().to_dict() == {
        "sample": 234, "untreated": 46, "vehicle_control": 19, "positive_control": 9,
    }  # fmt: skip
    assert set(wells.loc[wells["well_type"] == "untreated", "metabolite"]) == {"Media"}
    assert set(wells["context"]) == {"24 h, MCF10A"}
    assert replicates(wells).max() == 3


@pytest.mark.skipif(not REAL_SHEET.is_dir(), reason=f"the published sample sheet is not at {REAL_SHEET}")
def test_the_published_sheet_has_no_factor_and_keeps_its_names(tmp_path: Path) -> None:
    from tcell_assets.landing.sample_sheet import read_sample_sheet

    wells, _ = read_sample_sheet(REAL_SHEET)
    written = pd.read_csv(REAL_SHEET / "meta_id.csv", keep_default_na=False)["x"].str.strip()
    assert sorted(wells["metabolite"]) == sorted(written)
    assert (wells["condition"] == wells["metabolite"]).all()
    assert (wells["compound"] == wells["metabolite"]).all()
    assert wells["well_type"].value_counts().to_dict() == {"sample": 728, "vehicle_control": 40}
