"""What is no gene is left out and counted; mangled and mixed names are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tcell_assets.landing.batch import read_batch
from tcell_assets.landing.gene_names import (
    describe_genes,
    difference_in_names,
    mangled_names,
    reason_no_gene,
    without_version,
)
from tcell_assets_tests.landing.folders import (
    COUNTS,
    GENES,
    WELLS,
    counts_of,
    expression_of,
    mapped_folder,
    only_problem_of,
    write_rows,
)

NO_GENES = [
    "nCount_RNA", "nFeature_RNA", "percent.mt", "percent_ribo", "pct_counts_mt", "total_counts", "n_genes_by_counts",
    "index", "Unnamed: 0", "row_nr", "Length", "Chr", "Start", "End", "Strand", "Gene_name", "gene_biotype",
    "__no_feature", "__alignment_not_unique", "N_unmapped", "N_multimapping", "Unassigned_Ambiguity", "Undetermined",
    "unmapped", "concentration", "plate",
]  # fmt: skip
REAL_GENES = [
    "CD3E", "HLA-A", "MT-ND1", "NCOR1", "NFE2L2", "PCTP", "STARD3", "ENDOU", "CHRM1", "INDO", "LENG8", "RIBC1",
    "ENSG00000139618", "ENSG00000139618.2", "UNC5A", "ID1", "COL1A1", "ROW1", "PERP", "N4BP1", "TOTAL1",
]  # fmt: skip


@pytest.mark.parametrize("name", NO_GENES)
def test_quality_figures_annotations_and_counters_are_no_genes(name: str) -> None:
    assert reason_no_gene(name)


@pytest.mark.parametrize("name", REAL_GENES)
def test_genes_that_look_like_words_stay_genes(name: str) -> None:
    assert reason_no_gene(name) is None


def with_columns(folder: Path, **columns: list[object]) -> Path:
    """Six wells of counts with further columns among the genes."""
    mapped_folder(folder, COUNTS, "counts.csv")
    table = pd.read_csv(folder / "counts.csv")
    for position, (name, cells) in enumerate(columns.items(), start=1):
        table.insert(position, name, cells)
    table.to_csv(folder / "counts.csv", index=False)
    return folder


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("nCount_RNA", [17, 10, 2, 9, 6, 13]),
        ("percent.mt", [1.5, 2.5, 3.25, 0.5, 0.25, 1.0]),
        ("percent.mt", [1.5, None, None, 0.5, 0.25, 1.0]),
        ("orig.ident", ["a", "b", "a", "b", "a", "b"]),
        ("operator", ["Ada", "Ada", "Bob", "Bob", "Ada", "Bob"]),
        ("sum of everything", [17, 10, 2, 9, 6, 13]),
        ("no", [0, 1, 2, 3, 4, 5]),
        ("no", [1, 2, 3, 4, 5, 6]),
        ("dose", [1, 10, 1, 10, 1, 10]),
    ],
)
def test_a_column_among_the_genes_that_is_none_is_left_out(
    tmp_path: Path, name: str, cells: list[object]
) -> None:
    batch = read_batch(with_columns(tmp_path / "tc1", **{name: cells}))
    assert counts_of(batch).genes == GENES
    np.testing.assert_array_equal(counts_of(batch).values.toarray(), COUNTS)


def test_what_was_left_out_is_counted_by_its_kind(tmp_path: Path) -> None:
    folder = with_columns(tmp_path / "tc1", nCount_RNA=[9] * 6, nFeature_RNA=[3] * 6, index=list(range(6)))
    batch = read_batch(folder)
    note = next(note for note in batch.notes if "left out as no genes" in note)
    assert "2 quality figures ('nCount_RNA', 'nFeature_RNA')" in note
    assert "1 row numbers ('index')" in note
    assert batch.measured is not None
    assert batch.measured.left_out["row numbers"] == ["index"]


def test_a_word_in_one_cell_is_still_a_fault_of_that_cell(tmp_path: Path) -> None:
    folder = with_columns(tmp_path / "tc1", FOXP3=[1, 2, "high", 4, 5, 6])
    assert "('FOXP3'): holds 'high', which is not a number" in only_problem_of(folder)


def test_a_gene_that_is_missing_everywhere_is_no_column_of_words(tmp_path: Path) -> None:
    folder = with_columns(tmp_path / "tc1", FOXP3=["NA"] * 6)
    with pytest.raises(Exception, match="FOXP3"):
        read_batch(folder)


@pytest.mark.parametrize(
    "name",
    ["1-Mar", "2-Sep", "01-Mar", "Mar-01", "1-Dec", "2021-03-01", "2006-09-02 00:00:00", "1. Mrz", "3/1/2021",
     "44256", "2.31E+13", "1-mars", "4-Okt"],
)  # fmt: skip
def test_names_that_a_spreadsheet_takes_for_dates_are_told(name: str) -> None:
    assert list(mangled_names(["CD3E", "CD4", "HLA-A", name])) == [name]


@pytest.mark.parametrize(
    "name", ["MARCHF1", "SEPTIN2", "SEPT2", "DEC1", "MAR1", "1-DEC-A", "NKX2-5", "44256A", "12345"]
)
def test_names_that_are_no_dates_are_left_alone(name: str) -> None:
    assert not mangled_names(["CD3E", "CD4", "HLA-A", name])


def test_entrez_ids_are_numbers_and_no_dates() -> None:
    assert not mangled_names(["44256", "40000", "51000", "7157"])


def test_a_mangled_name_refuses_the_batch_once_with_what_it_may_have_been(tmp_path: Path) -> None:
    dated: dict[str, list[object]] = {"1-Mar": [1] * 6, "2-Sep": [2] * 6}
    folder = with_columns(tmp_path / "tc1", **dated)
    text = only_problem_of(folder)
    assert "names 2 genes as a spreadsheet that takes them for dates does" in text
    assert "'1-Mar' (MARCH1 or MARC1), '2-Sep' (SEPT2)" in text


def in_rows(folder: Path, names: list[str], ids: list[str]) -> Path:
    """Counts with genes in rows, their ids and symbols before them."""
    mapped_folder(folder, COUNTS, "counts.csv")
    (folder / "counts.csv").unlink()
    header = ["Gene_id", "Gene_name", *(f"P1_{well}" for well in WELLS)]
    rows = [[*pair, *row] for *pair, row in zip(ids, names, np.array(COUNTS).T.tolist(), strict=True)]
    write_rows(folder / "counts.tsv", [header, *rows], delimiter="\t")
    return folder


IDS = ["ENSG00000000001", "ENSG00000000002", "ENSG00000000003"]


def test_a_second_name_column_gives_the_names(tmp_path: Path) -> None:
    assert counts_of(read_batch(in_rows(tmp_path / "tc1", list(GENES), IDS))).genes == GENES


def test_a_symbol_of_two_genes_or_a_mangled_one_gives_way_to_the_id(tmp_path: Path) -> None:
    batch = read_batch(in_rows(tmp_path / "tc1", ["CD69", "CD69", "2-Sep"], IDS))
    assert counts_of(batch).genes == tuple(IDS)
    assert any("2 genes share their symbol" in note for note in batch.notes)
    assert any("1 symbols that a spreadsheet turned into dates" in note for note in batch.notes)


def test_symbols_that_stand_twice_are_one_sentence_each_for_two_and_counted(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    rows = [["well_id", *("A", "B", "C", "D") * 2], *([f"P1_{well}", *range(8)] for well in WELLS)]
    write_rows(folder / "expression.csv", [[str(cell) for cell in row] for row in rows])
    with pytest.raises(Exception, match="names the gene 'A' 2 times") as caught:
        read_batch(folder)
    assert str(caught.value).count("2 times") == 2


def test_plates_that_differ_in_the_version_of_their_ids_alone_are_alike(tmp_path: Path) -> None:
    folder = plates(tmp_path / "tc1", IDS, [f"{gene}.{number}" for number, gene in enumerate(IDS, 3)])
    batch = read_batch(folder)
    assert counts_of(batch).genes == tuple(IDS)
    np.testing.assert_array_equal(counts_of(batch).values.toarray(), [*COUNTS, *COUNTS])


def test_one_plate_by_symbol_and_the_next_by_id_is_told_with_examples_of_both(tmp_path: Path) -> None:
    text = only_problem_of(plates(tmp_path / "tc1", list(GENES), IDS))
    assert (
        "P2/counts.csv: calls genes by Ensembl ids ('ENSG00000000001', 'ENSG00000000002' and 1 more)" in text
    )
    assert "P1/counts.csv by symbols ('CD69', 'IL2RA' and 1 more)" in text


def plates(folder: Path, first: list[str], second: list[str]) -> Path:
    rows = [[well, *row] for well, row in zip(WELLS, COUNTS, strict=True)]
    for plate, genes in (("P1", first), ("P2", second)):
        mapped_folder(folder / plate)
        (folder / plate / "expression.csv").unlink()
        lines = (folder / plate / "plate_map.csv").read_text().replace("P1,", f"{plate},")
        (folder / plate / "plate_map.csv").write_text(lines)
        write_rows(folder / plate / "counts.csv", [["well", *genes], *rows])
    return folder


def test_identifiers_are_described_and_others_named() -> None:
    assert describe_genes(["CD4", "CD8A"]) == "2 genes, called by symbols"
    assert describe_genes([*IDS, "CD4"]) == "4 genes, called by Ensembl ids (1 otherwise: 'CD4')"
    assert describe_genes([f"{gene}.2" for gene in IDS]) == "3 genes, called by Ensembl ids with version"
    assert without_version("ENSMUSG00000000001.4") == "ENSMUSG00000000001"
    assert difference_in_names(["CD4"], ["CD8A"], "batch tc1") is None
    assert "batch tc1 by Ensembl ids" in str(difference_in_names(["CD4"], IDS, "batch tc1"))


def test_vst_with_a_row_number_keeps_its_values(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    before = expression_of(read_batch(folder))
    table = pd.read_csv(folder / "expression.csv", float_precision="round_trip")
    table.insert(0, "index", range(len(table)))
    table.to_csv(folder / "expression.csv", index=False)
    pd.testing.assert_frame_equal(expression_of(read_batch(folder)), before)
