"""Hit calling: replicate agreement that the position of the wells cannot explain, and its direction."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from tcell_assets.science.screen.replicate_design import ReplicateDesign, replicate_design
from tcell_assets.science.screen.settings import HitRule
from tcell_assets.science.well_join import rows_for_wells, some_names, usable_wells

HIT_CLASSES = ("activator", "suppressor", "active_other")
CLASSES = (*HIT_CLASSES, "position_suspect", "inconclusive", "inactive")


def call_hits(
    adjusted: pd.DataFrame,
    unadjusted: pd.DataFrame,
    wells: pd.DataFrame,
    *,
    usable: pd.Series | None = None,
    rule: HitRule | None = None,
) -> pd.DataFrame:
    """Class, statistics, reason and rank of every metabolite.

    With d_i the features of well i minus the mean of the usable DMSO wells of its batch:

    - statistic: T = mean over pairs (a, b) of replicates in different batches of d_a·d_b, an unbiased estimate
      of the squared effect, because the noise of two batches is independent; strength = √max(T, 0);
    - null 1: T of non-replicate wells drawn with the metabolite's number of wells in each batch; null 2: the
      same with all wells at one row and column, used for metabolites whose replicates share a row or a column
      (a position they do not share cannot make them agree) when `minimum_matched_sets` such sets exist.
      p = (1 + #{T_null ≥ T}) / (1 + #null); `p_replicate` is the larger, `q_replicate` its Benjamini–Hochberg
      value over metabolites. Metabolites called in one round are left out of the next round's null, since
      two strong metabolites that act alike are non-replicates that agree;
    - direction: projection of d on the resting→activated axis, the difference of the class means of the other
      fold's wells, divided by its squared length so that the class distance is 1. The test takes the smallest
      projection of the replicates where all have one sign, otherwise 0, against the same nulls, both sides.

    Args:
        adjusted: `well_id` and one numeric column a feature (latent axes or principal components), position
            effects removed.
        unadjusted: The same features before the adjustment, same wells.
        wells: `well_id, batch, plate, row, column, metabolite, is_dmso, is_activated`; `is_activated` may hold
            missing values, a screen without labels has no direction.
        usable: Booleans indexed by `well_id`; wells marked False count nowhere.
        rule: Settings, by default `HitRule()`.

    Returns:
        One row a metabolite, best rank first: `rank, metabolite, hit_class, reason, n_replicates, strength,
        replicate_statistic, p_null, p_position_matched, p_replicate, q_replicate, direction,
        direction_standard_error, p_direction, q_direction, q_null, n_null, n_position_matched,
        replicates_share_position` and, before
        the adjustment, `replicate_statistic_unadjusted, p_null_unadjusted, q_null_unadjusted, p_replicate_unadjusted,
        q_replicate_unadjusted`. `n_null` and `n_position_matched` count the sets of the two nulls,
        `replicates_share_position` says whether null 2 is called for. Statistics without meaning (one replicate,
        no labels, null 2 not used) are NaN.

    Raises:
        ValueError: The tables hold different wells, a feature is not finite, or a batch has no usable DMSO.
    """
    rule = rule or HitRule()
    metadata, allowed = _treated_wells(wells, usable)
    design = replicate_design(metadata, rule.replicate_unit, rule.draws, rule.minimum_matched_sets, rule.seed)
    displaced = _displacements(adjusted, wells, allowed, metadata, "adjusted features")
    displaced_unadjusted = _displacements(unadjusted, wells, allowed, metadata, "unadjusted features")

    calls = _replicate_agreement(displaced, design, rule)
    before = _replicate_agreement(displaced_unadjusted, design, rule)
    for column in ("replicate_statistic", "p_null", "q_null", "p_replicate", "q_replicate"):
        calls[f"{column}_unadjusted"] = before[column]
    projection = _projection(displaced, metadata, design, rule)
    called = (calls["q_replicate"] < rule.level).to_numpy()
    calls = calls.join(_direction(projection, design, called))
    calls = _with_metabolites_without_wells(calls, wells.loc[~wells["is_dmso"].astype(bool), "metabolite"])
    described = [_class_and_reason(call, rule) for call in calls.to_dict("records")]
    calls["hit_class"] = [name for name, _ in described]
    calls["reason"] = [reason for _, reason in described]
    return _ranked(calls)


def _treated_wells(wells: pd.DataFrame, usable: pd.Series | None) -> tuple[pd.DataFrame, pd.Series]:
    """Metadata of the usable treated wells, indexed by well_id, and the verdict on every well."""
    well_ids = wells["well_id"].tolist()
    metadata = rows_for_wells(wells, well_ids, "well metadata")
    allowed = usable_wells(usable, well_ids)
    # Sorted, so that the null draws do not depend on the order of the table.
    return metadata[~metadata["is_dmso"].astype(bool) & allowed].sort_index(), allowed


def _displacements(
    features: pd.DataFrame, wells: pd.DataFrame, allowed: pd.Series, metadata: pd.DataFrame, name: str
) -> np.ndarray:
    """Displacement d of the usable treated wells: features minus the mean of their batch's usable DMSO wells."""
    aligned = rows_for_wells(features, wells["well_id"].tolist(), name).astype(np.float64)
    needed = aligned[allowed]
    finite = np.isfinite(needed.to_numpy()).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"{name}: not finite in {some_names(set(needed.index[~finite]))}. "
            "Exclude these wells by quality control or compute their features again."
        )
    batch_of = wells.set_index("well_id")["batch"].astype(str)
    is_dmso = wells.set_index("well_id")["is_dmso"].astype(bool)
    centres = aligned[is_dmso & allowed].groupby(batch_of[is_dmso & allowed]).mean()
    without = set(metadata["batch"].astype(str)) - set(centres.index)
    if without:
        raise ValueError(f"hit calling: no usable DMSO well in batch(es) {some_names(without)}.")
    centre = centres.loc[metadata["batch"].astype(str).tolist()].to_numpy()
    return aligned.loc[metadata.index].to_numpy() - centre


