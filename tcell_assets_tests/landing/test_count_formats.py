"""UMI counts from tables, AnnData files and aligner output, kept sparse."""

import gzip
import shutil
from collections.abc import Sequence
from pathlib import Path

import anndata
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy import sparse

from tcell_assets.landing.batch import read_batch
from tcell_assets.landing.counts import CountMatrix
from tcell_assets.landing.value_kinds import are_counts
from tcell_assets.landing.writing import write_landing_batch
from tcell_assets_tests.landing.folders import (
    COUNTS,
    GENES,
    METABOLITES,
    REAL_PLATE,
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

BARCODES = ("AACAG", "AACCA", "AACCG", "AAGGT", "ACAGT", "ACCTT")


def counts_folder(folder: Path, name: str = "counts.csv") -> Path:
    """Counts and plate map of six wells."""
    return mapped_folder(folder, COUNTS, name)


def barcoded_folder(folder: Path, plate: str = "P1") -> Path:
    """Aligner output of one plate of six barcoded wells, in the plate's folder."""
    rows = [row[1:] for row in plate_map_rows()]
    write_rows(
        folder / plate / "plate_map.csv",
        [[*row, code] for row, code in zip(rows, ["Barcode", *BARCODES], strict=True)],
    )
    entries = [
        f"{gene + 1} {well + 1} {count}"
        for well, row in enumerate(COUNTS)
        for gene, count in enumerate(row)
        if count
    ]
    header = ["%%MatrixMarket matrix coordinate integer general", "%", f"3 6 {len(entries)}"]
    (folder / plate / "matrix.mtx").write_text("\n".join([*header, *entries]) + "\n")
    (folder / plate / "barcodes.tsv").write_text("\n".join(BARCODES) + "\n")
    features = [f"ENSG{number}\t{gene}\tGene Expression" for number, gene in enumerate(GENES)]
    (folder / plate / "features.tsv").write_text("\n".join(features) + "\n")
    return folder


def annotated_folder(
    folder: Path,
    values: npt.ArrayLike = COUNTS,
    names: Sequence[str] | None = None,
    layer: npt.ArrayLike | None = None,
    **observations: Sequence[str],
) -> Path:
    """An AnnData file alone."""
    names = [f"{folder.name}_P1_{well}" for well in WELLS] if names is None else names
    data = anndata.AnnData(
        np.array(values, dtype=np.float32),
        obs=pd.DataFrame({"metabolite": METABOLITES, **observations}, index=list(names)),
        var=pd.DataFrame(index=list(GENES)),
        layers=None if layer is None else {"counts": sparse.csr_matrix(np.array(layer))},
    )
    folder.mkdir()
    data.write_h5ad(folder / "screen.h5ad")
    return folder


def assert_counts(folder: Path) -> None:
    batch = read_batch(folder)
    assert batch.value_kind == "counts"
    assert batch.expression is None
    assert sparse.issparse(counts_of(batch).values)
    assert counts_of(batch).well_ids == tuple(batch.wells["well_id"])
    assert counts_of(batch).genes == GENES
    np.testing.assert_array_equal(counts_of(batch).values.toarray(), COUNTS)


@pytest.mark.parametrize("name", ["counts.csv", "counts.tsv", "expression.csv"])
def test_whole_numbers_are_counts_whatever_the_file_is_called(tmp_path: Path, name: str) -> None:
    assert_counts(counts_folder(tmp_path / "tc1", name))


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "tsv.gz", "parquet"])
def test_counts_may_stand_in_either_orientation(tmp_path: Path, suffix: str) -> None:
    folder = counts_folder(tmp_path / "tc1")
    table = pd.read_csv(folder / "counts.csv", index_col=0).T
    (folder / "counts.csv").unlink()
    if suffix == "parquet":
        table.to_parquet(folder / "counts.parquet")
    else:
        text = table.to_csv(index_label="gene_id", sep="\t" if "tsv" in suffix else ",").encode()
        (folder / f"counts.{suffix}").write_bytes(gzip.compress(text) if suffix.endswith("gz") else text)
    assert_counts(folder)
    assert any("genes stand in rows" in note for note in read_batch(folder).notes)


