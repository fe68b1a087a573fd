"""Counts as a long table of well, gene and count, and back: a plate of 40 000 genes stays as small as its UMI."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import sparse

from tcell_assets.science.well_join import some_names


def counts_to_table(counts: sparse.csr_matrix, well_ids: Sequence[str], genes: Sequence[str]) -> pd.DataFrame:
    """Return `well_id, gene, count`, one row a count above 0, sorted by well and gene as given.

    A gene without any count keeps one row of 0 in the first well, so that the table names every gene measured.
    """
    entries = counts.tocoo()
    unseen = np.flatnonzero(np.asarray(counts.sum(axis=0)).ravel() == 0)
    rows = np.concatenate([entries.row, np.zeros(len(unseen), dtype=entries.row.dtype)])
    columns = np.concatenate([entries.col, unseen])
    values = np.concatenate([entries.data, np.zeros(len(unseen), dtype=entries.data.dtype)])
    order = np.lexsort((columns, rows))
    return pd.DataFrame(
        {
            "well_id": pd.Categorical.from_codes(rows[order], categories=pd.Index(well_ids)),
            "gene": pd.Categorical.from_codes(columns[order], categories=pd.Index(genes)),
            "count": values[order].astype(np.int32),
        }
    )


def counts_from_table(table: pd.DataFrame, well_ids: Sequence[str]) -> tuple[sparse.csr_matrix, list[str]]:
    """Return counts, wells × genes in the order of `well_ids`, and the genes in order of their names.

    Args:
        table: what `counts_to_table` made, or a part of it.
        well_ids: the wells wanted; one without a row has no count at all.

    Raises:
        ValueError: The table holds wells that are not among `well_ids`.
    """
    wells = pd.Categorical(table["well_id"], categories=list(well_ids))
    if wells.isna().any():
        unknown = set(table["well_id"].astype(str)) - set(well_ids)
        raise ValueError(
            f"count_matrix: holds wells the metadata lacks: {some_names(unknown)}. Ingest the batch again."
        )
    gene_codes, genes = pd.factorize(table["gene"].astype(str), sort=True)
    matrix = sparse.csr_matrix(
        (table["count"].to_numpy(), (wells.codes, gene_codes)),
        shape=(len(well_ids), len(genes)),
        dtype=np.int32,
    )
    matrix.eliminate_zeros()
    return matrix, [str(gene) for gene in genes]
