"""Matrices and maps as tools and spreadsheets write them, each small and made here."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Sequence
from pathlib import Path

import anndata
import h5py
import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import sparse

from tcell_assets.landing.batch import read_batch
from tcell_assets.landing.formats import matrix_formats
from tcell_assets_tests.landing.folders import (
    COUNTS,
    EXPRESSION,
    GENES,
    METABOLITES,
    WELLS,
    counts_of,
    edit,
    expression_of,
    mapped_folder,
    only_problem_of,
    plate_map_rows,
    problems_of,
    write_rows,
)
from tcell_assets_tests.landing.test_count_formats import (
    BARCODES,
    annotated_folder,
    assert_counts,
    barcoded_folder,
)

SAMPLES = [f"P1_{well}" for well in WELLS]
IDS = [f"ENSG0000000000{number}" for number in range(len(GENES))]
BY_GENE = np.array(COUNTS).T.tolist()


def map_alone(folder: Path) -> Path:
    write_rows(folder / "plate_map.csv", plate_map_rows())
    return folder


def test_every_format_claims_its_files_alone() -> None:
    names = [
        "counts.csv",
        "expression.parquet",
        "a.h5ad",
        "s.zarr/X/0.0",
        "matrix.mtx.gz",
        "raw.h5",
        "P1/featureCounts.txt",
    ]
    for name in names:
        assert sum(form.matrix_of(name) is not None for form in matrix_formats()) == 1, name
    assert not any(form.matrix_of("README.txt") for form in matrix_formats())


def test_semicolons_with_decimal_commas_are_read_in_matrix_map_and_targets(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    upright = expression_of(read_batch(folder))
    lines = (folder / "expression.csv").read_text().replace(",", ";").replace(".", ",")
    (folder / "expression.csv").write_text(lines)
    rows = [["well", "plate", "metabolite", "concentration", "concentration_unit"]]
    doses = ["", "0,5", "10", "1,25", "0,5", ""]
    rows += [
        [well, "P1", name, dose, "uM"]
        for well, name, dose in zip(WELLS, ("DMSO", *"abcd", "DMSO"), doses, strict=True)
    ]
    write_rows(folder / "plate_map.csv", rows, delimiter=";")
    targets = [
        ["well", "plate", "tscore"],
        *([well, "P1", f"0,{number}"] for number, well in enumerate(WELLS, 1)),
    ]
    write_rows(folder / "targets.csv", targets, delimiter=";")
    batch = read_batch(folder)
    pd.testing.assert_frame_equal(expression_of(batch), upright)
    assert batch.wells["tscore"].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert batch.wells["concentration"].dropna().tolist() == [0.5, 10.0, 1.25, 0.5]
    assert "expression.csv: numbers have a decimal comma" in batch.notes


def test_commas_that_may_be_thousands_are_refused_and_not_guessed(tmp_path: Path) -> None:
    folder = map_alone(tmp_path / "tc1")
    rows = [["well_id", *GENES], *([name, "1,234", "12", "2,500"] for name in SAMPLES)]
    write_rows(folder / "counts.csv", rows, delimiter=";")
    assert "may be thousands or decimals" in only_problem_of(folder)


def test_blank_columns_and_rows_of_a_spreadsheet_do_not_matter(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1", COUNTS, "counts.csv")
    for name in ("plate_map.csv", "counts.csv"):
        lines = [f"{line},,," for line in (folder / name).read_text().splitlines()]
        width = lines[0].count(",")
        (folder / name).write_text("\n".join([*lines, "," * width, "," * width, ""]))
    assert_counts(folder)


def test_rows_that_end_with_one_delimiter_more_are_no_row_names(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1", COUNTS, "counts.csv")
    header, *lines = (folder / "plate_map.csv").read_text().splitlines()
    (folder / "plate_map.csv").write_text("\n".join([header, *(f"{line}," for line in lines)]))
    assert_counts(folder)
    assert read_batch(folder).wells["metabolite"].tolist() == list(METABOLITES)


def test_blank_rows_between_plates_of_a_map_are_left_out_and_counted(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1", COUNTS, "counts.csv")
    lines = (folder / "plate_map.csv").read_text().splitlines()
    (folder / "plate_map.csv").write_text("\n".join([*lines[:3], ",,", "", *lines[3:]]))
    batch = read_batch(folder)
    assert len(batch.wells) == 6
    assert "plate_map.csv: 2 blank rows between others were left out" in batch.notes


def workbook(path: Path, rows: Sequence[Sequence[object]], title: str = "Sheet1") -> openpyxl.Workbook:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = title
    for row in rows:
        sheet.append(list(row))
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)
    return book


def excel_folder(folder: Path) -> Path:
    mapped_folder(folder, COUNTS, "counts.csv")
    (folder / "plate_map.csv").unlink()
    doses: list[object] = [None, 0.5, 10, 1.25, 3.0, None]
    names = ("DMSO", *"abcd", "DMSO")
    rows: list[list[object]] = [["plate", "well", "metabolite", "concentration", "concentration_unit"]]
    rows += [["P1", well, name, dose, "uM"] for well, name, dose in zip(WELLS, names, doses, strict=True)]
    workbook(folder / "plate_map.xlsx", [[], *rows, [None] * 5])
    return folder


def test_a_plate_map_may_be_an_excel_workbook(tmp_path: Path) -> None:
    batch = read_batch(excel_folder(tmp_path / "tc1"))
    assert batch.wells["metabolite"].tolist() == ["DMSO", *"abcd", "DMSO"]
    assert batch.wells["concentration"].dropna().tolist() == [0.5, 10.0, 1.25, 3.0]


def test_a_problem_in_a_workbook_is_told_with_its_row(tmp_path: Path) -> None:
    folder = excel_folder(tmp_path / "tc1")
    book = openpyxl.load_workbook(folder / "plate_map.xlsx")
    book["Sheet1"]["B5"] = "E99"
    book.save(folder / "plate_map.xlsx")
    assert "plate_map.xlsx, row 5, column 2 ('well'): holds 'E99'" in str(problems_of(folder)[0])


def test_the_sheet_called_plate_map_is_taken_among_several(tmp_path: Path) -> None:
    folder = excel_folder(tmp_path / "tc1")
    book = openpyxl.load_workbook(folder / "plate_map.xlsx")
    book.create_sheet("notes").append(["x"])
    book.save(folder / "plate_map.xlsx")
    assert "has 2 sheets with content: 'Sheet1', 'notes'" in str(problems_of(folder)[0])
    book["Sheet1"].title = "Plate map"
    book.save(folder / "plate_map.xlsx")
    assert len(read_batch(folder).wells) == 6


def test_merged_cells_and_formulas_without_a_value_are_refused_and_not_read_as_empty(tmp_path: Path) -> None:
    folder = excel_folder(tmp_path / "tc1")
    book = openpyxl.load_workbook(folder / "plate_map.xlsx")
    book["Sheet1"]["C4"] = '=CONCAT("a","b")'
    book.save(folder / "plate_map.xlsx")
    assert "has 1 formulas without a value (first in C4)" in str(problems_of(folder)[0])
    book["Sheet1"]["C4"] = "a"
    book["Sheet1"].merge_cells("C4:C5")
    book.save(folder / "plate_map.xlsx")
    assert "has merged cells (C4:C5)" in str(problems_of(folder)[0])


@pytest.mark.parametrize("content", [b"PK\x03\x04", b"plate,well\n", bytes(200)])
def test_what_is_no_workbook_is_told_as_such(tmp_path: Path, content: bytes) -> None:
    folder = excel_folder(tmp_path / "tc1")
    (folder / "plate_map.xlsx").write_bytes(content)
    assert "is not a readable workbook" in str(problems_of(folder)[0])


def test_a_feature_counts_table_is_read_with_its_comment_annotations_and_file_names(tmp_path: Path) -> None:
    folder = map_alone(tmp_path / "tc1")
    header = ["Geneid", "Chr", "Start", "End", "Strand", "Length"]
    header += [f"/runs/7/{name}_Aligned.sortedByCoord.out.bam" for name in SAMPLES]
    rows = [
        [gene, "1;1", "10;90", "20;99", "+;+", 1000 + number, *row]
        for number, (gene, row) in enumerate(zip(GENES, BY_GENE, strict=True))
    ]
    path = write_rows(folder / "featureCounts.txt", [header, *rows], delimiter="\t")
    path.write_text(
        '# Program:featureCounts v2.0.3; Command:"featureCounts" "-a" "genes.gtf"\n' + path.read_text()
    )
    assert_counts(folder)


def test_a_merged_htseq_table_leaves_the_reads_of_no_gene_out(tmp_path: Path) -> None:
    folder = map_alone(tmp_path / "tc1")
    rows = [["", *SAMPLES], *([gene, *row] for gene, row in zip(GENES, BY_GENE, strict=True))]
    rows += [[name, *[900] * 6] for name in ("__no_feature", "__ambiguous", "__not_aligned")]
    write_rows(folder / "counts.tsv", rows, delimiter="\t")
    assert_counts(folder)


def test_brb_seqtools_umi_table_is_read_and_its_undetermined_wells_left_out(tmp_path: Path) -> None:
    folder = map_alone(tmp_path / "tc1")
    rows: list[list[object]] = [["Gene_id", "Gene_name", *SAMPLES, "Unknown_Barcode", "Undetermined"]]
    rows[0].remove("Unknown_Barcode")
    rows += [[gene, name, *row, 5] for gene, name, row in zip(IDS, GENES, BY_GENE, strict=True)]
    write_rows(folder / "output.dge.umis.txt", rows, delimiter="\t")
    assert_counts(folder)


def kb_folder(folder: Path, with_symbols: bool = True) -> Path:
    """kb-python: cells × genes, names in text files."""
    barcoded_folder(folder)
    plate = folder / "P1"
    for name in ("matrix.mtx", "barcodes.tsv", "features.tsv"):
        (plate / name).unlink()
    out = plate / "counts_unfiltered"
    out.mkdir()
    entries = [
        f"{well + 1} {gene + 1} {count}"
        for well, row in enumerate(COUNTS)
        for gene, count in enumerate(row)
        if count
    ]
    head = ["%%MatrixMarket matrix coordinate real general", f"6 3 {len(entries)}"]
    (out / "cells_x_genes.mtx").write_text("\n".join([*head, *entries]) + "\n")
    (out / "cells_x_genes.barcodes.txt").write_text("\n".join(BARCODES) + "\n")
    (out / "cells_x_genes.genes.txt").write_text("\n".join(IDS if with_symbols else GENES) + "\n")
    if with_symbols:
        (out / "cells_x_genes.genes.names.txt").write_text("\n".join(GENES) + "\n")
    return folder


@pytest.mark.parametrize("with_symbols", [True, False])
def test_kb_python_output_is_read_cells_by_genes(tmp_path: Path, with_symbols: bool) -> None:
    assert_counts(kb_folder(tmp_path / "tc1", with_symbols))


def test_a_kb_python_matrix_turned_round_is_told_by_its_names(tmp_path: Path) -> None:
    folder = kb_folder(tmp_path / "tc1")
    edit(folder / "P1" / "counts_unfiltered" / "cells_x_genes.mtx", "6 3 ", "3 6 ")
    assert "which is no count" in only_problem_of(folder)


def tenx_folder(folder: Path, version: int = 3, antibodies: int = 0) -> Path:
    """Cell Ranger's one file of a plate, versions 2 and 3."""
    barcoded_folder(folder)
    for name in ("matrix.mtx", "barcodes.tsv", "features.tsv"):
        (folder / "P1" / name).unlink()
    values = sparse.csr_matrix(np.hstack([np.array(COUNTS), np.full((6, antibodies), 77)]))
    ids = [*IDS, *(f"AB{number}" for number in range(antibodies))]
    names = [*GENES, *(f"CD{number}_TotalSeq" for number in range(antibodies))]
    with h5py.File(folder / "P1" / "filtered_feature_bc_matrix.h5", "w") as store:
        group = store.create_group("matrix" if version == 3 else "GRCh38")
        group["barcodes"] = np.array([f"{code}-1" for code in BARCODES], dtype="S")
        group["data"], group["indices"], group["indptr"] = values.data, values.indices, values.indptr
        group["shape"] = np.array([len(ids), 6])
        features = group.create_group("features") if version == 3 else group
        features["id" if version == 3 else "genes"] = np.array(ids, dtype="S")
        features["name" if version == 3 else "gene_names"] = np.array(names, dtype="S")
        if version == 3:
            kinds = ["Gene Expression"] * 3 + ["Antibody Capture"] * antibodies
            features["feature_type"] = np.array(kinds, dtype="S")
    return folder


