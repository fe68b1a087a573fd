"""Gene importance of a whole screen from the importance of its batches."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from tcell_assets.science.well_join import some_names

# Tables of two models, heads or methods are different quantities; their mean means nothing.
MUST_AGREE = ("head", "method", "model_version")


def rank_genes(per_batch: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Importance over all wells: the well-weighted mean of the batches' importance.

    With n_b wells in batch b and I_gb = mean_i∈b |x_ig ∂ŷ_i/∂x_ig|, the published global importance
    I_g = (1/N) Σ_i |x_ig ∂ŷ_i/∂x_ig| equals Σ_b n_b I_gb / Σ_b n_b exactly.

    Args:
        per_batch: A table a batch: `gene, importance, signed_importance, n_wells, head, method`, and
            `model_version` where known; every table over the same genes.

    Returns:
        `rank, gene, importance, signed_importance, n_wells, head, method` (and `model_version`), sorted by
        importance, descending, equal ones by gene name.

    Raises:
        ValueError: No batch, no wells, tables of different heads, methods, models or genes, a gene twice, or
            importance that is not finite.
    """
    if not per_batch:
        raise ValueError("gene importance: no batch to rank. Score at least one batch.")
    agreed = {
        column: _only_value(per_batch, column)
        for column in MUST_AGREE
        if any(column in table for table in per_batch.values())
    }
    first_batch, first = next(iter(per_batch.items()))
    genes = first["gene"].tolist()
    weights, importance, signed = [], [], []
    for batch, table in per_batch.items():
        if not table["gene"].is_unique:
            repeated = set(table.loc[table["gene"].duplicated(), "gene"])
            raise ValueError(f"gene importance of batch {batch}: genes listed twice: {some_names(repeated)}")
        different = set(genes) ^ set(table["gene"])
        if different:
            raise ValueError(
                f"gene importance: batches {first_batch} and {batch} differ in {len(different)} gene(s): "
                f"{some_names(different)}. Score both with the same model."
            )
        aligned = table.set_index("gene").loc[genes]
        values = aligned[["importance", "signed_importance"]].to_numpy(dtype=np.float64)
        if not np.isfinite(values).all():
            broken = set(aligned.index[~np.isfinite(values).all(axis=1)])
            raise ValueError(f"gene importance of batch {batch}: not finite for {some_names(broken)}")
        weights.append(_wells_of(batch, table))
        importance.append(values[:, 0])
        signed.append(values[:, 1])
    ranking = pd.DataFrame(
        {
            "gene": genes,
            "importance": np.average(importance, axis=0, weights=weights),
            "signed_importance": np.average(signed, axis=0, weights=weights),
            "n_wells": sum(weights),
            **agreed,
        }
    )
    ranking = ranking.sort_values(["importance", "gene"], ascending=[False, True], ignore_index=True)
    ranking.insert(0, "rank", np.arange(1, len(ranking) + 1))
    return ranking


def _only_value(per_batch: Mapping[str, pd.DataFrame], column: str) -> str:
    found: dict[str, list[str]] = {}
    for batch, table in per_batch.items():
        values = table[column].unique() if column in table else ["not stated"]
        for value in values:
            found.setdefault(str(value), []).append(batch)
    if len(found) != 1:
        listing = "; ".join(f"{value} in {some_names(batches)}" for value, batches in found.items())
        raise ValueError(
            f"gene importance: batches differ in {column}: {listing}. Score them again with one {column}."
        )
    return next(iter(found))


def _wells_of(batch: str, table: pd.DataFrame) -> int:
    counts = table["n_wells"].unique()
    if len(counts) != 1 or counts[0] < 1:
        raise ValueError(
            f"gene importance of batch {batch}: n_wells must be one positive number for all genes, found "
            f"{sorted(counts.tolist())}"
        )
    return int(counts[0])


def importance_stability(members: Mapping[str, pd.DataFrame], *, top: int = 50) -> pd.DataFrame:
    """How far the members of an ensemble agree on each gene.

    Args:
        members: A ranking a member, each as `rank_genes` returns it, of one head and method.
        top: A gene counts as found by a member when it is among this many.

    Returns:
        `gene, mean_importance, sd_importance, mean_rank, sd_rank, share_in_top, n_members`, by mean rank; sd with
        divisor n − 1.

    Raises:
        ValueError: Fewer than 2 members, or members of different genes, heads or methods.
    """
    if len(members) < 2:
        raise ValueError(f"stability needs at least 2 members, found {len(members)}")
    for column in ("head", "method"):
        _only_value(members, column)
    first = next(iter(members.values()))
    genes = sorted(first["gene"])
    for name, table in members.items():
        if sorted(table["gene"]) != genes:
            raise ValueError(f"gene importance: member {name} ranks other genes than the first one")
    by_gene = [table.set_index("gene").loc[genes] for table in members.values()]
    importance = np.stack([table["importance"].to_numpy(dtype=np.float64) for table in by_gene])
    rank = np.stack([table["rank"].to_numpy(dtype=np.float64) for table in by_gene])
    stability = pd.DataFrame(
        {
            "gene": genes,
            "mean_importance": importance.mean(axis=0),
            "sd_importance": importance.std(axis=0, ddof=1),
            "mean_rank": rank.mean(axis=0),
            "sd_rank": rank.std(axis=0, ddof=1),
            "share_in_top": (rank <= top).mean(axis=0),
            "n_members": len(members),
        }
    )
    return stability.sort_values(["mean_rank", "gene"], ignore_index=True)
