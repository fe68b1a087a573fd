"""Counts survive the way through their long table: every count, well and gene, seen or not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from tcell_assets.science.counts.count_table import counts_from_table, counts_to_table


def test_counts_come_back_with_genes_never_seen_and_wells_without_a_count() -> None:
    values = np.random.default_rng(3).poisson(0.3, size=(7, 11)).astype(np.int32)
    values[:, 4] = 0
    values[2] = 0
    wells, genes = [f"w{i}" for i in range(7)], [f"g{i:02d}" for i in range(11)]
    table = counts_to_table(sparse.csr_matrix(values), wells, genes)
    assert table["count"].sum() == values.sum()
    back, names = counts_from_table(table.sample(frac=1.0, random_state=1), wells)
    assert names == genes
    np.testing.assert_array_equal(back.toarray(), values)


def test_a_table_of_other_wells_is_refused() -> None:
    table = counts_to_table(sparse.csr_matrix(np.ones((2, 2), dtype=np.int32)), ["a", "b"], ["g1", "g2"])
    with pytest.raises(ValueError, match=r"wells the metadata lacks: b"):
        counts_from_table(table, ["a"])
