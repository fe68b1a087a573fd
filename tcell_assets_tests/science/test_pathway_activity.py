"""Pathway activity against SciPy's linear regression, gene set by gene set."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tcell_assets.science.screen.pathway_activity import pathway_activity

GENES = [f"G{number}" for number in range(60)]
SETS = {
    "first": GENES[:8],
    "spread": GENES[::7],
    "small": GENES[:3],
    "elsewhere": ["X1", "X2", "X3", "X4", "X5"],
}


def test_activity_and_p_are_those_of_a_linear_regression_on_membership() -> None:
    t = np.random.default_rng(1).normal(size=(3, 60))
    table = pathway_activity(t, ["a", "b", "c"], GENES, SETS)
    assert set(table["gene_set"]) == {"first", "spread"}
    for row in table.to_dict("records"):
        own = t[["a", "b", "c"].index(row["condition"])]
        fitted = stats.linregress([float(gene in SETS[row["gene_set"]]) for gene in GENES], own)
        assert row["activity"] == pytest.approx(fitted.slope / fitted.stderr)
        assert row["p"] == pytest.approx(fitted.pvalue)


def test_a_set_whose_genes_fall_has_a_negative_activity() -> None:
    t = np.random.default_rng(2).normal(size=(1, 60))
    t[0, :8] -= 5.0
    table = pathway_activity(t, ["a"], GENES, SETS)
    first = table[table["gene_set"] == "first"]
    assert first["activity"].max() < -5
    assert first["q"].max() < 1e-6


def test_a_condition_without_a_signature_has_no_pathways() -> None:
    t = np.vstack([np.random.default_rng(3).normal(size=60), np.full(60, np.nan)])
    assert set(pathway_activity(t, ["a", "b"], GENES, SETS)["condition"]) == {"a"}


def test_sets_of_other_gene_names_are_refused_with_their_sizes() -> None:
    with pytest.raises(ValueError, match="elsewhere \\(0\\)"):
        pathway_activity(np.zeros((1, 60)), ["a"], GENES, {"elsewhere": SETS["elsewhere"]})