def test_a_detected_kind_is_noted_and_a_stated_one_is_taken(tmp_path: Path) -> None:
    folder = counts_folder(tmp_path / "tc1", "expression.csv")
    assert any("expression.csv: read as UMI counts (detected" in note for note in read_batch(folder).notes)
    (folder / "screen.yaml").write_text("value_kind: vst\n")
    batch = read_batch(folder)
    assert batch.value_kind == "vst"
    np.testing.assert_array_equal(expression_of(batch).to_numpy(), np.array(COUNTS, dtype=np.float32))


def test_log_values_with_zeros_are_not_taken_for_counts() -> None:
    values = np.log2(1 + np.random.default_rng(614).poisson(1.5, 1000).astype(float))
    # log2(1 + n) is whole for n = 0, 1, 3, 7: more than half of these, and still no counts.
    assert not are_counts(values)
    assert are_counts(np.array([0.0, 3.0, 12.0]))
    assert not are_counts(np.array([-1.0, 2.0, -3.0]))


@pytest.mark.parametrize(
    ("value", "kind"), [("-3", "negative counts"), ("2.5", "fractional counts"), ("3e10", "counts too large")]
)
def test_what_is_no_count_is_named_with_well_and_gene(tmp_path: Path, value: str, kind: str) -> None:
    folder = counts_folder(tmp_path / "tc1")
    edit(folder / "counts.csv", "tc1_P1_B1,1,1", f"tc1_P1_B1,1,{value}")
    text = only_problem_of(folder)
    assert "'tc1_P1_B1', 'CD69'" in text
    assert kind in text


def test_wells_may_be_named_by_their_barcode(tmp_path: Path) -> None:
    folder = barcoded_folder(tmp_path / "tc1")
    assert_counts(folder)


def test_aligner_output_may_be_packed_and_lie_where_the_aligner_put_it(tmp_path: Path) -> None:
    folder = barcoded_folder(tmp_path / "tc1")
    raw = folder / "P1" / "Solo.out" / "Gene" / "raw"
    raw.mkdir(parents=True)
    for name in ("matrix.mtx", "barcodes.tsv", "features.tsv"):
        (raw / f"{name}.gz").write_bytes(gzip.compress((folder / "P1" / name).read_bytes()))
        (folder / "P1" / name).unlink()
    assert_counts(folder)


def test_the_suffix_that_10x_adds_to_barcodes_does_not_matter(tmp_path: Path) -> None:
    folder = barcoded_folder(tmp_path / "tc1")
    (folder / "P1" / "barcodes.tsv").write_text("\n".join(f"{code}-1" for code in BARCODES))
    assert_counts(folder)


def test_the_same_barcodes_may_serve_every_plate(tmp_path: Path) -> None:
    barcoded_folder(tmp_path / "tc1", "P1")
    batch = read_batch(barcoded_folder(tmp_path / "tc1", "P2"))
    assert counts_of(batch).values.shape == (12, 3)
    np.testing.assert_array_equal(counts_of(batch).values.toarray(), [*COUNTS, *COUNTS])


def test_genes_that_share_a_symbol_are_called_by_their_id(tmp_path: Path) -> None:
    folder = barcoded_folder(tmp_path / "tc1")
    edit(folder / "P1" / "features.tsv", "CD69", "IL2RA")
    assert counts_of(read_batch(folder)).genes == ("ENSG0", "ENSG1", "SELL")


def test_half_the_barcodes_unmatched_is_told_with_numbers(tmp_path: Path) -> None:
    folder = barcoded_folder(tmp_path / "tc1")
    (folder / "P1" / "barcodes.tsv").write_text("\n".join([*BARCODES[:3], "TTTTA", "TTTTC", "TTTTG"]))
    text = str(problems_of(folder)[0])
    assert "3 of 6 wells (or barcodes) are not on the plate map: 'TTTTA', 'TTTTC', 'TTTTG'" in text
    assert "unmapped_wells: drop" in text


def test_barcodes_of_no_well_can_be_dropped_when_that_is_stated(tmp_path: Path) -> None:
    folder = barcoded_folder(tmp_path / "tc1")
    path = folder / "P1" / "plate_map.csv"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if "Glutamine" not in line))
    assert "1 of 6 wells (or barcodes)" in only_problem_of(folder)
    (folder / "screen.yaml").write_text("unmapped_wells: drop\n")
    batch = read_batch(folder)
    assert len(batch.wells) == 5
    assert any("'ACAGT'; they were dropped" in note for note in batch.notes)