def _agreement(displaced: np.ndarray, sets: np.ndarray, slots: np.ndarray) -> np.ndarray:
    """Mean of d_a·d_b over the pairs of a set in different units, for every set."""
    units = np.unique(slots)
    # Column by column: gathering all replicates of 100 000 sets at once would take 1 GB for a control of 40 wells.
    sums = np.zeros((len(units), len(sets), displaced.shape[1]))
    for column, unit in enumerate(np.searchsorted(units, slots)):
        sums[unit] += displaced[sets[:, column]]
    total = sums.sum(axis=0)
    products = ((total**2).sum(axis=1) - (sums**2).sum(axis=(0, 2))) / 2
    sizes = np.array([(slots == unit).sum() for unit in units])
    pairs = (sizes.sum() ** 2 - (sizes**2).sum()) / 2
    return np.asarray(products / pairs)


def _share_at_least(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """(1 + #{null ≥ observed}) / (1 + #null): a p-value that is never 0 (Phipson & Smyth 2010)."""
    above = len(null) - np.searchsorted(np.sort(null), observed, side="left")
    return np.asarray((1 + above) / (1 + len(null)))


def _benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Benjamini–Hochberg q over the finite p-values; NaN elsewhere."""
    q = np.full(len(p), np.nan)
    known = np.isfinite(p)
    if known.any():
        q[known] = stats.false_discovery_control(p[known], method="bh")
    return q


def _replicate_agreement(displaced: np.ndarray, design: ReplicateDesign, rule: HitRule) -> pd.DataFrame:
    """Replicate statistic, p of both nulls and q of every metabolite, in the order of the design's names."""
    count = len(design.names)
    statistic = np.full(count, np.nan)
    n_null, n_matched = np.zeros(count, dtype=int), np.zeros(count, dtype=int)
    shares_position = np.zeros(count, dtype=bool)
    scored = []
    for pattern in design.patterns:
        statistic[pattern.metabolites] = _agreement(displaced, pattern.members, pattern.slots)
        shares_position[pattern.metabolites] = pattern.shares_position
        scored.append(
            (
                _agreement(displaced, pattern.null, pattern.slots),
                _agreement(displaced, pattern.matched_null, pattern.slots),
            )
        )
    called = np.zeros(count, dtype=bool)
    for _ in range(rule.null_rounds):
        p_null, p_matched = np.full(count, np.nan), np.full(count, np.nan)
        for pattern, (null, matched) in zip(design.patterns, scored, strict=True):
            observed = statistic[pattern.metabolites]
            kept = ~called[design.wells.metabolite[pattern.null]].any(axis=1)
            n_null[pattern.metabolites] = kept.sum()
            p_null[pattern.metabolites] = _share_at_least(observed, null[kept])
            if len(matched):
                kept = ~called[design.wells.metabolite[pattern.matched_null]].any(axis=1)
                tested = pattern.metabolites[pattern.shares_position]
                n_matched[tested] = kept.sum()
                p_matched[tested] = _share_at_least(statistic[tested], matched[kept])
        p_replicate = np.fmax(p_null, p_matched)
        q_replicate = _benjamini_hochberg(p_replicate)
        now = q_replicate < rule.level
        if (now == called).all():
            break
        called = now
    return pd.DataFrame(
        {
            "metabolite": design.names,
            "n_replicates": np.bincount(design.wells.metabolite, minlength=count),
            "strength": np.sqrt(np.maximum(statistic, 0.0)),
            "replicate_statistic": statistic,
            "p_null": p_null,
            "p_position_matched": p_matched,
            "p_replicate": p_replicate,
            "q_replicate": q_replicate,
            "q_null": _benjamini_hochberg(p_null),
            "n_null": n_null,
            "n_position_matched": n_matched,
            "replicates_share_position": shares_position,
        }
    )


def _projection(
    displaced: np.ndarray, metadata: pd.DataFrame, design: ReplicateDesign, rule: HitRule
) -> np.ndarray:
    """Place of every well on the resting→activated axis of the other fold; all NaN where a class is missing."""
    generator = np.random.default_rng([rule.seed, 1])
    fold = generator.permutation(len(design.names))[design.wells.metabolite] % 2
    label = pd.to_numeric(metadata["is_activated"], errors="coerce").to_numpy(dtype=np.float64)
    projection = np.full(len(displaced), np.nan)
    for own in (0, 1):
        activated, resting = (fold != own) & (label == 1), (fold != own) & (label == 0)
        if not activated.any() or not resting.any():
            return np.full(len(displaced), np.nan)
        axis = displaced[activated].mean(axis=0) - displaced[resting].mean(axis=0)
        projection[fold == own] = displaced[fold == own] @ axis / (axis @ axis)
    return projection


def _concordant_minimum(projection: np.ndarray, sets: np.ndarray) -> np.ndarray:
    """Smallest projection of a set where all have one sign, with that sign; 0 where signs differ."""
    members = projection[sets]
    return np.asarray(np.maximum(members.min(axis=1), 0.0) + np.minimum(members.max(axis=1), 0.0))


def _direction(projection: np.ndarray, design: ReplicateDesign, called: np.ndarray) -> pd.DataFrame:
    """Direction with standard error, and its p and q; rows in the order of the design's names."""
    count = len(design.names)
    columns = ["direction", "direction_standard_error", "p_direction", "q_direction"]
    if not np.isfinite(projection).all():
        return pd.DataFrame(np.nan, index=range(count), columns=columns)
    n = np.bincount(design.wells.metabolite, minlength=count)
    direction = np.bincount(design.wells.metabolite, weights=projection, minlength=count) / n
    residual = projection - direction[design.wells.metabolite]
    # Two replicates estimate a standard deviation with one degree of freedom, so the wells are pooled.
    pooled = np.sqrt(np.sum(residual**2) / max(np.sum(n - 1), 1))
    p = np.full(count, np.nan)
    for pattern in design.patterns:
        observed = _concordant_minimum(projection, pattern.members)
        p[pattern.metabolites] = _both_sides(projection, observed, pattern.null, design, called)
        if len(pattern.matched_null):
            matched = _both_sides(projection, observed, pattern.matched_null, design, called)
            tested = pattern.metabolites[pattern.shares_position]
            p[tested] = np.maximum(p[tested], matched[pattern.shares_position])
    values = (direction, pooled / np.sqrt(n), p, _benjamini_hochberg(p))
    return pd.DataFrame(dict(zip(columns, values, strict=True)))


def _both_sides(
    projection: np.ndarray,
    observed: np.ndarray,
    sets: np.ndarray,
    design: ReplicateDesign,
    called: np.ndarray,
) -> np.ndarray:
    """Two-sided p of concordant minima against those of null sets without called metabolites."""
    null = _concordant_minimum(projection, sets[~called[design.wells.metabolite[sets]].any(axis=1)])
    upper, lower = _share_at_least(observed, null), _share_at_least(-observed, -null)
    return np.minimum(1.0, 2 * np.minimum(upper, lower))


def _with_metabolites_without_wells(calls: pd.DataFrame, treated: pd.Series) -> pd.DataFrame:
    """Adds an empty row for every metabolite whose wells all failed quality control."""
    everything = pd.DataFrame({"metabolite": sorted(set(treated.astype(str)))})
    calls = everything.merge(calls, on="metabolite", how="left", validate="one_to_one")
    for column in ("n_replicates", "n_null", "n_position_matched"):
        calls[column] = calls[column].fillna(0).astype(int)
    calls["replicates_share_position"] = calls["replicates_share_position"].eq(True)
    return calls


def _class_and_reason(call: Mapping[Hashable, Any], rule: HitRule) -> tuple[str, str]:
    """The class of a metabolite and why, in words."""
    n, level = int(call["n_replicates"]), rule.level
    if n < 2:
        return "inconclusive", f"{n} usable replicate{'' if n == 1 else 's'}: agreement needs at least 2"
    if np.isnan(call["replicate_statistic"]):
        return "inconclusive", (
            f"all {n} usable replicates lie in one {rule.replicate_unit}: their agreement cannot be told from its "
            "own effect"
        )
    agreement = f"q {call['q_replicate']:.2g}"
    if call["q_replicate"] < level:
        if call["n_position_matched"]:
            beyond = "chance and position"
        elif call["replicates_share_position"]:
            beyond = "chance; too few wells share a position to test it"
        else:
            beyond = "chance, at different rows and columns"
        agree = f"{n} replicates agree beyond {beyond} ({agreement})"
        if np.isnan(call["direction"]):
            return "active_other", f"{agree}; no direction, because wells of both labels are missing"
        along = (
            f"{call['direction']:+.2f} ± {call['direction_standard_error']:.2f} of the distance from resting to "
            f"activated (q {call['q_direction']:.2g})"
        )
        if call["q_direction"] < level:
            return ("activator" if call["direction"] > 0 else "suppressor"), f"{agree}, and move {along}"
        return "active_other", f"{agree}, but not along activation: {along}"
    if call["q_null"] >= level > call["q_null_unadjusted"]:
        return "position_suspect", (
            f"replicates agree only before the position adjustment (q {call['q_null_unadjusted']:.2g}, after it "
            f"{call['q_null']:.2g})"
        )
    if call["q_null"] < level:
        return "position_suspect", (
            f"replicates agree more than other wells (q {call['q_null']:.2g}), but not more than other metabolites at "
            f"the same row and column ({agreement})"
        )
    return "inactive", f"{n} replicates do not agree beyond chance ({agreement})"


def _ranked(calls: pd.DataFrame) -> pd.DataFrame:
    """Hits first, then by p_replicate, then by the statistic; a metabolite without a statistic comes last."""
    calls = calls.assign(is_hit=calls["hit_class"].isin(HIT_CLASSES)).sort_values(
        ["is_hit", "p_replicate", "replicate_statistic", "metabolite"],
        ascending=[False, True, False, True],
        na_position="last",
        ignore_index=True,
    )
    calls.insert(0, "rank", np.arange(1, len(calls) + 1))
    first = ["rank", "metabolite", "hit_class", "reason", "n_replicates"]
    return calls[first + [name for name in calls.columns if name not in (*first, "is_hit")]]
