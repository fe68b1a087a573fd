"""Time and peak memory of ingest, variance stabilisation and quality control of 1, 4 and 16 plates of 384 × 20 000.

`python -m benchmarks.quality` prints a table and then one line of JSON. Each size runs in a process of its own, since
the peak memory of a process never falls. `--genes` and `--plates` make it smaller.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from tcell_assets.landing.batch import read_batch
from tcell_assets.science.counts.variance_stabilization import fit_variance_stabilization, transform
from tcell_assets.science.plates.plate_geometry import is_edge, row_letter
from tcell_assets.science.plates.well_quality import plate_qc, well_qc

ROWS, COLUMNS = 16, 24
UMI_PER_WELL = 20_000
MODELLED_GENES = 2_500


def plates_of_counts(n_plates: int, n_genes: int) -> tuple[sparse.csr_matrix, list[str], pd.DataFrame]:
    """Poisson counts with a heavy-tailed gene abundance, 18 % of them above 0, and a plate map with 16 DMSO wells."""
    generator = np.random.default_rng(614)
    abundance = generator.lognormal(0.0, 2.5, n_genes)
    row, column = (axis.ravel() + 1 for axis in np.indices((ROWS, COLUMNS)))
    counts, layouts = [], []
    for number in range(n_plates):
        depth = UMI_PER_WELL * generator.lognormal(0.0, 0.3, ROWS * COLUMNS)
        mean = depth[:, None] * (abundance / abundance.sum())
        counts.append(sparse.csr_matrix(generator.poisson(mean).astype(np.int32)))
        layout = pd.DataFrame({"row": [row_letter(int(one)) for one in row], "column": column})
        layout["batch"], layout["plate"] = "tc1", f"P{number + 1}"
        layout["is_edge"] = is_edge(row, column, (ROWS, COLUMNS))
        layout["is_dmso"] = column == 1
        layout["well"] = layout["row"] + layout["column"].astype(str)
        layout["metabolite"] = np.where(layout["is_dmso"], "DMSO", "metabolite")
        layouts.append(layout)
    wells = pd.concat(layouts, ignore_index=True)
    wells.insert(
        0, "well_id", wells["batch"] + "_" + wells["plate"] + "_" + wells["row"] + wells["column"].astype(str)
    )
    return sparse.vstack(counts, format="csr"), [f"GENE{number}" for number in range(n_genes)], wells


def peak_memory_gib() -> float:
    """Peak resident memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def land(folder: Path, n_plates: int, n_genes: int) -> None:
    """Write the plates as one batch of Matrix Market files, the form aligners leave, with its plate map."""
    counts, genes, wells = plates_of_counts(n_plates, n_genes)
    folder.mkdir(parents=True)
    wells[["plate", "well", "metabolite"]].assign(barcode=wells["well_id"]).to_csv(
        folder / "plate_map.csv", index=False
    )
    entries = counts.T.tocoo()
    header = f"%%MatrixMarket matrix coordinate integer general\n{n_genes} {len(wells)} {entries.nnz}\n"
    with (folder / "matrix.mtx").open("w") as file:
        file.write(header)
        np.savetxt(file, np.column_stack([entries.row + 1, entries.col + 1, entries.data]), fmt="%d")
    (folder / "barcodes.tsv").write_text("\n".join(wells["well_id"]) + "\n")
    (folder / "features.tsv").write_text("\n".join(genes) + "\n")


def measure(folder: Path, n_plates: int, n_genes: int) -> dict[str, Any]:
    """Run one size and return its seconds and peak memory."""
    baseline = peak_memory_gib()
    started = time.perf_counter()
    batch = read_batch(folder)
    assert batch.counts is not None, "the plates land as counts"
    counts, genes, wells = batch.counts.values, list(batch.counts.genes), batch.wells
    well_ids = list(wells["well_id"])
    read = time.perf_counter()
    fit = fit_variance_stabilization(counts, genes, well_ids, n_genes=min(MODELLED_GENES, n_genes // 2))
    vst = transform(counts, genes, well_ids, fit)
    transformed = time.perf_counter()
    plate_qc(wells, well_qc(wells, vst, counts, genes))
    judged = time.perf_counter()
    return {
        "plates": n_plates,
        "wells": len(wells),
        "genes": n_genes,
        "share_above_zero": round(counts.nnz / float(np.prod(counts.shape)), 3),
        "ingest_seconds": round(read - started, 2),
        "stabilization_seconds": round(transformed - read, 2),
        "quality_seconds": round(judged - transformed, 2),
        "baseline_gib": round(baseline, 2),
        "peak_gib": round(peak_memory_gib(), 2),
    }


def main() -> None:
    """Measure every size and print the table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plates", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--genes", type=int, default=20_000)
    arguments = parser.parse_args()
    results = []
    processes = multiprocessing.get_context("spawn")
    for n_plates in arguments.plates:
        with tempfile.TemporaryDirectory() as scratch:
            size = (Path(scratch) / "tc1", n_plates, arguments.genes)
            with processes.Pool(1) as writer:
                writer.apply(land, size)
            with processes.Pool(1) as reader:
                results.append(reader.apply(measure, size))
    print(pd.DataFrame(results).to_string(index=False))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
