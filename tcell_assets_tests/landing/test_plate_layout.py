"""Matrix + plate map + targets, for a batch or in one folder a plate."""

import gzip
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tcell_assets.landing.batch import read_batch
from tcell_assets.landing.screen_settings import LandingSettings
from tcell_assets_tests.landing.folders import (
    EXPRESSION,
    GENES,
    METABOLITES,
    WELLS,
    edit,
    expression_of,
    mapped_folder,
    metabolite_of,
    only_problem_of,
    plate_map_rows,
    problems_of,
    write_rows,
)

VST = np.array(EXPRESSION, dtype=np.float32)


def test_a_mapped_folder_becomes_wells_and_expression(tmp_path: Path) -> None:
    batch = read_batch(mapped_folder(tmp_path / "tc1"))
    assert batch.wells["well_id"].tolist() == [f"tc1_P1_{well}" for well in WELLS]
    assert batch.wells["metabolite"].tolist() == list(METABOLITES)
    assert batch.wells[["tscore", "cytotrace", "pseudotime", "activation_score"]].isna().all(axis=None)
    assert batch.wells["is_activated"].isna().all()
    np.testing.assert_array_equal(expression_of(batch).to_numpy(), VST)


@pytest.mark.parametrize("suffix", ["csv.gz", "tsv", "tsv.gz", "parquet"])
def test_the_matrix_may_be_packed_tab_separated_or_parquet(tmp_path: Path, suffix: str) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    table = pd.read_csv(folder / "expression.csv", float_precision="round_trip")
    (folder / "expression.csv").unlink()
    if suffix == "parquet":
        table.to_parquet(folder / "expression.parquet")
    else:
        text = table.to_csv(index=False, sep="\t" if "tsv" in suffix else ",").encode()
        (folder / f"expression.{suffix}").write_bytes(gzip.compress(text) if suffix.endswith("gz") else text)
    np.testing.assert_array_equal(expression_of(read_batch(folder)).to_numpy(), VST)


