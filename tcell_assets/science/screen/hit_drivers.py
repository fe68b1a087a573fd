"""The genes that move a head most in each hit, from Integrated Gradients of its wells."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tcell_assets.science.conditions import conditions
from tcell_assets.science.screen.hit_calling import HIT_CLASSES
from tcell_assets.science.well_join import some_names


def hit_drivers(
    by_gene: pd.DataFrame, wells: pd.DataFrame, hits: pd.DataFrame, *, top: int = 20
) -> pd.DataFrame:
    """The genes that move the head most in each hit.

    Args:
        by_gene: Attribution of wells × genes, index `well_id`, as `Attribution.by_gene`.
        wells: `well_id, metabolite` and, where known, `condition` of at least these wells.
        hits: `metabolite, hit_class, rank`, as `hit_calling.call_hits` returns.
        top: Genes a hit.

    Returns:
        `metabolite, hit_class, driver_rank, gene, attribution, n_replicates, n_same_sign`: the mean over the
        metabolite's wells, in the head's unit, largest magnitude first, and in how many wells it has that sign;
        hits in the order of their rank.

    Raises:
        ValueError: A hit has no attributed well.
    """
    metabolite_of = conditions(wells.set_index("well_id")).loc[by_gene.index]
    called = hits[hits["hit_class"].isin(HIT_CLASSES)].sort_values("rank")
    missing = set(called["metabolite"]) - set(metabolite_of)
    if missing:
        raise ValueError(f"hit drivers: no attribution of any well of {some_names(missing)}")
    tables = []
    for metabolite, hit_class in zip(called["metabolite"], called["hit_class"], strict=True):
        own = by_gene[(metabolite_of == metabolite).to_numpy()].to_numpy(dtype=np.float64)
        mean = own.mean(axis=0)
        chosen = np.lexsort((by_gene.columns.to_numpy(dtype=str), -np.abs(mean)))[:top]
        tables.append(
            pd.DataFrame(
                {
                    "metabolite": metabolite,
                    "hit_class": hit_class,
                    "driver_rank": np.arange(1, len(chosen) + 1),
                    "gene": by_gene.columns[chosen],
                    "attribution": mean[chosen],
                    "n_replicates": len(own),
                    "n_same_sign": (np.sign(own[:, chosen]) == np.sign(mean[chosen])).sum(axis=0),
                }
            )
        )
    columns = ["metabolite", "hit_class", "driver_rank", "gene", "attribution", "n_replicates", "n_same_sign"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)
