"""Scores of every treatment over all batches, from the distances and predictions of its replicates."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tcell_assets.science.conditions import conditions, is_treated
from tcell_assets.science.screen.distances import DISTANCES
from tcell_assets.science.well_join import rows_for_wells, usable_wells
from tcell_assets.targets import known_targets


def score_metabolites(
    wells: pd.DataFrame,
    predictions: pd.DataFrame,
    distances: pd.DataFrame,
    *,
    usable: pd.Series | None = None,
    hits: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Mean, standard deviation and number of each metabolite's distances and predictions.

    Metabolites are ranked by the hit calls where they are given (`rank` of `hit_calling.call_hits`),
    otherwise by the mean Euclidean distance to DMSO, largest first. The latent norm ‖z‖ is never used: it
    measures the distance to an arbitrary origin, not to DMSO.

    Args:
        wells: Well metadata of all batches: `well_id, metabolite, is_dmso` and, where known, `condition, well_type`.
        predictions: `well_id` and the predictions of the targets that are averaged over metabolites
            (`Target.is_of_metabolites`); one that is not there is empty.
        distances: `well_id` and the columns of `distances.DISTANCES`; one that is not there is empty.
        usable: Booleans indexed by `well_id`; wells marked False enter no score.
        hits: `metabolite, rank` of the same screen.

    Returns:
        `rank, metabolite, n_wells` and `mean_…, sd_…, n_…` of each quantity, best rank first; `sd_…` has
        divisor n − 1 and is NaN for one well, `n_…` counts the finite values. `n_wells` counts usable wells;
        a metabolite without any keeps its row, without values, and has no rank. DMSO, medium and empty wells are not
        in the table. `metabolite` is the condition's name, which is the metabolite's own in a screen without factors.

    Raises:
        ValueError: A well has no prediction or no distance, or a metabolite no hit call.
    """
    predicted = [target.prediction for target in known_targets() if target.is_of_metabolites]
    treated = wells.loc[is_treated(wells)]
    condition = conditions(treated).to_numpy()
    well_ids = treated["well_id"].tolist()
    values = pd.concat(
        [
            rows_for_wells(distances, well_ids, "distances").reindex(columns=list(DISTANCES)),
            rows_for_wells(predictions, well_ids, "predictions").reindex(columns=predicted),
        ],
        axis=1,
    ).astype(np.float64)
    allowed = usable_wells(usable, well_ids)
    grouped = values.where(allowed, other=np.nan).groupby(condition)

    columns: dict[str, pd.Series] = {"n_wells": allowed.groupby(condition).sum().astype(int)}
    for quantity in (*DISTANCES, *predicted):
        columns[f"mean_{quantity}"] = grouped[quantity].mean()
        columns[f"sd_{quantity}"] = grouped[quantity].std(ddof=1)
        columns[f"n_{quantity}"] = grouped[quantity].count().astype(int)
    scores = pd.DataFrame(columns).rename_axis("metabolite").reset_index()
    scores.insert(0, "rank", _rank(scores, hits))
    return scores.sort_values(["rank", "metabolite"], na_position="last", ignore_index=True)


def _rank(scores: pd.DataFrame, hits: pd.DataFrame | None) -> pd.Series:
    if hits is None:
        by_distance = scores["mean_euclidean"].rank(ascending=False, method="first")
        return by_distance.astype("Int64")
    known = hits.set_index("metabolite")["rank"]
    missing = sorted(set(scores["metabolite"]) - set(known.index))
    if missing:
        raise ValueError(f"hits: no call for metabolite(s) {missing[:5]}. Call hits on the same wells first.")
    return scores["metabolite"].map(known).astype("Int64")
