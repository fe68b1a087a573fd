"""Folders made after public files of laboratories: values, genes and formats are read as their owners expect."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tcell_assets.landing.batch import LandedBatch, read_batch
from tcell_assets_tests.landing.folders import counts_of, expression_of, only_problem_of

CASES = Path(__file__).parents[3] / "shared" / "real" / "cases"
pytestmark = pytest.mark.skipif(not CASES.exists(), reason=f"{CASES} is not there")
# The same 96 wells of 60 genes lie in most of the folders.
TOTAL_UMI = 195_983


def folder_of(tmp_path: Path, name: str) -> Path:
    found = next(path for path in CASES.iterdir() if path.name.startswith(name))
    shutil.copytree(found, tmp_path / "tc1")
    return tmp_path / "tc1"


def read(tmp_path: Path, name: str) -> LandedBatch:
    return read_batch(folder_of(tmp_path, name))


@pytest.mark.parametrize("name", ["11-", "12-", "13-", "14-", "18-"])
def test_the_same_counts_come_out_of_every_table(tmp_path: Path, name: str) -> None:
    counts = counts_of(read(tmp_path, name))
    reference = counts_of(read(tmp_path / "reference", "02-")) if name in ("11-", "12-") else None
    assert counts.values.sum() == TOTAL_UMI
    assert len(counts.genes) == 60
    assert {"CD3E", "HLA-A", "GENE039"} <= set(counts.genes)
    if reference is not None:
        assert counts.genes == reference.genes
        order = [reference.well_ids.index(well) for well in counts.well_ids]
        assert (counts.values != reference.values[order]).nnz == 0


def test_cpm_as_expression_is_refused_by_its_values(tmp_path: Path) -> None:
    assert "largest 2.254e+05" in only_problem_of(folder_of(tmp_path, "08-"))


def test_raw_counts_beside_a_scaled_x_are_those_of_the_counts_table(tmp_path: Path) -> None:
    raw = counts_of(read(tmp_path, "09-"))
    table = counts_of(read(tmp_path / "table", "02-"))
    rows = [table.well_ids.index(well) for well in raw.well_ids]
    columns = [table.genes.index(gene) for gene in raw.genes]
    assert (raw.values != table.values[rows][:, columns]).nnz == 0


def test_dates_among_gene_names_are_named(tmp_path: Path) -> None:
    text = only_problem_of(folder_of(tmp_path, "16-"))
    assert all(name in text for name in ("'1-Mar'", "'2-Sep'", "'44256'"))
    assert "spreadsheet" in text


def test_the_corner_of_a_plate_is_noted_and_its_edge_follows_the_stated_format(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "22-")
    assert any("72 of 192 wells edge wells" in note for note in read_batch(folder).notes)
    (folder / "screen.yaml").write_text("plate_format: 384\n")
    assert int(read_batch(folder).wells["is_edge"].sum()) == 2 * 19


@pytest.mark.parametrize("name", ["26-", "29-"])
def test_vst_with_decimal_commas_and_with_genes_in_rows_is_log2_of_the_counts(
    tmp_path: Path, name: str
) -> None:
    expression = expression_of(read(tmp_path, name))
    counts = counts_of(read(tmp_path / "counts", "02-"))
    frame = pd.DataFrame(counts.values.toarray(), index=list(counts.well_ids), columns=list(counts.genes))
    wanted = np.log2(frame.loc[expression.index, expression.columns].to_numpy() + 1)
    np.testing.assert_allclose(expression.to_numpy(), wanted, atol=6e-5)


def test_1536_wells_are_read(tmp_path: Path) -> None:
    wells = read(tmp_path, "28-").wells
    assert len(wells) == 48
    assert {"A", "AA", "AB"} == set(wells["row"])