@pytest.mark.parametrize("version", [2, 3])
def test_a_10x_h5_file_is_read(tmp_path: Path, version: int) -> None:
    assert_counts(tenx_folder(tmp_path / "tc1", version))


def test_antibodies_of_a_10x_file_are_no_genes(tmp_path: Path) -> None:
    folder = tenx_folder(tmp_path / "tc1", antibodies=2)
    assert_counts(folder)
    note = next(note for note in read_batch(folder).notes if "left out" in note)
    assert "2 features of type Antibody Capture ('AB0', 'AB1')" in note


def test_guides_of_a_features_table_are_no_genes(tmp_path: Path) -> None:
    folder = barcoded_folder(tmp_path / "tc1")
    edit(folder / "P1" / "features.tsv", "SELL\tGene Expression", "SELL\tCRISPR Guide Capture")
    assert counts_of(read_batch(folder)).genes == GENES[:2]


def test_what_is_no_10x_file_is_told_as_such(tmp_path: Path) -> None:
    folder = tenx_folder(tmp_path / "tc1")
    path = folder / "P1" / "filtered_feature_bc_matrix.h5"
    path.write_bytes(path.read_bytes()[:500])
    assert "is not a readable 10x file" in only_problem_of(folder)


def zarr_folder(folder: Path) -> Path:
    annotated_folder(folder)
    data = anndata.read_h5ad(folder / "screen.h5ad")
    (folder / "screen.h5ad").unlink()
    with warnings.catch_warnings():
        # AnnData tells that it will write another version of Zarr by default; both are read.
        warnings.simplefilter("ignore", UserWarning)
        data.write_zarr(folder / "screen.zarr")
    return folder


