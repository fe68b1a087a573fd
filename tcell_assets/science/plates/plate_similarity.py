"""Which plates look alike, and which two seem to have changed places, by their maps and by their mean expression."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from tcell_assets.science.conditions import conditions, is_treated
from tcell_assets.science.plates.settings import SwapThresholds
from tcell_assets.science.well_join import rows_for_wells

PAIR_COLUMNS = ("plate_a", "plate_b", "batch_a", "batch_b", "n_wells", "correlation", "same_treatment")

# Plate effects along one axis and no batches: a rule that asked the plates of the two batches alone named a pair in 22
# of 100 screens of 3 × 3 plates, one that asks all of them in none of 300.
REST_AT_HOME = 0.95


@dataclass(frozen=True)
class SuspectedSwap:
    """Two plates of different batches, each of which looks like a plate of the other's batch.

    Attributes:
        plates: `<batch>_<plate>` of the two.
        correlation_to_own_batch: each one's median correlation to the other plates of its own batch.
        correlation_to_other_batch: each one's median correlation to the plates of the other's batch, the other
            suspect left out.
        finding: the suspicion in words.
    """

    plates: tuple[str, str]
    correlation_to_own_batch: tuple[float, float]
    correlation_to_other_batch: tuple[float, float]
    finding: str


def plate_similarity(
    values: pd.DataFrame, wells: pd.DataFrame, thresholds: SwapThresholds | None = None
) -> pd.DataFrame:
    """Correlate every pair of plate maps, well by well at common positions.

    Args:
        values: one numeric column per variable whose maps are compared, index `well_id`.
        wells: `well_id, batch, plate, row, column` of at least these wells and, where known, `metabolite`.
        thresholds: `SwapThresholds()` by default.

    Returns:
        One row per pair of plates: `plate_a, plate_b` (as `<batch>_<plate>`), `batch_a, batch_b`, `n_wells` in common,
        `correlation`: the median over variables of Pearson's r, missing where it cannot be computed. No row where
        there is no variable or no well. `same_treatment` is the share of the common wells that hold the same
        treatment, DMSO left out; missing where no treatment is known.

    Raises:
        ValueError: a well has no row in `wells`.
    """
    thresholds = thresholds or SwapThresholds()
    if values.empty:
        return pd.DataFrame(columns=[*PAIR_COLUMNS])
    layout = rows_for_wells(wells, values.index, "wells")
    plate = layout["batch"] + "_" + layout["plate"]
    batch_of = dict(zip(plate, layout["batch"], strict=True))
    plates = sorted(batch_of)
    maps = pd.concat([layout[["row", "column"]], values.astype(float)], axis=1).assign(
        plate=plate, is_there=1.0
    )
    by_position = maps.pivot(index=["row", "column"], columns="plate")
    is_there = by_position["is_there"][plates].fillna(0.0).to_numpy()
    n_common = is_there.T @ is_there
    correlations = []
    for variable in values.columns:
        map_of_plate = pd.DataFrame(by_position[variable]).reindex(columns=plates)
        correlations.append(map_of_plate.corr(min_periods=thresholds.fewest_common_wells).to_numpy())
    rows = []
    for a, b in combinations(range(len(plates)), 2):
        known = [matrix[a, b] for matrix in correlations if np.isfinite(matrix[a, b])]
        rows.append(
            {
                "plate_a": plates[a],
                "plate_b": plates[b],
                "batch_a": batch_of[plates[a]],
                "batch_b": batch_of[plates[b]],
                "n_wells": int(n_common[a, b]),
                "correlation": float(np.median(known)) if known else np.nan,
            }
        )
    pairs = pd.DataFrame(rows, columns=[*PAIR_COLUMNS])
    return pairs.assign(same_treatment=_same_treatment(pairs, layout.assign(plate=plate)))


def _same_treatment(pairs: pd.DataFrame, layout: pd.DataFrame) -> list[float]:
    """Share of each pair's common wells with one treatment in both, DMSO left out."""
    if "metabolite" not in layout:
        return [np.nan] * len(pairs)
    treated = layout[is_treated(layout)] if "is_dmso" in layout else layout
    treatments = treated.assign(treatment=conditions(treated).astype(str)).pivot(
        index=["row", "column"], columns="plate", values="treatment"
    )
    shares = []
    for pair in pairs.itertuples():
        if not {pair.plate_a, pair.plate_b} <= set(treatments.columns):
            shares.append(np.nan)
            continue
        both = treatments[[pair.plate_a, pair.plate_b]].dropna()
        same = both[pair.plate_a] == both[pair.plate_b]
        shares.append(float(same.mean()) if len(both) else np.nan)
    return shares


