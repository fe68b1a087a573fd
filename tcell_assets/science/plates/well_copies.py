"""A hash of what was measured in each well, by which a well is known again under another name."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import sparse

FEWEST_GENES_SEEN = 10
"""Empty wells and wells of a few UMI are alike by chance; two measured wells are not."""


def expression_hashes(expression: pd.DataFrame) -> dict[str, str]:
    """Return 16 hex digits a well over its gene names and values, whatever the order of the genes.

    Args:
        expression: Wells × genes, index `well_id`.

    Returns:
        Hash by well; wells with fewer than `FEWEST_GENES_SEEN` distinct values have none.
    """
    order = np.argsort(expression.columns.to_numpy(dtype=str), kind="stable")
    names = _name_hashes(expression.columns[order])
    values = np.ascontiguousarray(expression.to_numpy(dtype=np.float32)[:, order])
    # −0 and 0 are the same measurement.
    values = values + np.float32(0)
    return {
        str(well): _digest(names.tobytes(), row.tobytes())
        for well, row in zip(expression.index, values, strict=True)
        if len(np.unique(row)) >= FEWEST_GENES_SEEN
    }


def count_hashes(counts: sparse.csr_matrix, well_ids: Sequence[str], genes: Sequence[str]) -> dict[str, str]:
    """Return the hashes of wells of counts, over the genes seen in each: genes without a count make no difference."""
    order = np.argsort(np.asarray(genes, dtype=str), kind="stable")
    names = _name_hashes([genes[column] for column in order])
    matrix = sparse.csr_matrix(counts)[:, order]
    matrix.eliminate_zeros()
    matrix.sort_indices()
    hashes = {}
    for row, well in enumerate(well_ids):
        seen = slice(matrix.indptr[row], matrix.indptr[row + 1])
        if seen.stop - seen.start >= FEWEST_GENES_SEEN:
            values = matrix.data[seen].astype(np.int64)
            hashes[well] = _digest(names[matrix.indices[seen]].tobytes(), values.tobytes())
    return hashes


def _name_hashes(genes: Sequence[str] | pd.Index) -> np.ndarray:
    digests = (hashlib.blake2b(str(gene).encode(), digest_size=8).digest() for gene in genes)
    return np.frombuffer(b"".join(digests), dtype=np.uint64)


def _digest(names: bytes, values: bytes) -> str:
    return hashlib.blake2b(names + b"|" + values, digest_size=8).hexdigest()