def test_an_annotated_zarr_store_is_matrix_and_plate_map(tmp_path: Path) -> None:
    folder = zarr_folder(tmp_path / "tc1")
    assert_counts(folder)
    assert read_batch(folder).wells["metabolite"].tolist() == list(METABOLITES)


def test_every_file_of_a_zarr_store_counts_in_the_content_hash(tmp_path: Path) -> None:
    folder = zarr_folder(tmp_path / "tc1")
    before = read_batch(folder).content_hash
    meta = next(path for path in sorted(folder.rglob("*")) if path.name in ("zarr.json", ".zattrs"))
    meta.write_text(meta.read_text() + "\n")
    assert read_batch(folder).content_hash != before


def test_a_damaged_zarr_store_is_told_as_such(tmp_path: Path) -> None:
    folder = zarr_folder(tmp_path / "tc1")
    pieces = [path for path in (folder / "screen.zarr" / "X").rglob("*") if path.is_file()]
    piece = next(path for path in sorted(pieces) if path.name not in ("zarr.json", ".zarray", ".zattrs"))
    piece.unlink()
    assert "screen.zarr: lacks 1 of 1 pieces of X" in only_problem_of(folder)


def scaled_folder(folder: Path, raw: object = COUNTS, layer: str = "") -> Path:
    """X of z-scores, counts in `.raw` or in a layer."""
    counts = np.array(raw, dtype=np.float32)
    names = [f"tc1_P1_{well}" for well in WELLS]
    index = pd.DataFrame(index=list(GENES))
    data = anndata.AnnData(counts, pd.DataFrame({"metabolite": METABOLITES}, index=names), index)
    if layer:
        data.layers[layer] = counts.copy()
    else:
        data.raw = data.copy()
    data.X = ((counts - counts.mean(0)) / counts.std(0)).astype(np.float32)
    folder.mkdir()
    data.write_h5ad(folder / "screen.h5ad")
    return folder


