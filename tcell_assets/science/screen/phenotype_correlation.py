"""Correlation of distances, direction and latent axes with the scores, before and after position adjustment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tcell_assets.science.conditions import compounds, is_treated
from tcell_assets.science.evaluation.prediction_metrics import bootstrap_weights, pearson, spearman
from tcell_assets.science.plates.position import adjust_for_position
from tcell_assets.science.plates.settings import Adjustment
from tcell_assets.science.well_join import rows_for_wells, usable_wells
from tcell_assets.targets import Target, known_targets, names_of, scores


def phenotype_correlation(
    quantities: pd.DataFrame,
    wells: pd.DataFrame,
    *,
    adjustment: Adjustment = "median_polish",
    usable: pd.Series | None = None,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 614,
    targets: Sequence[Target] | None = None,
) -> pd.DataFrame:
    """Pearson's and Spearman's correlation of every quantity with every score over the treated wells.

    A correlation that is there before the adjustment and gone after it is the plate's, not the compound's.

    Args:
        quantities: `well_id` and numeric columns: distances, direction, latent axes. Missing values are left out
            pair by pair.
        wells: `well_id, batch, plate, row, column, metabolite, is_dmso` and the scores.
        adjustment: What is taken out of quantity and score for the adjusted rows, see
            `position.adjust_for_position`.
        usable: Booleans indexed by `well_id`; wells marked False count nowhere.
        draws: Draws of the bootstrap over metabolites.
        level: Of the percentile intervals.
        seed: Of the bootstrap.
        targets: Whose evaluated numbers are the scores, by default every target of the installation.

    Returns:
        `quantity, target, adjusted, pearson, pearson_low, pearson_high, spearman, spearman_low, spearman_high,
        n_wells`; NaN where fewer than 3 wells have both values or one does not vary.
    """
    well_ids = wells["well_id"].tolist()
    allowed = usable_wells(usable, well_ids)
    compared = names_of(scores(known_targets() if targets is None else targets))
    names = [str(name) for name in quantities.columns if name != "well_id"]
    metadata = rows_for_wells(wells, well_ids, "well metadata")
    values = rows_for_wells(quantities, well_ids, "quantities")[names].join(
        metadata.reindex(columns=compared).apply(pd.to_numeric, errors="coerce")
    )
    values = values.astype(np.float64)
    counted = pd.Series(is_treated(metadata), index=metadata.index) & allowed
    versions = {False: values, True: adjust_for_position(values, wells, adjustment, usable=usable)}
    groups = compounds(metadata).astype(str)
    rows = []
    for adjusted, table in versions.items():
        for target in compared:
            for name in names:
                pair = table.loc[counted, [name, target]].dropna()
                row = {"quantity": name, "target": target, "adjusted": adjusted, "n_wells": len(pair)}
                weights = (
                    bootstrap_weights(groups.loc[pair.index].to_numpy(), draws, seed)
                    if len(pair) > 2
                    else None
                )
                for kind, function in (("pearson", pearson), ("spearman", spearman)):
                    correlation = (
                        np.full(2, np.nan)
                        if weights is None
                        else function(pair[name].to_numpy(), pair[target].to_numpy(), weights)
                    )
                    drawn = correlation[1:][np.isfinite(correlation[1:])]
                    tails = [(1 - level) / 2, (1 + level) / 2]
                    low, high = np.quantile(drawn, tails) if len(drawn) else (np.nan, np.nan)
                    row |= {kind: correlation[0], f"{kind}_low": low, f"{kind}_high": high}
                rows.append(row)
    order = ["quantity", "target", "adjusted"]
    intervals = [f"{kind}{end}" for kind in ("pearson", "spearman") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows)[[*order, *intervals, "n_wells"]]
