"""The published CSV set: read by name, joined on well_id, refused with every problem named."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tcell_assets.landing.batch import read_batch
from tcell_assets_tests.landing.folders import (
    EXPRESSION,
    GENES,
    METABOLITES,
    WELLS,
    edit,
    expression_of,
    expression_rows,
    only_problem_of,
    problems_of,
    published_folder,
    write_column,
    write_rows,
)


def test_a_published_folder_becomes_wells_and_expression(tmp_path: Path) -> None:
    batch = read_batch(published_folder(tmp_path / "tc1"))
    assert batch.name == "tc1"
    assert batch.value_kind == "vst"
    assert batch.wells.columns.tolist()[:15] == [
        "well_id", "batch", "plate", "well", "row", "column", "is_edge", "metabolite", "is_dmso", "cluster",
        "tscore", "cytotrace", "pseudotime", "is_activated", "activation_score",
    ]  # fmt: skip
    assert batch.wells["well_id"].tolist() == [f"tc1_P1_{well}" for well in WELLS]
    assert batch.wells["is_dmso"].tolist() == [True, False, False, False, False, True]
    assert batch.wells["is_edge"].tolist() == [True, True, True, False, False, False]
    assert expression_of(batch).index.tolist() == batch.wells["well_id"].tolist()
    assert expression_of(batch).columns.tolist() == list(GENES)
    np.testing.assert_array_equal(expression_of(batch).to_numpy(), np.array(EXPRESSION, dtype=np.float32))


def test_names_with_greek_letters_commas_quotes_and_na_survive(tmp_path: Path) -> None:
    assert read_batch(published_folder(tmp_path / "tc1")).wells["metabolite"].tolist() == list(METABOLITES)


def test_scores_are_found_by_name_whatever_their_order(tmp_path: Path) -> None:
    wells = read_batch(published_folder(tmp_path / "tc1")).wells
    assert wells["pseudotime"].tolist() == [0.1 * well for well in range(6)]
    assert wells["cytotrace"].tolist() == [0.2 * well for well in range(6)]
    assert wells["tscore"].tolist() == [0.3 * well for well in range(6)]


@pytest.mark.parametrize("name", ["activation_score_old.csv", "e.activation_score_old.csv"])
def test_the_legacy_score_is_read_under_both_its_names(tmp_path: Path, name: str) -> None:
    folder = published_folder(tmp_path / "tc1")
    write_column(folder / name, [1.5, -2.25, 0, 3, 4, 5])
    assert read_batch(folder).wells["activation_score"].tolist() == [1.5, -2.25, 0, 3, 4, 5]


def test_a_missing_legacy_score_is_noted(tmp_path: Path) -> None:
    batch = read_batch(published_folder(tmp_path / "tc1"))
    assert batch.wells["activation_score"].isna().all()
    assert any("legacy activation score" in note for note in batch.notes)


def test_two_legacy_files_that_differ_are_refused(tmp_path: Path) -> None:
    folder = published_folder(tmp_path / "tc1")
    write_column(folder / "activation_score_old.csv", [1, 2, 3, 4, 5, 6])
    write_column(folder / "e.activation_score_old.csv", [1, 2, 3, 4, 5, 7])
    assert "differs from activation_score_old.csv" in only_problem_of(folder)


def test_clusters_are_nullable_names(tmp_path: Path) -> None:
    folder = published_folder(tmp_path / "tc1")
    write_column(folder / "cluster_id.csv", ["C0", "C6", "NA", "C1", "C1", "C2"])
    clusters = read_batch(folder).wells["cluster"]
    assert clusters.isna().tolist() == [False, False, True, False, False, False]
    assert clusters[1] == "C6"


def test_unknown_targets_are_missing_and_not_zero(tmp_path: Path) -> None:
    folder = published_folder(tmp_path / "tc1")
    write_column(folder / "labels_cls.csv", [0, 1, "NA", 1, 0, 1])
    wells = read_batch(folder).wells
    assert wells["is_activated"].dtype == pd.BooleanDtype()
    assert wells["is_activated"].isna().sum() == 1


def test_r_row_names_are_dropped_and_noted(tmp_path: Path) -> None:
    folder = published_folder(tmp_path / "tc1")
    rows = [[number or "", *row] for number, row in enumerate(expression_rows())]
    write_rows(folder / "expr_mat.csv", rows)
    write_rows(folder / "meta_id.csv", [["", "x"], *([n + 1, name] for n, name in enumerate(METABOLITES))])
    batch = read_batch(folder)
    assert expression_of(batch).columns.tolist() == list(GENES)
    assert batch.wells["metabolite"].tolist() == list(METABOLITES)
    assert {note for note in batch.notes if "row-name" in note} == {
        "expr_mat.csv: R's row-name column was dropped",
        "meta_id.csv: R's row-name column was dropped",
    }


def test_a_header_one_field_short_as_write_table_leaves_it_is_understood(tmp_path: Path) -> None:
    folder = published_folder(tmp_path / "tc1")
    write_rows(
        folder / "expr_mat.csv", [GENES, *([number + 1, *row] for number, row in enumerate(EXPRESSION))]
    )
    np.testing.assert_array_equal(
        expression_of(read_batch(folder)).to_numpy(), np.array(EXPRESSION, dtype=np.float32)
    )


def test_row_names_that_are_well_ids_are_joined_on_and_not_ignored(tmp_path: Path) -> None:
    folder = published_folder(tmp_path / "tc1")
    rows = [[f"tc1_P1_{well}", *row] for well, row in zip(WELLS, EXPRESSION, strict=True)]
    write_rows(folder / "expr_mat.csv", [["", *GENES], *reversed(rows)])
    np.testing.assert_array_equal(
        expression_of(read_batch(folder)).to_numpy(), np.array(EXPRESSION, dtype=np.float32)
    )


def test_every_missing_file_is_named_at_once(tmp_path: Path) -> None:
    folder = published_folder(tmp_path / "tc1")
    for name in ("expr_mat.csv", "labels_cls.csv", "meta_id.csv"):
        (folder / name).unlink()
    assert {problem.file for problem in problems_of(folder)} == {
        "expr_mat.csv",
        "labels_cls.csv",
        "meta_id.csv",
    }
    assert all("is missing" in problem.found for problem in problems_of(folder))


def test_unequal_lengths_name_both_counts(tmp_path: Path) -> None:
    folder = published_folder(tmp_path / "tc1")
    write_column(folder / "labels_cls.csv", [0, 1, 0, 1, 0])
    assert "labels_cls.csv: has 5 rows, but well_id.csv has 6 wells" in only_problem_of(folder)


def test_problems_of_different_kinds_are_told_together(tmp_path: Path) -> None:
    folder = published_folder(tmp_path / "tc1")
    edit(folder / "expr_mat.csv", "IL2RA", "CD69")
    edit(folder / "labels_cls.csv", "1", "2")
    edit(folder / "well_id.csv", "tc1_P1_A2", "tc1_P1_AZ2")
    found = " ".join(map(str, problems_of(folder)))
    assert "names the gene 'CD69' 2 times" in found
    assert "holds the label '2'" in found
    assert "'tc1_P1_AZ2'" in found


def test_a_duplicate_well_names_both_rows(tmp_path: Path) -> None:
    folder = published_folder(tmp_path / "tc1")
    edit(folder / "well_id.csv", "tc1_P1_A2", "tc1_P1_a01")
    assert (
        "well_id.csv, row 3: puts a second well at tc1_P1_A1 (first in well_id.csv, row 2)"
        in only_problem_of(folder)
    )


def test_an_unparsable_well_is_named_with_its_row(tmp_path: Path) -> None:
    folder = published_folder(tmp_path / "tc1")
    edit(folder / "well_id.csv", "tc1_P1_B1", "tc1-P1-B1")
    text = only_problem_of(folder)
    assert (
        "well_id.csv, row 4, column 1 ('x'): holds 'tc1-P1-B1', which is not <batch>_<plate>_<well>" in text
    )


def test_wells_of_other_batches_are_refused_with_the_way_to_split_them(tmp_path: Path) -> None:
    folder = published_folder(tmp_path / "tc1")
    edit(folder / "well_id.csv", "tc1_P1_B1", "tc2_P1_B1")
    text = only_problem_of(folder)
    assert "1 wells of batch 'tc2' in the folder of batch 'tc1'" in text
    assert "tcell import" in text


def test_duplicate_genes_are_named_with_their_positions(tmp_path: Path) -> None:
    folder = published_folder(tmp_path / "tc1")
    edit(folder / "expr_mat.csv", "SELL", "IL2RA")
    assert "names the gene 'IL2RA' 2 times (genes number 1, 3)" in only_problem_of(folder)


def test_a_non_numeric_cell_is_named_with_row_column_and_gene(tmp_path: Path) -> None:
    folder = published_folder(tmp_path / "tc1")
    rows = expression_rows()
    rows[3][1] = "3,5"
    write_rows(folder / "expr_mat.csv", rows)
    assert "expr_mat.csv, row 4, column 2 ('CD69'): holds '3,5', which is not a number" in only_problem_of(
        folder
    )


@pytest.mark.parametrize("cell", ["NA", "", "0x1A", "1_000", "١", "1 2", "TRUE"])
def test_what_only_some_parsers_take_for_a_number_is_none(tmp_path: Path, cell: str) -> None:
    folder = published_folder(tmp_path / "tc1")
    rows = expression_rows()
    rows[1][0] = cell
    write_rows(folder / "expr_mat.csv", rows)
    assert "expr_mat.csv, row 2, column 1 ('IL2RA')" in only_problem_of(folder)


@pytest.mark.parametrize("cell", ["nan", "inf", "-Inf", "1e999", "1e39"])
def test_a_non_finite_cell_is_named_with_row_column_and_gene(tmp_path: Path, cell: str) -> None:
    folder = published_folder(tmp_path / "tc1")
    rows = expression_rows()
    rows[6][2] = cell
    write_rows(folder / "expr_mat.csv", rows)
    text = only_problem_of(folder)
    assert "expr_mat.csv, row 7, column 3 ('SELL')" in text
    assert "not finite" in text


def test_a_column_number_counts_the_row_names_as_a_person_does(tmp_path: Path) -> None:
    folder = published_folder(tmp_path / "tc1")
    rows = [[number or "", *row] for number, row in enumerate(expression_rows())]
    rows[1][3] = "x"
    write_rows(folder / "expr_mat.csv", rows)
    assert "row 2, column 4 ('SELL')" in only_problem_of(folder)


@pytest.mark.parametrize("label", ["2", "-1", "0.5", "resting"])
def test_a_label_outside_zero_and_one_is_named(tmp_path: Path, label: str) -> None:
    folder = published_folder(tmp_path / "tc1")
    write_column(folder / "labels_cls.csv", [0, 1, 0, label, 0, 1])
    assert f"labels_cls.csv, row 5, column 1 ('x'): holds the label '{label}'" in only_problem_of(folder)


@pytest.mark.parametrize("spelling", ["dmso", "Dmso control", "DMSO_0.1%", "Vehicle", "0.1 % DMSO"])
def test_usual_spellings_of_the_vehicle_are_one_control(tmp_path: Path, spelling: str) -> None:
    folder = published_folder(tmp_path / "tc1")
    write_column(folder / "meta_id.csv", [name.replace("DMSO", spelling) for name in METABOLITES])
    wells = read_batch(folder).wells
    assert wells["is_dmso"].sum() == 2
    assert set(wells.loc[wells["is_dmso"], "metabolite"]) == {"DMSO"}


@pytest.mark.parametrize("spelling", ["DMS0", "DSMO"])
def test_without_dmso_the_nearest_spelling_is_named(tmp_path: Path, spelling: str) -> None:
    folder = published_folder(tmp_path / "tc1")
    write_column(folder / "meta_id.csv", [name.replace("DMSO", spelling) for name in METABOLITES])
    assert f"has no well with 'DMSO'; the nearest name is '{spelling}'" in only_problem_of(folder)


def test_white_space_around_dmso_does_not_matter(tmp_path: Path) -> None:
    folder = published_folder(tmp_path / "tc1")
    write_column(folder / "meta_id.csv", [f"{name} " for name in METABOLITES])
    assert read_batch(folder).wells["is_dmso"].sum() == 2


def test_an_unknown_score_column_is_refused_with_the_nearest_known(tmp_path: Path) -> None:
    folder = published_folder(tmp_path / "tc1")
    edit(folder / "scores_3_z.csv", "cytoscore_z", "cytotrase_z")
    text = only_problem_of(folder)
    assert "unknown score column 'cytotrase_z'" in text
    assert "nearest known score is cytotrace" in text


def test_a_score_that_stands_twice_is_refused(tmp_path: Path) -> None:
    folder = published_folder(tmp_path / "tc1")
    edit(folder / "scores_3_z.csv", "cytoscore_z", "tscore")
    assert "has tscore twice, as 'tscore' and 'Tscore_z'" in only_problem_of(folder)


def test_a_transposed_matrix_is_told_as_such(tmp_path: Path) -> None:
    folder = published_folder(tmp_path / "tc1")
    columns = [[gene, *values] for gene, values in zip(GENES, zip(*EXPRESSION, strict=True), strict=True)]
    write_rows(folder / "expr_mat.csv", [["", *(f"V{n}" for n in range(6))], *columns])
    assert "transposed" in only_problem_of(folder)


def test_other_files_are_not_read_and_noted(tmp_path: Path) -> None:
    folder = published_folder(tmp_path / "tc1")
    (folder / "protocol.txt").write_text("lysis buffer")
    assert "files not read: protocol.txt" in read_batch(folder).notes


def test_a_metabolite_with_an_unquoted_comma_is_told_with_its_row(tmp_path: Path) -> None:
    folder = published_folder(tmp_path / "tc1")
    (folder / "meta_id.csv").write_text("x\nDMSO\n2,3-BPG\nA\nB\nC\nDMSO\n")
    problems = problems_of(folder)
    assert "meta_id.csv, row 3: has 2 fields where 1 are expected" in str(problems[0])
    assert len(problems) == 1