@pytest.mark.parametrize("layer", ["", "counts", "raw_counts", "UMIs"])
def test_raw_counts_are_taken_before_a_scaled_x(tmp_path: Path, layer: str) -> None:
    assert_counts(scaled_folder(tmp_path / "tc1", layer=layer))


@pytest.mark.parametrize("place", ["raw", "spliced"])
def test_log_values_in_raw_and_spliced_counts_are_not_taken_for_the_counts(
    tmp_path: Path, place: str
) -> None:
    chance = np.random.default_rng(614)
    folder = tmp_path / "tc1"
    wells = [f"tc1_P1_{row}{column}" for row in "ABCD" for column in range(1, 9)]
    data = anndata.AnnData(
        np.log1p(chance.poisson(3.0, (32, 30))).astype(np.float32),
        pd.DataFrame({"metabolite": ["DMSO", "A"] * 16}, index=wells),
        pd.DataFrame(index=[f"GENE{number}" for number in range(30)]),
    )
    if place == "raw":
        data.raw = data.copy()
    else:
        data.layers[place] = chance.poisson(3.0, (32, 30)).astype(np.float32)
    values = np.asarray(data.X)
    data.X = (values - values.mean(0)) / values.std(0)
    folder.mkdir()
    data.write_h5ad(folder / "screen.h5ad")
    assert "holds z-scores" in only_problem_of(folder)


