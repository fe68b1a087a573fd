"""Pathway activity: its slope against SciPy's regression, its p by chance alone and with genes that move together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tcell_assets.science.screen.pathway_activity import pathway_activity, pathway_scores, usable_sets
from tcell_assets.science.screen.signatures import Signatures, fit_signatures

GENES = [f"G{number}" for number in range(60)]
SETS = {
    "first": GENES[:8],
    "spread": GENES[::7],
    "small": GENES[:3],
    "elsewhere": ["X1", "X2", "X3", "X4", "X5"],
}


def screen(seed: int, shared: float = 0.0, n_conditions: int = 30) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two plates of untreated wells under the names of conditions, two wells each, and ten DMSO wells a plate.

    `shared` is how much of each well's own activity the genes of the first set have in common.
    """
    generator = np.random.default_rng(seed)
    names = [f"M{number}" for number in range(n_conditions)]
    rows = [(f"P{plate}", name) for plate in (1, 2) for name in [*names, *["DMSO"] * 10]]
    wells = pd.DataFrame(rows, columns=["plate", "metabolite"])
    wells = wells.assign(
        batch="tc1",
        is_dmso=wells["metabolite"] == "DMSO",
        well_id=[f"w{number}" for number in range(len(rows))],
    )
    values = generator.normal(8.0, 0.5, (len(rows), len(GENES)))
    values[:, :8] += shared * generator.normal(size=(len(rows), 1))
    return pd.DataFrame(values, index=pd.Index(wells["well_id"]), columns=GENES), wells


def activities(expression: pd.DataFrame, wells: pd.DataFrame) -> tuple[Signatures, pd.DataFrame]:
    signatures = fit_signatures(expression, wells)
    sets = usable_sets(GENES, SETS)
    scores = fit_signatures(
        pathway_scores(expression, signatures.gene_scales(), sets), wells, is_moderated=False
    )
    return signatures, pathway_activity(signatures, scores, sets)


def test_activity_is_the_t_of_a_linear_regression_on_membership() -> None:
    signatures, table = activities(*screen(1))
    assert set(table["gene_set"]) == {"first", "spread"}
    names = signatures.conditions["condition"].tolist()
    for row in table.head(20).to_dict("records"):
        own = signatures.moderated_t[names.index(row["condition"])]
        fitted = stats.linregress([float(gene in SETS[row["gene_set"]]) for gene in GENES], own)
        assert row["activity"] == pytest.approx(fitted.slope / fitted.stderr)


def test_a_set_whose_genes_fall_has_a_negative_activity() -> None:
    expression, wells = screen(2)
    expression.loc[(wells["metabolite"] == "M3").to_numpy(), GENES[:8]] -= 3.0
    table = activities(expression, wells)[1]
    first = table[(table["gene_set"] == "first") & (table["condition"] == "M3")]
    assert first["activity"].max() < -5
    assert first["q"].max() < 1e-6


@pytest.mark.parametrize("shared", [0.0, 1.0])
def test_p_is_uniform_where_nothing_was_done_even_if_the_genes_of_a_set_move_together(shared: float) -> None:
    p = np.concatenate(
        [
            table.loc[table["gene_set"] == "first", "p"].to_numpy()
            for seed in range(10)
            for table in [activities(*screen(seed, shared))[1]]
        ]
    )
    # Conditions of a screen share its DMSO wells: over ten screens 300 p are worth some fewer.
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert np.mean(p < 0.05) < 0.08


def test_the_t_of_a_score_is_that_of_least_squares_with_plates_as_blocks() -> None:
    expression, wells = screen(4)
    signatures = fit_signatures(expression, wells)
    sets = usable_sets(GENES, SETS)
    scores = pathway_scores(expression, signatures.gene_scales(), sets)
    fitted = fit_signatures(scores, wells, is_moderated=False)
    design = pd.get_dummies(wells["metabolite"]).drop(columns="DMSO").astype(float)
    matrix = np.column_stack([design, pd.get_dummies(wells["plate"]).astype(float)])
    coefficients, *_ = np.linalg.lstsq(matrix, scores["first"], rcond=None)
    free = len(wells) - matrix.shape[1]
    variance = float(((scores["first"] - matrix @ coefficients) ** 2).sum()) / free
    errors = np.sqrt(variance * np.diag(np.linalg.inv(matrix.T @ matrix)))
    expected = dict(zip(design.columns, (coefficients / errors)[: design.shape[1]], strict=True))
    found = dict(zip(fitted.conditions["condition"], fitted.moderated_t[:, 0], strict=True))
    assert found == pytest.approx(expected, rel=1e-9)


def test_a_condition_without_a_signature_has_no_pathways() -> None:
    expression, wells = screen(3)
    signatures, _ = activities(expression, wells)
    t = signatures.moderated_t.copy()
    t[1:] = np.nan
    sets = usable_sets(GENES, SETS)
    scores = fit_signatures(
        pathway_scores(expression, signatures.gene_scales(), sets), wells, is_moderated=False
    )
    table = pathway_activity(replace(signatures, moderated_t=t), scores, sets)
    assert set(table["condition"]) == {signatures.conditions["condition"].iloc[0]}


def test_sets_of_other_gene_names_are_refused_with_their_sizes() -> None:
    with pytest.raises(ValueError, match="elsewhere \\(0\\)"):
        usable_sets(GENES, {"elsewhere": SETS["elsewhere"]})
