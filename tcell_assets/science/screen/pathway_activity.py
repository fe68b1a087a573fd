"""Activity of gene sets under every condition: how much more the genes of a set move than all the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import special

from tcell_assets.science.screen.enrichment import MINIMUM_SET_SIZE
from tcell_assets.science.screen.signatures import benjamini_hochberg_rows
from tcell_assets.science.well_join import some_names


def pathway_activity(
    moderated_t: np.ndarray,
    conditions: Sequence[str],
    genes: Sequence[str],
    gene_sets: Mapping[str, Sequence[str]],
) -> pd.DataFrame:
    """Score every gene set under every condition by a univariate linear model.

    The moderated t of the genes is regressed on membership of the set; the activity is the t of the slope, positive
    where the set's genes rise more than the others (Badia-i-Mompel et al. 2022, decoupleR, Bioinformatics Advances 2:
    vbac016, method `ulm`). Genes of a set move together without any treatment, so p is a measure of order and not the
    chance of an error.

    Args:
        moderated_t: (conditions, genes); rows that are not finite are left out.
        conditions: Names of the rows.
        genes: Names of the columns.
        gene_sets: Genes by the name of their set.

    Returns:
        `condition, gene_set, n_genes, activity, p, q`: q is Benjamini and Hochberg's over the sets of a condition.

    Raises:
        ValueError: No set has 5 genes among the genes, or all sets hold every gene.
    """
    columns = {gene: position for position, gene in enumerate(genes)}
    found = {
        name: [columns[gene] for gene in set(members) if gene in columns]
        for name, members in gene_sets.items()
    }
    usable = {name: at for name, at in found.items() if MINIMUM_SET_SIZE <= len(at) < len(genes) - 1}
    if not usable:
        sizes = some_names([f"{name} ({len(at)})" for name, at in found.items()])
        raise ValueError(
            f"no gene set has {MINIMUM_SET_SIZE} genes among the {len(genes)} of the signatures: {sizes}. "
            "Check that both use the same kind of gene names."
        )
    finite = np.isfinite(moderated_t).all(axis=1)
    values = moderated_t[finite]
    member = np.zeros((len(genes), len(usable)))
    for column, at in enumerate(usable.values()):
        member[at, column] = 1.0
    member -= member.mean(axis=0)
    values = values - values.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(values, axis=1)[:, None] * np.linalg.norm(member, axis=0)[None, :]
    correlation = np.divide(values @ member, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    free = len(genes) - 2
    activity = correlation * np.sqrt(free / np.maximum(1.0 - correlation**2, 1e-15))
    p = 2.0 * special.stdtr(free, -np.abs(activity))
    names = np.asarray(conditions, dtype=object)[finite]
    sizes_of = np.array([len(at) for at in usable.values()], dtype=np.int32)
    return pd.DataFrame(
        {
            "condition": np.repeat(names, len(usable)),
            "gene_set": np.tile(np.array(list(usable), dtype=object), len(names)),
            "n_genes": np.tile(sizes_of, len(names)),
            "activity": activity.ravel(),
            "p": p.ravel(),
            "q": benjamini_hochberg_rows(p).ravel(),
        }
    )


def empty_activity() -> pd.DataFrame:
    """The table of `pathway_activity` without a row."""
    return pd.DataFrame(columns=["condition", "gene_set", "n_genes", "activity", "p", "q"])