def test_arrow_text_of_every_kind_names_wells_in_parquet(tmp_path: Path) -> None:
    names = [f"tc1_P1_{well}" for well in WELLS]
    for kind in (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())):
        folder = map_alone(tmp_path / str(kind).split("<")[0] / "tc1")
        wells = (
            pa.array(names).cast(kind)
            if not pa.types.is_dictionary(kind)
            else pa.array(names).dictionary_encode()
        )
        genes = {gene: pa.array(column) for gene, column in zip(GENES, BY_GENE, strict=True)}
        pq.write_table(
            pa.table({"index": pa.array(range(6), pa.uint32()), "well_id": wells, **genes}),
            folder / "counts.parquet",
        )
        assert_counts(folder)


def test_barcodes_are_told_apart_by_the_number_that_their_plates_end_in(tmp_path: Path) -> None:
    folder = tmp_path / "tc1"
    two_plates(folder, ("P1", "P2"))
    batch = read_batch(folder)
    np.testing.assert_array_equal(counts_of(batch).values.toarray(), [*COUNTS, *np.array(COUNTS)[::-1]])
    assert any("-1 is plate P1, -2 is plate P2" in note for note in batch.notes)


def test_suffixes_that_no_plate_ends_in_are_asked_about(tmp_path: Path) -> None:
    folder = tmp_path / "tc1"
    two_plates(folder, ("left", "right"))
    text = only_problem_of(folder)
    assert "12 of 12 wells (or barcodes) are not on the plate map" in text
    assert "Write each barcode with its suffix in the plate map's barcode column" in text
    path = folder / "plate_map.csv"
    for number, plate in enumerate(("left", "right"), 1):
        for code in BARCODES:
            lines = [
                f"{line}-{number}" if line.startswith(plate) and line.endswith(code) else line
                for line in path.read_text().splitlines()
            ]
            path.write_text("\n".join(lines))
    assert len(read_batch(folder).wells) == 12


def two_plates(folder: Path, plates: tuple[str, str]) -> None:
    rows: list[list[object]] = [["plate", "well", "metabolite", "barcode"]]
    for plate in plates:
        rows += [[plate, *row] for row in zip(WELLS, METABOLITES, BARCODES, strict=True)]
    write_rows(folder / "plate_map.csv", rows)
    stacked = [*COUNTS, *np.array(COUNTS)[::-1].tolist()]
    entries = [
        f"{gene + 1} {well + 1} {count}"
        for well, row in enumerate(stacked)
        for gene, count in enumerate(row)
        if count
    ]
    header = ["%%MatrixMarket matrix coordinate integer general", f"3 12 {len(entries)}"]
    (folder / "matrix.mtx").write_text("\n".join([*header, *entries]))
    codes = [f"{code}-{number}" for number in (1, 2) for code in BARCODES]
    (folder / "barcodes.tsv.gz").write_bytes(gzip.compress("\n".join(codes).encode()))
    (folder / "features.tsv").write_text("\n".join(GENES))