def suspected_swaps(
    similarity: pd.DataFrame, thresholds: SwapThresholds | None = None
) -> list[SuspectedSwap]:
    """Find the pairs of plates that look exchanged between their batches.

    Args:
        similarity: what `plate_similarity` returned for all batches together.
        thresholds: `SwapThresholds()` by default.

    Returns:
        The suspected pairs, ordered by name. None where a batch has fewer than 3 plates. Plates of the same treatments
        are no witnesses: each suspect is judged against plates of other treatments.
    """
    thresholds = thresholds or SwapThresholds()
    witnesses = similarity
    if "same_treatment" in similarity:
        witnesses = similarity[~(similarity["same_treatment"] > thresholds.same_treatment)]
    forward = witnesses[["plate_a", "plate_b", "batch_a", "batch_b", "correlation"]]
    backward = forward.rename(
        columns={"plate_a": "plate_b", "plate_b": "plate_a", "batch_a": "batch_b", "batch_b": "batch_a"}
    )
    both_ways = pd.concat([forward, backward], ignore_index=True)

    def correlations(plate: str, batch: str, without: str) -> pd.Series:
        chosen = (
            (both_ways["plate_a"] == plate)
            & (both_ways["batch_b"] == batch)
            & (both_ways["plate_b"] != without)
        )
        return both_ways.loc[chosen, "correlation"]

    named = pd.concat(
        [similarity[[f"plate_{side}", f"batch_{side}"]].set_axis(["plate", "batch"], axis=1) for side in "ab"]
    ).drop_duplicates()
    plates_in = named["batch"].value_counts()
    suspects = []
    across = similarity[similarity["batch_a"] != similarity["batch_b"]]
    for pair in across.sort_values(["plate_a", "plate_b"]).itertuples():
        first, second = str(pair.plate_a), str(pair.plate_b)
        batches = str(pair.batch_a), str(pair.batch_b)
        if min(plates_in[batch] for batch in batches) < thresholds.fewest_plates:
            continue
        to_own = correlations(first, batches[0], second), correlations(second, batches[1], first)
        to_other = correlations(first, batches[1], second), correlations(second, batches[0], first)
        own = float(to_own[0].median()), float(to_own[1].median())
        other = float(to_other[0].median()), float(to_other[1].median())
        # Where every plate of the other batch is nearer than every one of its own, a smaller margin tells as much.
        is_apart = all(to_other[plate].min() > to_own[plate].max() for plate in (0, 1))
        margin = thresholds.margin_apart if is_apart else thresholds.margin
        # A comparison with a missing correlation is false, so an unjudgeable pair is never suspected.
        if all(
            other[plate] - own[plate] > margin and other[plate] >= thresholds.minimum_correlation
            for plate in (0, 1)
        ):
            suspects.append(
                SuspectedSwap(
                    plates=(first, second),
                    correlation_to_own_batch=own,
                    correlation_to_other_batch=other,
                    finding=f"{first} looks like a plate of {batches[1]} (correlation {other[0]:.2f}; own batch "
                    f"{own[0]:.2f}) and {second} like one of {batches[0]} ({other[1]:.2f}; own {own[1]:.2f}). Check "
                    "whether the two plates were exchanged before trusting either.",
                )
            )
    return suspects


def plate_profiles(expression: pd.DataFrame, wells: pd.DataFrame) -> pd.DataFrame:
    """Mean expression of each plate's wells: index `<batch>_<plate>`, one column a gene."""
    layout = rows_for_wells(wells, expression.index.tolist(), "wells")
    plate = (layout["batch"].astype(str) + "_" + layout["plate"].astype(str)).to_numpy()
    profiles: pd.DataFrame = expression.groupby(plate).mean()
    return profiles