def test_a_barcode_that_names_two_wells_is_refused(tmp_path: Path) -> None:
    folder = barcoded_folder(tmp_path / "tc1")
    edit(folder / "P1" / "plate_map.csv", "AACCA", "AACAG")
    assert "gives the barcode 'AACAG' to tc1_P1_A2 and to tc1_P1_A1" in " ".join(
        map(str, problems_of(folder))
    )


@pytest.mark.parametrize("name", ["matrix.mtx", "barcodes.tsv", "features.tsv"])
def test_a_missing_file_of_the_three_is_named(tmp_path: Path, name: str) -> None:
    folder = barcoded_folder(tmp_path / "tc1")
    (folder / "P1" / name).unlink()
    assert f"holds no {name}" in str(problems_of(folder)[0])


def test_files_of_two_runs_of_the_aligner_are_refused(tmp_path: Path) -> None:
    folder = barcoded_folder(tmp_path / "tc1")
    (folder / "P1" / "features.tsv").write_text("ENSG0\tIL2RA\n")
    assert "features.tsv: has 1 lines, but P1/matrix.mtx has 3 rows" in only_problem_of(folder)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("3 6 900", "claims 900 entries, but there is room for"),
        ("30000000 6 14", "claims 30,000,000 genes"),
        ("3 6000000 14", "claims 3 genes × 6,000,000 wells"),
        ("3 6", "does not begin as a sparse matrix"),
        ("2 7 12", "holds the line '3 1 12', which is no count of one of 2 genes in one of 7 wells"),
        ("3 6 10", "holds 36 numbers, but its header claims 10 lines of three"),
    ],
)
def test_a_matrix_header_that_lies_is_refused_before_memory_is_taken(
    tmp_path: Path, header: str, found: str
) -> None:
    folder = barcoded_folder(tmp_path / "tc1")
    text = (folder / "P1" / "matrix.mtx").read_text().splitlines()
    (folder / "P1" / "matrix.mtx").write_text("\n".join([*text[:2], header, *text[3:]]))
    assert found in only_problem_of(folder)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("1 1 x", "holds lines that are not three numbers"),
        ("1 1 nan", "which is no count"),
        ("1.5 1 2", "which is no count"),
        ("3 1 12", "holds 1 cells more than once"),
        ("1 1 -5", "negative counts"),
    ],
)
def test_a_line_that_is_no_count_is_refused(tmp_path: Path, line: str, found: str) -> None:
    folder = barcoded_folder(tmp_path / "tc1")
    edit(folder / "P1" / "matrix.mtx", "1 1 5", line)
    assert found in only_problem_of(folder)


def test_an_annotated_file_alone_is_matrix_and_plate_map(tmp_path: Path) -> None:
    assert_counts(annotated_folder(tmp_path / "tc1"))
    assert read_batch(tmp_path / "tc1").wells["metabolite"].tolist() == list(METABOLITES)


def test_the_counts_layer_is_taken_before_x(tmp_path: Path) -> None:
    folder = annotated_folder(tmp_path / "tc1", values=np.full((6, 3), 0.5), layer=COUNTS)
    assert_counts(folder)
    (folder / "screen.yaml").write_text("value_kind: vst\n")
    assert (expression_of(read_batch(folder)).to_numpy() == 0.5).all()


def test_wells_of_an_annotated_file_may_stand_in_its_columns(tmp_path: Path) -> None:
    names = [f"cell{number}" for number in range(6)]
    assert_counts(annotated_folder(tmp_path / "tc1", names=names, Well_ID=WELLS, Plate_ID=["P1"] * 6))


def test_an_annotated_file_may_be_joined_with_a_plate_map_by_barcode(tmp_path: Path) -> None:
    folder = annotated_folder(tmp_path / "tc1", names=BARCODES)
    rows = [[*row, code] for row, code in zip(plate_map_rows(), ["barcode", *BARCODES], strict=True)]
    write_rows(folder / "plate_map.csv", rows)
    assert_counts(folder)