def test_a_parquet_file_with_the_wells_as_pandas_index_is_read(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    table = pd.read_csv(folder / "expression.csv", index_col=0, float_precision="round_trip")
    (folder / "expression.csv").unlink()
    table.rename_axis(None).to_parquet(folder / "expression.parquet")
    np.testing.assert_array_equal(expression_of(read_batch(folder)).to_numpy(), VST)


def test_rows_are_joined_on_the_well_and_not_by_order(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    rows = plate_map_rows()
    write_rows(folder / "plate_map.csv", [rows[0], *reversed(rows[1:])])
    batch = read_batch(folder)
    assert expression_of(batch).index.tolist() == batch.wells["well_id"].tolist()
    np.testing.assert_array_equal(expression_of(batch).loc["tc1_P1_A1"].to_numpy(), VST[0])
    assert metabolite_of(batch, "A2") == "NA"


def test_a_folder_for_each_plate_is_read_as_one_batch(tmp_path: Path) -> None:
    for plate in ("P1", "P2"):
        folder = tmp_path / "tc1" / plate
        rows = [[f"{well[0]}{int(well[1:]):02d}", *row] for well, row in zip(WELLS, EXPRESSION, strict=True)]
        write_rows(folder / "expression.csv", [["well", *GENES], *rows])
        write_rows(folder / "plate_map.csv", [row[1:] for row in plate_map_rows()])
    batch = read_batch(tmp_path / "tc1")
    assert batch.wells.groupby("plate").size().to_dict() == {"P1": 6, "P2": 6}
    np.testing.assert_array_equal(expression_of(batch).loc["tc1_P2_C3"].to_numpy(), VST[4])


def test_plates_may_list_their_genes_in_another_order_but_not_others(tmp_path: Path) -> None:
    for plate, order in (("P1", (0, 1, 2)), ("P2", (2, 0, 1))):
        folder = tmp_path / "tc1" / plate
        rows = [[well, *(row[gene] for gene in order)] for well, row in zip(WELLS, EXPRESSION, strict=True)]
        write_rows(folder / "expression.csv", [["well", *(GENES[gene] for gene in order)], *rows])
        write_rows(folder / "plate_map.csv", [row[1:] for row in plate_map_rows()])
    batch = read_batch(tmp_path / "tc1")
    np.testing.assert_array_equal(expression_of(batch).loc["tc1_P2_A2", list(GENES)].to_numpy(), VST[1])
    edit(tmp_path / "tc1" / "P2" / "expression.csv", "CD69", "GZMB")
    found = " ".join(map(str, problems_of(tmp_path / "tc1")))
    assert "P1/expression.csv has 1 genes that P2/expression.csv has not: 'CD69'" in found
    assert "'GZMB'" in found


def test_one_plate_map_may_serve_matrices_in_plate_folders(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    (folder / "P1").mkdir()
    (folder / "expression.csv").rename(folder / "P1" / "expression.csv")
    np.testing.assert_array_equal(expression_of(read_batch(folder)).to_numpy(), VST)


def test_a_plate_name_with_an_underscore_becomes_unambiguous(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    for name in ("plate_map.csv", "expression.csv"):
        path = folder / name
        path.write_text(path.read_text().replace("P1", "Plate_1"))
    assert read_batch(folder).wells["well_id"][0] == "tc1_Plate-1_A1"


def test_targets_are_joined_by_well_and_may_be_any_subset(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    rows = [
        ("well_id", "CytoTRACE_z", "label"),
        ("tc1_P1_C3", "0.1234567890123456789", 1),
        ("tc1_P1_A1", "NA", 0),
    ]
    write_rows(folder / "targets.csv", rows)
    wells = read_batch(folder).wells.set_index("well")
    assert wells.loc["C3", "cytotrace"] == 0.12345678901234568
    assert wells["cytotrace"].isna()["A1"]
    assert wells["is_activated"].notna().sum() == 2
    assert bool(wells.loc["C3", "is_activated"])
    assert wells["tscore"].isna().all()


def test_targets_of_unknown_wells_are_refused(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    write_rows(folder / "targets.csv", [("well_id", "tscore"), ("tc1_P1_H12", 1), ("tc1_P1_A1", 2)])
    assert "1 wells with targets are not on the plate map: 'tc1_P1_H12'" in only_problem_of(folder)


def test_targets_given_twice_are_refused(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    write_rows(folder / "targets.csv", [("plate", "well", "tscore"), ("P1", "A1", 1), ("P1", "A01", 2)])
    assert "names the well tc1_P1_A1 again (first in row 2)" in only_problem_of(folder)


def test_an_unknown_score_column_in_targets_is_refused(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    write_rows(folder / "targets.csv", [("well_id", "exhaustion"), ("tc1_P1_A1", 1)])
    assert "unknown score column 'exhaustion'" in " ".join(map(str, problems_of(folder)))


def test_wells_of_the_matrix_that_the_map_has_not_are_named(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    edit(folder / "plate_map.csv", "P1,B2", "P1,H9")
    found = " ".join(map(str, problems_of(folder)))
    assert "expression.csv, row 5: 1 of 6 wells (or barcodes) are not on the plate map: 'tc1_P1_B2'" in found


def test_wells_of_the_map_that_the_matrix_has_not_are_named(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    write_rows(folder / "plate_map.csv", [*plate_map_rows(), ["P1", "H9", "Serine"]])
    assert "plate_map.csv, row 8: 1 of 7 wells have no row in the expression: 'tc1_P1_H9'" in only_problem_of(
        folder
    )


def test_two_wells_at_one_position_are_refused(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    write_rows(folder / "plate_map.csv", [*plate_map_rows(), ["P1", "a01", "Serine"]])
    assert "plate_map.csv, row 8: puts a second well at tc1_P1_A1" in only_problem_of(folder)


def test_a_well_that_stands_twice_in_the_matrix_is_refused(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    edit(folder / "expression.csv", "tc1_P1_A2", "tc1_P1_A1")
    assert "rows 2, 3: holds the well tc1_P1_A1 twice" in " ".join(map(str, problems_of(folder)))


def test_a_well_duplicated_across_plate_folders_is_refused(tmp_path: Path) -> None:
    mapped_folder(tmp_path / "tc1")
    for plate in ("P1", "P2"):
        (tmp_path / "tc1" / plate).mkdir()
        for name in ("expression.csv", "plate_map.csv"):
            shutil.copy(tmp_path / "tc1" / name, tmp_path / "tc1" / plate / name)
    for name in ("expression.csv", "plate_map.csv"):
        (tmp_path / "tc1" / name).unlink()
    found = " ".join(map(str, problems_of(tmp_path / "tc1")))
    assert "is of plate 'P1', but lies in the folder of plate 'P2'" in found


def test_a_well_without_a_metabolite_is_named(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    edit(folder / "plate_map.csv", "Glutamine", "")
    assert "row 6: names no metabolite for the well tc1_P1_C3" in only_problem_of(folder)


def test_a_plate_map_without_a_metabolite_column_is_refused(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    edit(folder / "plate_map.csv", "metabolite", "reagent")
    assert "has no metabolite column among 'plate', 'well', 'reagent'" in str(problems_of(folder)[0])


def test_a_vst_matrix_with_genes_in_rows_is_turned_and_noted(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    upright = expression_of(read_batch(folder))
    table = pd.read_csv(folder / "expression.csv", index_col=0, float_precision="round_trip")
    table.T.to_csv(folder / "expression.csv", index_label="gene")
    batch = read_batch(folder)
    pd.testing.assert_frame_equal(expression_of(batch), upright)
    assert "expression.csv: genes stand in rows, so the matrix was turned" in batch.notes


def test_two_matrices_for_the_same_wells_are_ambiguous(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    shutil.copy(folder / "expression.csv", folder / "expression.tsv")
    assert "holds 2 matrices for the same wells" in str(problems_of(folder)[0])


def test_an_empty_folder_says_what_belongs_there(tmp_path: Path) -> None:
    (tmp_path / "tc1").mkdir()
    found = " ".join(map(str, problems_of(tmp_path / "tc1")))
    assert "holds no expression matrix" in found
    assert "holds no plate_map.csv" in found


def test_a_copy_that_has_not_ended_is_pointed_out(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    (folder / "expression.csv").rename(folder / "expression.csv.part")
    assert "'expression.csv.part' looks like a copy that has not ended" in only_problem_of(folder)


def test_a_folder_that_is_not_there_is_a_landing_error(tmp_path: Path) -> None:
    assert "does not exist" in only_problem_of(tmp_path / "tc9")


def test_other_control_names_can_be_stated(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    path = folder / "plate_map.csv"
    path.write_text(path.read_text().replace("DMSO", "Vehicle"))
    settings = LandingSettings(control_names=("Vehicle",))
    assert read_batch(folder, settings).wells["is_dmso"].sum() == 2


def test_a_map_that_says_itself_what_is_dmso_is_believed(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    rows = [
        [*row, flag]
        for row, flag in zip(
            plate_map_rows(), ["is_dmso", "TRUE", "TRUE", *["FALSE"] * 3, "TRUE"], strict=True
        )
    ]
    write_rows(folder / "plate_map.csv", rows)
    assert read_batch(folder).wells["is_dmso"].sum() == 3


def test_a_map_that_denies_its_dmso_is_refused(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    rows = [
        [*row, flag] for row, flag in zip(plate_map_rows(), ["is_dmso", "TRUE", *["FALSE"] * 5], strict=True)
    ]
    write_rows(folder / "plate_map.csv", rows)
    assert "row 7: says that 'DMSO' in tc1_P1_D4 is not DMSO" in only_problem_of(folder)


def test_a_well_outside_the_stated_plate_is_refused(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    for name in ("plate_map.csv", "expression.csv"):
        path = folder / name
        path.write_text(path.read_text().replace("D4", "P24"))
    assert read_batch(folder).wells["is_edge"].tolist() == [True, True, True, False, False, True]
    (folder / "screen.yaml").write_text("plate_format: 96\n")
    assert "names the well P24, which a 96-well plate has not" in only_problem_of(folder)