def swaps_by_profile(
    profiles: pd.DataFrame, similarity: pd.DataFrame, thresholds: SwapThresholds | None = None
) -> list[SuspectedSwap]:
    """Find pairs of plates whose mean expression is that of the other's batch.

    Batches differ in hundreds of genes and plates of a batch in few, so a mean profile tells batches apart whose maps
    share their pattern. Where batches do not differ, a plate effect along one axis puts plates on either side by
    chance; so all other plates of the screen (19 of 20) must resemble their own batch most, and with two batches,
    where chance does that in one screen of eight, nothing is judged.

    Args:
        profiles: As `plate_profiles` returns for all batches, their shared genes.
        similarity: As `plate_similarity` returns for them; plates of the same treatments are no witnesses.
        thresholds: `SwapThresholds()` by default.

    Returns:
        The suspected pairs, ordered by name; none with fewer than three batches, or where a batch has fewer than 3
        plates.
    """
    thresholds = thresholds or SwapThresholds()
    batch_of = {
        str(plate): str(batch)
        for side in "ab"
        for plate, batch in zip(similarity[f"plate_{side}"], similarity[f"batch_{side}"], strict=True)
    }
    plates = [str(plate) for plate in profiles.index if plate in batch_of]
    at = {plate: number for number, plate in enumerate(plates)}
    batches = sorted({batch_of[plate] for plate in plates})
    members = {
        batch: np.array([at[plate] for plate in plates if batch_of[plate] == batch]) for batch in batches
    }
    if len(members) < 3:
        return []
    values = profiles.loc[plates].to_numpy(dtype=np.float64)
    correlation = np.corrcoef(values - values.mean(axis=0))
    if "same_treatment" in similarity:
        for pair in similarity[similarity["same_treatment"] > thresholds.same_treatment].itertuples():
            if pair.plate_a in at and pair.plate_b in at:
                here, there = at[str(pair.plate_a)], at[str(pair.plate_b)]
                correlation[here, there] = correlation[there, here] = np.nan

    def likeness(plate: str, batch: str, *without: str) -> float:
        left_out = {at[plate], *(at[other] for other in without)}
        known = [correlation[at[plate], place] for place in members[batch] if place not in left_out]
        known = [value for value in known if np.isfinite(value)]
        return float(np.median(known)) if known else np.nan

    def resembles_other(plate: str, other: str) -> bool:
        own, foreign = likeness(plate, batch_of[plate], other), likeness(plate, batch_of[other], other)
        return foreign - own > thresholds.profile_margin and foreign >= thresholds.minimum_correlation

    def is_at_home(plate: str, *suspects: str) -> bool:
        own = likeness(plate, batch_of[plate], *suspects)
        return all(
            own - likeness(plate, batch, *suspects) > thresholds.profile_rest
            for batch in batches
            if batch != batch_of[plate]
        )

    away = [
        plate
        for plate in plates
        if len(members[batch_of[plate]]) >= thresholds.fewest_plates and not is_at_home(plate)
    ]
    suspects = []
    for first, second in combinations(sorted(away), 2):
        of_first, of_second = batch_of[first], batch_of[second]
        if of_first == of_second or not (resembles_other(first, second) and resembles_other(second, first)):
            continue
        rest = [plate for plate in plates if plate not in (first, second)]
        if np.mean([is_at_home(plate, first, second) for plate in rest]) < REST_AT_HOME:
            continue
        own = likeness(first, of_first, second), likeness(second, of_second, first)
        other = likeness(first, of_second, second), likeness(second, of_first, first)
        suspects.append(
            SuspectedSwap(
                plates=(first, second),
                correlation_to_own_batch=own,
                correlation_to_other_batch=other,
                finding=f"mean expression of {first} is like that of {of_second} (correlation {other[0]:.2f}; own "
                f"batch {own[0]:.2f}) and that of {second} like {of_first} ({other[1]:.2f}; own {own[1]:.2f}). "
                "Check whether the two plates were exchanged before trusting either.",
            )
        )
    return suspects
