"""Time and peak memory of variance stabilisation and quality control of 1, 4 and 16 plates of 384 wells × 20 000 genes.

`python benchmarks/quality.py` prints a table and then one line of JSON. Each size runs in a process of its own, since
the peak memory of a process never falls. `--genes` and `--plates` make it smaller.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from tcell_assets.science.plate_geometry import is_edge, row_letter
from tcell_assets.science.variance_stabilization import fit_variance_stabilization, transform
from tcell_assets.science.well_quality import plate_qc, well_qc

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


def measure(n_plates: int, n_genes: int) -> dict[str, Any]:
    """Run one size and return its seconds and peak memory."""
    counts, genes, wells = plates_of_counts(n_plates, n_genes)
    well_ids = list(wells["well_id"])
    baseline = peak_memory_gib()
    started = time.perf_counter()
    fit = fit_variance_stabilization(counts, genes, well_ids, n_genes=min(MODELLED_GENES, n_genes // 2))
    fitted = time.perf_counter()
    vst = transform(counts, genes, well_ids, fit)
    transformed = time.perf_counter()
    plate_qc(wells, well_qc(wells, vst, counts, genes))
    judged = time.perf_counter()
    return {
        "plates": n_plates,
        "wells": len(wells),
        "genes": n_genes,
        "share_above_zero": round(counts.nnz / float(np.prod(counts.shape)), 3),
        "fit_seconds": round(fitted - started, 2),
        "transform_seconds": round(transformed - fitted, 2),
        "quality_seconds": round(judged - transformed, 2),
        "input_peak_gib": round(baseline, 2),
        "peak_gib": round(peak_memory_gib(), 2),
    }


def main() -> None:
    """Measure every size and print the table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plates", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--genes", type=int, default=20_000)
    arguments = parser.parse_args()
    results = []
    for n_plates in arguments.plates:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            results.append(pool.apply(measure, (n_plates, arguments.genes)))
    print(pd.DataFrame(results).to_string(index=False))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