@pytest.mark.parametrize("name", ["P1.{}", "P1-{}", "P1:{}", "tc1.P1.{}", "P1_{}", "plates/P1_{}.bam"])
def test_samples_may_be_named_by_plate_and_well_in_many_ways(tmp_path: Path, name: str) -> None:
    folder = map_alone(tmp_path / "tc1")
    rows = [
        ["gene", *(name.format(well) for well in WELLS)],
        *([gene, *row] for gene, row in zip(GENES, BY_GENE, strict=True)),
    ]
    write_rows(folder / "counts.csv", rows)
    assert_counts(folder)


@pytest.mark.parametrize("header", ["plate_well", "Plate.Well", "well", "well_id"])
@pytest.mark.parametrize("written", ["P1_{}", "P1-{}", "P1:{}"])
def test_plate_and_well_may_stand_in_one_column_of_the_map(tmp_path: Path, header: str, written: str) -> None:
    folder = mapped_folder(tmp_path / "tc1", COUNTS, "counts.csv")
    rows = [[written.format(well), name] for well, name in zip(WELLS, METABOLITES, strict=True)]
    write_rows(folder / "plate_map.csv", [[header, "metabolite"], *rows])
    assert_counts(folder)
    assert set(read_batch(folder).wells["plate"]) == {"P1"}


def test_wells_of_the_map_without_values_are_dropped_only_when_that_is_stated(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    lines = (folder / "expression.csv").read_text().splitlines()
    (folder / "expression.csv").write_text("\n".join(lines[:-1]))
    text = only_problem_of(folder)
    assert "1 of 6 wells have no row in the expression: 'tc1_P1_D4'" in text
    assert "missing_wells: drop" in text
    (folder / "screen.yaml").write_text("missing_wells: drop\n")
    batch = read_batch(folder)
    assert batch.wells["well"].tolist() == list(WELLS[:5])
    assert "1 of 6 wells of the plate map have no values and were dropped: 'tc1_P1_D4'" in batch.notes
    np.testing.assert_allclose(expression_of(batch).to_numpy(), EXPRESSION[:5], rtol=1e-6)


def full_plate(folder: Path, wells: Sequence[str]) -> Path:
    rows = [
        ["P1", well, "DMSO" if number % 3 == 0 else f"m{number % 5}"] for number, well in enumerate(wells)
    ]
    write_rows(folder / "plate_map.csv", [["plate", "well", "metabolite"], *rows])
    values = np.random.default_rng(614).poisson(20.0, (len(wells), 5)).tolist()
    write_rows(
        folder / "counts.csv",
        [["well", *"ABCDE"], *([well, *row] for well, row in zip(wells, values, strict=True))],
    )
    return folder


CORNER = [f"{row}{column}" for row in "ABCDEFGH" for column in range(1, 13)]


def test_the_plate_format_that_was_taken_is_noted_with_its_edge_wells(tmp_path: Path) -> None:
    folder = full_plate(tmp_path / "tc1", CORNER)
    note = next(note for note in read_batch(folder).notes if "96-well plates" in note)
    assert "36 of 96 wells edge wells" in note
    assert "state plate_format: 384" in note
    (folder / "screen.yaml").write_text("plate_format: 384\n")
    batch = read_batch(folder)
    assert int(batch.wells["is_edge"].sum()) == 19
    assert not any("96-well plates" in note for note in batch.notes)


def test_one_well_beyond_a_plate_is_asked_about_and_makes_no_larger_plate(tmp_path: Path) -> None:
    folder = full_plate(tmp_path / "tc1", [*CORNER[:-1], "A13"])
    assert "only 1 of 96 wells lie outside a 96-well plate: 'tc1_P1_A13'" in only_problem_of(folder)


def test_wells_of_1536_are_read_and_their_edges_known(tmp_path: Path) -> None:
    wells = [f"{row}{column:02d}" for row in ("A", "Z", "AA", "AF") for column in range(1, 49)]
    batch = read_batch(full_plate(tmp_path / "tc1", wells))
    assert batch.wells["row"].unique().tolist() == ["A", "Z", "AA", "AF"]
    assert int(batch.wells["is_edge"].sum()) == 48 * 2 + 2 * 2
