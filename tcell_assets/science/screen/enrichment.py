"""Gene-set enrichment of a gene ranking, against a GMT file or the bundled T-cell programmes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from tcell_assets.science.simulation.simulation_names import PROGRAMMES
from tcell_assets.science.well_join import some_names

MINIMUM_SET_SIZE = 5

GeneSets = Mapping[str, Sequence[str]]


def bundled_gene_sets() -> dict[str, list[str]]:
    """The activation and resting programmes of T cells that come with the platform."""
    return {name: list(PROGRAMMES[name]) for name in ("activation", "resting")}


def read_gene_sets(path: Path) -> dict[str, list[str]]:
    """Gene sets of a GMT file: a line a set, tab-separated name, description and genes.

    Raises:
        ValueError: The file has no set, a line has no gene, or a name stands twice; with file and line.
    """
    sets: dict[str, list[str]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        name, *rest = line.split("\t")
        genes = list(dict.fromkeys(gene.strip() for gene in rest[1:] if gene.strip()))
        if not genes:
            raise ValueError(
                f"{path}, line {number}: {name!r} has no genes. A GMT line is name, description and genes, "
                "separated by tabs."
            )
        if name in sets:
            raise ValueError(f"{path}, line {number}: gene set {name!r} stands there twice. Rename one.")
        sets[name] = genes
    if not sets:
        raise ValueError(f"{path}: no gene set found. A GMT file has one set a line.")
    return sets


def enrich_ranking(
    ranking: pd.DataFrame,
    gene_sets: GeneSets,
    *,
    score: str = "signed_importance",
    permutations: int = 1000,
    seed: int = 614,
) -> pd.DataFrame:
    """Preranked gene-set enrichment (Subramanian et al. 2005) by gseapy.

    Args:
        ranking: `gene` and the column ranked by.
        gene_sets: Genes by the name of their set.
        score: Column to rank by; a signed one tells sets that raise the head from sets that lower it.
        permutations: Permutations of the genes.
        seed: Of the permutations.

    Returns:
        `gene_set, n_genes, enrichment_score, normalized_enrichment_score, p_value, q_value, leading_edge`, by p;
        `n_genes` counts the set's genes in the ranking, `leading_edge` lists genes separated by `;`.
        `p_value` and `q_value` are at least 1/(permutations + 1): no permutation test can say 0.

    Raises:
        ValueError: No set has 5 genes in the ranking.
    """
    ranked = set(ranking["gene"])
    found = {name: [gene for gene in genes if gene in ranked] for name, genes in gene_sets.items()}
    large_enough = {name: genes for name, genes in found.items() if len(genes) >= MINIMUM_SET_SIZE}
    if not large_enough:
        overlap = some_names([f"{name} ({len(genes)})" for name, genes in found.items()])
        raise ValueError(
            f"no gene set has {MINIMUM_SET_SIZE} genes in the ranking of {len(ranked)} genes: {overlap}. "
            "Check that both use the same kind of gene names."
        )
    try:
        import gseapy
    except ImportError as error:
        raise ImportError("enrichment needs gseapy: pip install 'tcell-assets[enrichment]'") from error
    result = gseapy.prerank(
        rnk=ranking.set_index("gene")[score].sort_values(ascending=False, kind="stable"),
        gene_sets=large_enough,
        outdir=None,
        min_size=MINIMUM_SET_SIZE,
        max_size=len(ranked),
        permutation_num=permutations,
        threads=1,
        seed=seed,
        no_plot=True,
    ).res2d
    smallest = 1 / (permutations + 1)
    table = pd.DataFrame(
        {
            "gene_set": result["Term"].astype(str),
            "n_genes": [len(large_enough[name]) for name in result["Term"]],
            "enrichment_score": result["ES"].astype(float),
            "normalized_enrichment_score": result["NES"].astype(float),
            "p_value": result["NOM p-val"].astype(float).clip(lower=smallest),
            "q_value": result["FDR q-val"].astype(float).clip(lower=smallest),
            "leading_edge": result["Lead_genes"].astype(str),
        }
    )
    return table.sort_values(["p_value", "gene_set"], ignore_index=True)
