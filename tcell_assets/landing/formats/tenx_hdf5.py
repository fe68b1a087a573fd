"""Counts as Cell Ranger writes them into one `.h5` file (versions 2 to 9)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tcell_assets.landing.formats import MatrixFormat, Source
from tcell_assets.landing.formats.matrix_market import GENE_EXPRESSION, plate_folder_of
from tcell_assets.landing.gene_names import names_of_genes
from tcell_assets.landing.guarded import Content, guarded, has_packages, load_values
from tcell_assets.landing.matrices import WellMatrix
from tcell_assets.landing.problems import ProblemCollector
from tcell_assets.landing.screen_settings import LandingSettings

READER = "tcell_assets.landing.formats.tenx_hdf5:read_in_process"


def matrix_of(name: str) -> str | None:
    """The ``.h5`` file itself."""
    return name if name.endswith((".h5", ".hdf5")) else None


def read(
    source: Source, settings: LandingSettings, problems: ProblemCollector, notes: list[str]
) -> WellMatrix | None:
    """Read the counts of one plate; what is no gene, as antibodies and guides are, is left out."""
    if not has_packages(source.name, ["h5py"], "anndata", problems):
        return None
    with guarded(source.only, "10x file", READER, {}, settings.limits, problems) as result:
        if result is None:
            return None
        content, out = result
        values = load_values(source.name, out, content["barcodes"], content["ids"], settings.limits, problems)
    if values is None:
        return None
    kinds: list[str] = content["kinds"]
    kept = [column for column, kind in enumerate(kinds) if kind in ("", GENE_EXPRESSION)]
    others: dict[str, list[str]] = {}
    for gene, kind in zip(content["ids"], kinds, strict=True):
        if kind not in ("", GENE_EXPRESSION):
            others.setdefault(f"features of type {kind}", []).append(gene)
    genes, n_shared, _ = names_of_genes(
        [content["ids"][column] for column in kept], [content["symbols"][column] for column in kept]
    )
    if n_shared:
        notes.append(
            f"{source.name}: {n_shared} genes share their symbol with another and are called by their id"
        )
    return WellMatrix(
        source.name,
        source.plate,
        content["barcodes"],
        genes,
        values[:, kept] if others else values,
        first_row=1,
        stated="counts",
        left_out=others,
    )


def read_in_process(path: Path, out: Path, max_bytes: int, options: Content) -> Content:
    """Read a file and save its values; runs in the process that `guarded` starts.

    Returns:
        ``barcodes, ids, symbols, kinds``; or a ``problem``: kind, finding and mend.
    """
    import h5py
    import numpy as np
    from scipy import sparse

    from tcell_assets.landing.guarded_process import fault_of_store, save_values

    with h5py.File(path, "r") as store:
        problem = fault_of_store(store, max_bytes)
        if problem:
            return {"problem": problem}
        # Version 3 and later write `matrix`, version 2 one group a genome.
        groups = ["matrix"] if "matrix" in store else list(store)
        if len(groups) != 1 or not {"data", "indices", "indptr", "shape", "barcodes"} <= set(
            store[groups[0]]
        ):
            found = "is no file of one matrix as Cell Ranger writes it"
            return {"problem": ("damaged files", found, "Copy filtered_feature_bc_matrix.h5 of one plate")}
        group = store[groups[0]]
        features = group.get("features", group)
        ids = _text(features["id"] if "id" in features else features["genes"])
        symbols = _text(features["name"] if "name" in features else features["gene_names"])
        kinds = _text(features["feature_type"]) if "feature_type" in features else [""] * len(ids)
        n_genes, n_wells = (int(number) for number in group["shape"][:])
        # Columns are barcodes, so that their columns are rows of wells × genes.
        values = sparse.csr_matrix(
            (group["data"][:].astype(np.float64), group["indices"][:], group["indptr"][:]),
            shape=(n_wells, n_genes),
        )
        barcodes = _text(group["barcodes"])
    save_values(out, values)
    return {"barcodes": barcodes, "ids": ids, "symbols": symbols, "kinds": kinds}


def _text(values: Any) -> list[str]:
    return [name.decode() if isinstance(name, bytes) else str(name) for name in values[:]]


FORMAT = MatrixFormat("10x .h5", matrix_of, plate_folder_of, read)
