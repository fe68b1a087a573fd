"""Large plates are read within the memory and time that a laptop has."""

import json
import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.io import mmwrite

from tcell_assets.landing.batch import read_batch
from tcell_assets_tests.landing.folders import published_folder, write_column, write_rows

GENES, WELLS = 40_000, 384
MEASURE = """
import json, sys
from pathlib import Path
from tcell_assets.landing.batch import read_batch
from tcell_assets_tests.peak_memory import peak_kib
counts = read_batch(Path(sys.argv[1])).counts
print(json.dumps([list(counts.values.shape), int(counts.values.sum()), counts.values.nnz, peak_kib()]))
"""


@pytest.fixture(scope="module")
def counts() -> sparse.csr_matrix:
    """A plate of 384 wells × 40 000 genes, 85 % zeros as in shallow 3' sequencing."""
    return sparse.random(
        WELLS, GENES, density=0.15, format="csr", random_state=614, data_rvs=lambda n: np.ones(n)
    ).astype(np.int32)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["wells.csv.gz", "genes.csv", "parquet", "h5ad", "mtx"])
def test_a_plate_of_40_000_genes_is_read_in_less_than_2_gb(
    tmp_path: Path, counts: sparse.csr_matrix, form: str
) -> None:
    folder = tmp_path / "tc1"
    wells = [f"{row}{column}" for row in "ABCDEFGHIJKLMNOP" for column in range(1, 25)]
    well_ids = [f"tc1_P1_{well}" for well in wells]
    genes = [f"ENSG{gene:011d}" for gene in range(GENES)]
    rows = [
        ["P1", well, "DMSO" if number % 12 == 0 else f"M{number}", number]
        for number, well in enumerate(wells)
    ]
    write_rows(folder / "plate_map.csv", [["plate", "well", "metabolite", "barcode"], *rows])
    if form == "mtx":
        mmwrite(str(folder / "matrix.mtx"), counts.T, field="integer", symmetry="general")
        (folder / "barcodes.tsv").write_text("\n".join(map(str, range(WELLS))))
        (folder / "features.tsv").write_text("\n".join(genes))
    elif form == "h5ad":
        observations, variables = pd.DataFrame(index=well_ids), pd.DataFrame(index=genes)
        anndata.AnnData(counts, obs=observations, var=variables).write_h5ad(folder / "counts.h5ad")
    else:
        dense = pd.DataFrame(counts.toarray(), index=pd.Index(well_ids, name="well_id"), columns=genes)
        if form == "parquet":
            dense.to_parquet(folder / "counts.parquet")
        elif form == "genes.csv":
            dense.T.to_csv(folder / "counts.csv", index_label="gene")
        else:
            dense.to_csv(folder / "counts.csv.gz", compression={"method": "gzip", "compresslevel": 1})
    output = subprocess.run(
        [sys.executable, "-c", MEASURE, str(folder)], capture_output=True, text=True, check=True
    ).stdout
    shape, total, stored, peak = json.loads(output)
    assert shape == [WELLS, GENES]
    assert (total, stored) == (counts.sum(), counts.nnz)
    assert peak < 2e9 / 1024


def test_a_published_set_of_full_size_is_read_value_for_value(tmp_path: Path) -> None:
    folder = published_folder(tmp_path / "tc1")
    values = np.random.default_rng(614).normal(6, 2, (768, 2541))
    pd.DataFrame(values, columns=[f"G{gene}" for gene in range(2541)]).to_csv(
        folder / "expr_mat.csv", index=False
    )
    wells = [
        f"tc1_P{plate}_{row}{column}" for plate in range(8) for row in "ABCDEFGH" for column in range(1, 13)
    ]
    write_column(folder / "well_id.csv", wells)
    write_column(
        folder / "meta_id.csv", ["DMSO" if number % 20 == 0 else f"M{number}" for number in range(768)]
    )
    write_column(folder / "labels_cls.csv", [number % 2 for number in range(768)])
    write_rows(
        folder / "scores_3_z.csv", [["pseudotime_z", "cytoscore_z", "Tscore_z"], *[[1.5, 2.5, 3.5]] * 768]
    )
    batch = read_batch(folder)
    assert batch.expression is not None
    np.testing.assert_array_equal(batch.expression.to_numpy(), values.astype(np.float32))