def test_an_annotated_file_without_well_names_is_refused(tmp_path: Path) -> None:
    folder = annotated_folder(tmp_path / "tc1", names=[str(number) for number in range(6)])
    assert "screen.h5ad, row 1, column 1 ('well_id'): holds '0', which is not <batch>_<plate>_<well>" in str(
        problems_of(folder)[0]
    )


def test_a_truncated_annotated_file_is_refused(tmp_path: Path) -> None:
    folder = annotated_folder(tmp_path / "tc1")
    raw = (folder / "screen.h5ad").read_bytes()
    (folder / "screen.h5ad").write_bytes(raw[: len(raw) // 2])
    assert "is not a readable AnnData file" in only_problem_of(folder)


def test_counts_survive_writing_and_reading(tmp_path: Path) -> None:
    batch = read_batch(counts_folder(tmp_path / "tc1"))
    folder = write_landing_batch(tmp_path / "copy" / "tc1", batch.wells, counts=batch.counts)
    assert_counts(folder)
    # Which wells are empty is written down as the type of every well.
    written = read_batch(folder).wells.drop(columns="sample_type")
    pd.testing.assert_frame_equal(written, batch.wells)


def test_a_matrix_of_other_wells_is_not_written(tmp_path: Path) -> None:
    batch = read_batch(counts_folder(tmp_path / "tc1"))
    turned = CountMatrix(counts_of(batch).values, counts_of(batch).well_ids[::-1], counts_of(batch).genes)
    with pytest.raises(ValueError, match="other wells"):
        write_landing_batch(tmp_path / "copy" / "tc1", batch.wells, counts=turned)
    assert not (tmp_path / "copy").exists()


def test_doses_of_one_treatment_are_different_metabolites(tmp_path: Path) -> None:
    folder = counts_folder(tmp_path / "tc1")
    header, *rows = plate_map_rows()
    doses = [("DMSO", 0), ("Rapamycin", 0.1), ("Rapamycin", 10), ("Media", 0), ("Torin", 1), ("DMSO", 0)]
    named = [[*row[:2], *dose, "uM"] for row, dose in zip(rows, doses, strict=True)]
    write_rows(folder / "plate_map.csv", [[*header[:2], "Treatment_1", "Concentration_1", "Unit_1"], *named])
    wells = read_batch(folder).wells
    assert wells["metabolite"].tolist() == [
        "DMSO",
        "Rapamycin 0.1 uM",
        "Rapamycin 10 uM",
        "Media",
        "Torin 1 uM",
        "DMSO",
    ]
    assert wells["concentration"].tolist() == [0, 0.1, 10, 0, 1, 0]
    (folder / "screen.yaml").write_text("concentration_in_name: false\n")
    assert set(read_batch(folder).wells["metabolite"]) == {"DMSO", "Rapamycin", "Media", "Torin"}


@pytest.mark.skipif(not REAL_PLATE.is_dir(), reason=f"the real MAC-seq plate is not at {REAL_PLATE}")
def test_the_real_plate_is_read_from_its_own_column_names(tmp_path: Path) -> None:
    folder = tmp_path / "macseq"
    folder.mkdir()
    for path in REAL_PLATE.iterdir():
        shutil.copyfile(path, folder / path.name)
    batch = read_batch(folder)
    assert counts_of(batch).values.shape == (308, 500)
    source = pd.read_csv(REAL_PLATE / "counts.csv", index_col="barcode")
    plate = pd.read_csv(REAL_PLATE / "plate_map.csv", index_col="barcode", keep_default_na=False)
    wells = [f"macseq_PMMSq033_{well[0]}{int(well[1:])}" for well in plate["Well_ID"]]
    assert batch.wells["well_id"].tolist() == wells
    np.testing.assert_array_equal(counts_of(batch).values.toarray(), source.loc[plate.index].to_numpy())
    assert batch.wells["is_dmso"].sum() == 19
    assert (batch.wells["metabolite"] == "Media").sum() == 46
    assert (batch.wells["metabolite"] == "Staurosporine 10 uM").sum() == 3
    assert batch.wells["sample_type"].value_counts().to_dict() == {
        "sample": 234,
        "vehicle_control": 65,
        "positive_control": 9,
    }
    assert batch.wells["concentration"].tolist() == plate["Concentration_1"].astype(float).tolist()
