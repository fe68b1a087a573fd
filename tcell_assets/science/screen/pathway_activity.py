"""Activity of gene sets under every condition: how much more the genes of a set move than all the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from tcell_assets.science.screen.enrichment import MINIMUM_SET_SIZE
from tcell_assets.science.screen.signatures import Signatures, benjamini_hochberg_rows
from tcell_assets.science.well_join import some_names


def usable_sets(genes: Sequence[str], gene_sets: Mapping[str, Sequence[str]]) -> dict[str, list[int]]:
    """Return the columns of each set's genes, of sets with at least 5 genes among these and not all of them.

    Raises:
        ValueError: There is no such set.
    """
    found = _columns_of(genes, gene_sets)
    usable = {name: at for name, at in found.items() if MINIMUM_SET_SIZE <= len(at) < len(genes) - 1}
    if not usable:
        sizes = some_names([f"{name} ({len(at)})" for name, at in found.items()])
        raise ValueError(
            f"no gene set has {MINIMUM_SET_SIZE} genes among the {len(genes)} of the signatures: {sizes}. "
            "Check that both use the same kind of gene names."
        )
    return usable


def measured_genes(genes: Sequence[str], gene_sets: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return how many genes of each set are among these."""
    return {name: len(at) for name, at in _columns_of(genes, gene_sets).items()}


def _columns_of(genes: Sequence[str], gene_sets: Mapping[str, Sequence[str]]) -> dict[str, list[int]]:
    columns = {gene: position for position, gene in enumerate(genes)}
    return {
        name: [columns[gene] for gene in set(members) if gene in columns]
        for name, members in gene_sets.items()
    }


def pathway_scores(
    expression: pd.DataFrame, gene_scales: np.ndarray, sets: Mapping[str, Sequence[int]]
) -> pd.DataFrame:
    """Score every set in every well: its genes, each in its own scale, against all the others.

    Args:
        expression: Index `well_id`, one column a gene.
        gene_scales: (genes,) standard deviation of each gene between alike wells; genes without one count nowhere.
        sets: Columns of each set's genes, of `usable_sets`.

    Returns:
        Index `well_id`, a column a set.
    """
    weights = np.divide(1.0, gene_scales, out=np.zeros(len(gene_scales)), where=gene_scales > 0)
    scores = expression.to_numpy(dtype=np.float64) @ (_membership(len(gene_scales), sets) * weights[:, None])
    return pd.DataFrame(scores, index=expression.index, columns=list(sets))


def pathway_activity(
    signatures: Signatures, scores: Signatures, sets: Mapping[str, Sequence[int]]
) -> pd.DataFrame:
    """Return the activity of every set under every condition.

    The moderated t of the genes is regressed on membership of the set; the activity is the t of the slope, positive
    where the set's genes rise more than the others (Badia-i-Mompel et al. 2022, decoupleR, Bioinformatics Advances 2:
    vbac016, method `ulm`). The p of that slope takes the genes for independent; genes of a programme move together in
    untreated wells too, and 132 of 182 conditions of a demo screen passed 5 %. So p comes from the wells: the set is
    scored in each of them (`pathway_scores`) and the score tested as a gene would be, by how it varies between alike
    wells.

    Args:
        signatures: Of the genes; conditions that are not finite are left out.
        scores: Signatures of the sets' scores, unmoderated, of the same conditions.
        sets: Columns of each set's genes, of `usable_sets`.

    Returns:
        `condition, gene_set, n_genes, activity, p, q`: q is Benjamini and Hochberg's over the sets of a condition.
    """
    finite = np.isfinite(signatures.moderated_t).all(axis=1)
    values = signatures.moderated_t[finite]
    member = _membership(len(signatures.genes), sets)
    values = values - values.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(values, axis=1)[:, None] * np.linalg.norm(member, axis=0)[None, :]
    correlation = np.divide(values @ member, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    free = len(signatures.genes) - 2
    activity = correlation * np.sqrt(free / np.maximum(1.0 - correlation**2, 1e-15))
    p = scores.p_values()[finite]
    names = signatures.conditions["condition"].to_numpy(dtype=object)[finite]
    sizes = np.array([len(at) for at in sets.values()], dtype=np.int32)
    return pd.DataFrame(
        {
            "condition": np.repeat(names, len(sets)),
            "gene_set": np.tile(np.array(list(sets), dtype=object), len(names)),
            "n_genes": np.tile(sizes, len(names)),
            "activity": activity.ravel(),
            "p": p.ravel(),
            "q": benjamini_hochberg_rows(p).ravel(),
        }
    )


def _membership(n_genes: int, sets: Mapping[str, Sequence[int]]) -> np.ndarray:
    """(genes, sets) membership, centred."""
    member = np.zeros((n_genes, len(sets)))
    for column, at in enumerate(sets.values()):
        member[at, column] = 1.0
    centred: np.ndarray = member - member.mean(axis=0)
    return centred


def empty_activity() -> pd.DataFrame:
    """The table of `pathway_activity` without a row."""
    return pd.DataFrame(columns=["condition", "gene_set", "n_genes", "activity", "p", "q"])
