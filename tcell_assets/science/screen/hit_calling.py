"""Hit calling: replicate agreement that the position of the wells cannot explain, and its direction."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tcell_assets.science.conditions import compounds, conditions, contexts, is_treated
from tcell_assets.science.screen.agreement import (
    PatternScores,
    benjamini_hochberg,
    cauchy_combination,
    learnt_scores,
    null_p_values,
    plain_scores,
    share_at_least,
)
from tcell_assets.science.screen.replicate_design import ReplicateDesign, replicate_design
from tcell_assets.science.screen.settings import HitRule
from tcell_assets.science.well_join import rows_for_wells, some_names, usable_wells
from tcell_assets.targets import ACTIVATION_LABEL

HIT_CLASSES = ("activator", "suppressor", "active_other")
CLASSES = (*HIT_CLASSES, "position_suspect", "inconclusive", "inactive")

ONLY_SET = "features"
# Of several feature sets: one round more than of one, and position-matched nulls leave out only what is called at 0.3
# of the level, since they are small and every false call left out takes away from their tail. On simulated screens of
# development seeds a third round found 84 % where two found 77 (`clean`, 1 000 genes) at a false-discovery proportion
# of 0.06, and the stricter choice lowered it where replicates share a well from 0.12 to 0.10.
FURTHER_ROUNDS = 1
SURE_SHARE = 0.3
# A feature set whose p is above this says nothing of a metabolite by itself.
NO_EVIDENCE = 0.05


@dataclass(frozen=True)
class FeatureSet:
    """Features of the wells in which agreement is tested.

    Attributes:
        adjusted: `well_id` and one numeric column a feature, position effects removed.
        unadjusted: The same before the adjustment; None leaves the set out of the evidence before the adjustment.
        is_learnt: Whether the features are axes to be weighed by how far other metabolites' replicates agree on them.
    """

    adjusted: pd.DataFrame
    unadjusted: pd.DataFrame | None = None
    is_learnt: bool = False


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
        One row a condition, named in the column `metabolite`, best rank first: `rank, metabolite, hit_class, reason,
        n_replicates, strength, replicate_statistic, p_null, p_position_matched, p_replicate, q_replicate, direction,
        direction_standard_error, p_direction, q_direction, q_null, n_null, n_position_matched,
        replicates_share_position` and, before
        the adjustment, `replicate_statistic_unadjusted, p_null_unadjusted, q_null_unadjusted, p_replicate_unadjusted,
        q_replicate_unadjusted`. `n_null` and `n_position_matched` count the sets of the two nulls,
        `replicates_share_position` says whether null 2 is called for. Statistics without meaning (one replicate,
        no labels, null 2 not used) are NaN.

    Raises:
        ValueError: The tables hold different wells, a feature is not finite, or a batch has no usable DMSO.
    """
    calls = call_combined_hits({ONLY_SET: FeatureSet(adjusted, unadjusted)}, wells, usable=usable, rule=rule)
    return calls.drop(columns=f"p_{ONLY_SET}")


def call_combined_hits(
    feature_sets: Mapping[str, FeatureSet],
    wells: pd.DataFrame,
    *,
    usable: pd.Series | None = None,
    rule: HitRule | None = None,
) -> pd.DataFrame:
    """Class, statistics, reason and rank of every metabolite by the evidence of several feature sets together.

    Every set is tested as in `call_hits`, against both nulls of its own; the sets' p are combined a metabolite
    (`agreement.cauchy_combination`), and one Benjamini–Hochberg list is made of them. A metabolite called in one round
    is left out of every set's null in the next.

    Args:
        feature_sets: By name. Statistic, strength and direction are the first one's.
        wells: As for `call_hits`.
        usable: As for `call_hits`.
        rule: As for `call_hits`.

    Returns:
        As `call_hits`, with `p_<name>` of every set beside the combined p.

    Raises:
        ValueError: As for `call_hits`, or no feature set is given.
    """
    if not feature_sets:
        raise ValueError("hit calling: no feature set is given.")
    rule = rule or HitRule()
    metadata, allowed = _treated_wells(wells, usable)
    design = replicate_design(metadata, rule.replicate_unit, rule.draws, rule.minimum_matched_sets, rule.seed)
    displaced = {
        name: _displacements(features.adjusted, wells, allowed, metadata, _label("adjusted", name))
        for name, features in feature_sets.items()
    }
    before = {
        name: _displacements(features.unadjusted, wells, allowed, metadata, _label("unadjusted", name))
        for name, features in feature_sets.items()
        if features.unadjusted is not None
    }

    calls = _replicate_agreement(
        {
            name: (learnt_scores if feature_sets[name].is_learnt else plain_scores)(values, design)
            for name, values in displaced.items()
        },
        design,
        rule,
    )
    unadjusted = (
        pd.DataFrame()
        if not before
        else _replicate_agreement(
            {name: plain_scores(values, design) for name, values in before.items()}, design, rule
        )
    )
    for column in ("replicate_statistic", "p_null", "q_null", "p_replicate", "q_replicate"):
        calls[f"{column}_unadjusted"] = unadjusted[column] if before else np.nan
    projection = _projection(next(iter(displaced.values())), metadata, design, rule)
    called = (calls["q_replicate"] < rule.level).to_numpy()
    calls = calls.join(_direction(projection, design, called))
    calls = _with_conditions_without_wells(calls, wells[is_treated(wells)])
    calls = _with_compounds(calls)
    sets = tuple(name for name in feature_sets if name != ONLY_SET)
    described = [_class_and_reason(call, rule, sets) for call in calls.to_dict("records")]
    calls["hit_class"] = [name for name, _ in described]
    calls["reason"] = [reason for _, reason in described]
    return _ranked(calls)


def _label(which: str, feature_set: str) -> str:
    return f"{which} features" + ("" if feature_set == ONLY_SET else f" {feature_set}")


def _treated_wells(wells: pd.DataFrame, usable: pd.Series | None) -> tuple[pd.DataFrame, pd.Series]:
    """Metadata of the usable treated wells, indexed by well_id, and the verdict on every well."""
    well_ids = wells["well_id"].tolist()
    metadata = rows_for_wells(wells, well_ids, "well metadata")
    allowed = usable_wells(usable, well_ids)
    # Sorted, so that the null draws do not depend on the order of the table.
    treated = metadata[is_treated(metadata) & allowed.to_numpy()].sort_index()
    # Wells of one condition are replicates: doses, times and cell lines of one metabolite are not.
    return treated.assign(metabolite=conditions(treated).astype(str)), allowed


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
    by_well = wells.set_index("well_id")
    # Another cell line or time is no effect of a compound: a well meets the DMSO of its own context.
    context = contexts(by_well).astype(str)
    batch_of = by_well["batch"].astype(str) + context.where(context == "", " " + context)
    is_dmso = wells.set_index("well_id")["is_dmso"].astype(bool)
    centres = aligned[is_dmso & allowed].groupby(batch_of[is_dmso & allowed]).mean()
    own = batch_of.loc[metadata.index]
    without = set(own) - set(centres.index)
    if without:
        raise ValueError(f"hit calling: no usable DMSO well in batch(es) {some_names(without)}.")
    centre = centres.loc[own.tolist()].to_numpy()
    return np.asarray(aligned.loc[metadata.index].to_numpy() - centre)


def _replicate_agreement(
    scored: Mapping[str, Sequence[PatternScores]], design: ReplicateDesign, rule: HitRule
) -> pd.DataFrame:
    """Replicate statistic, p of both nulls and q of every metabolite, in the order of the design's names.

    The statistic is the first feature set's; p of several sets are combined, and each set's own stands in `p_<set>`.
    """
    count = len(design.names)
    statistic = np.full(count, np.nan)
    shares_position = np.zeros(count, dtype=bool)
    compared = np.full(count, None, dtype=object)
    first = next(iter(scored.values()))
    for pattern, score in zip(design.patterns, first, strict=True):
        statistic[pattern.metabolites] = score.observed
        shares_position[pattern.metabolites] = pattern.shares_position
        compared[pattern.metabolites] = pattern.compared
    several = len(scored) > 1
    called = sure = np.zeros(count, dtype=bool)
    for _ in range(rule.null_rounds + several * FURTHER_ROUNDS):
        of_sets = {
            name: null_p_values(scores, design, called, sure if several else called)
            for name, scores in scored.items()
        }
        set_p = {name: np.fmax(p_null, p_matched) for name, (p_null, p_matched) in of_sets.items()}
        p_null, p_matched = (cauchy_combination([p[null] for p in of_sets.values()]) for null in (0, 1))
        p_replicate = cauchy_combination(list(set_p.values()))
        q_replicate = benjamini_hochberg(p_replicate)
        n_null, n_matched = _null_sizes(design, called, sure if several else called)
        now, now_sure = q_replicate < rule.level, q_replicate < SURE_SHARE * rule.level
        if (now == called).all() and (now_sure == sure).all():
            break
        called, sure = now, now_sure
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
            "q_null": benjamini_hochberg(p_null),
            "n_null": n_null,
            "n_position_matched": n_matched,
            "replicates_share_position": shares_position,
            "replicate_unit": compared,
            **{f"p_{name}": values for name, values in set_p.items()},
        }
    )


def _null_sizes(
    design: ReplicateDesign, called: np.ndarray, called_for_matched: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sets of null 1 and of null 2 that every metabolite is compared with."""
    n_null, n_matched = (np.zeros(len(design.names), dtype=int) for _ in range(2))
    for pattern in design.patterns:
        n_null[pattern.metabolites] = (~called[design.wells.metabolite[pattern.null]].any(axis=1)).sum()
        if len(pattern.matched_null):
            kept = ~called_for_matched[design.wells.metabolite[pattern.matched_null]].any(axis=1)
            n_matched[pattern.metabolites[pattern.shares_position]] = kept.sum()
    return n_null, n_matched


def _projection(
    displaced: np.ndarray, metadata: pd.DataFrame, design: ReplicateDesign, rule: HitRule
) -> np.ndarray:
    """Place of every well on the resting→activated axis of the other fold; all NaN where a class is missing."""
    generator = np.random.default_rng([rule.seed, 1])
    fold = generator.permutation(len(design.names))[design.wells.metabolite] % 2
    label = pd.to_numeric(metadata[ACTIVATION_LABEL], errors="coerce").to_numpy(dtype=np.float64)
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
    values = (direction, pooled / np.sqrt(n), p, benjamini_hochberg(p))
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
    upper, lower = share_at_least(observed, null), share_at_least(-observed, -null)
    return np.asarray(np.minimum(1.0, 2 * np.minimum(upper, lower)))


def _with_conditions_without_wells(calls: pd.DataFrame, treated: pd.DataFrame) -> pd.DataFrame:
    """Names each condition's compound, and adds a row for conditions without a usable well."""
    everything = pd.DataFrame(
        {"metabolite": conditions(treated).astype(str), "compound": compounds(treated).astype(str)}
    )
    everything = everything.drop_duplicates("metabolite").sort_values("metabolite")
    calls = everything.merge(calls, on="metabolite", how="left", validate="one_to_one")
    for column in ("n_replicates", "n_null", "n_position_matched"):
        calls[column] = calls[column].fillna(0).astype(int)
    calls["replicates_share_position"] = calls["replicates_share_position"].eq(True)
    return calls


def _with_compounds(calls: pd.DataFrame) -> pd.DataFrame:
    """Adds what the conditions of a compound say together: their combined p and its q over compounds."""
    p = calls["p_replicate"].groupby(calls["compound"])
    combined = p.apply(lambda values: float(cauchy_combination([np.array([one]) for one in values])[0]))
    q = pd.Series(benjamini_hochberg(combined.to_numpy()), index=combined.index)
    return calls.assign(
        n_conditions=calls["compound"].map(p.count()),
        p_compound=calls["compound"].map(combined),
        q_compound=calls["compound"].map(q),
    )


def _evidence(call: Mapping[Hashable, Any], sets: Sequence[str]) -> str:
    """Which of several feature sets a call rests on, in words; empty where there is one."""
    known = {name: float(call[f"p_{name}"]) for name in sets if not np.isnan(call[f"p_{name}"])}
    if len(known) < 2:
        return ""
    strongest = min(known, key=lambda name: known[name])
    rests = f"; strongest in {in_words(strongest)}"
    others = [p for name, p in known.items() if name != strongest]
    if min(others) > NO_EVIDENCE:
        rests = f"; it rests on {in_words(strongest)} alone"
    return rests


def in_words(feature_set: str) -> str:
    """A feature set's name as a reader says it, e.g. the model's latent."""
    return "the model's latent" if feature_set == "latent" else feature_set.replace("_", " ")


def _class_and_reason(
    call: Mapping[Hashable, Any], rule: HitRule, sets: Sequence[str] = ()
) -> tuple[str, str]:
    """The class of a metabolite and why, in words."""
    n, level = int(call["n_replicates"]), rule.level
    if n < 2:
        return "inconclusive", f"{n} usable replicate{'' if n == 1 else 's'}: agreement needs at least 2"
    if np.isnan(call["replicate_statistic"]):
        lies = "batch" if rule.replicate_unit == "batch" else "plate"
        return "inconclusive", (
            f"all {n} usable replicates lie in one {lies}: their agreement cannot be told from its own effect"
        )
    agreement = f"q {call['q_replicate']:.2g}"
    if call["q_replicate"] < level:
        if call["n_position_matched"]:
            beyond = "chance and position"
        elif call["replicates_share_position"]:
            beyond = "chance; too few wells share a position to test it"
        else:
            beyond = "chance, at different rows and columns"
        agree = f"{n} replicates agree beyond {beyond} ({agreement}{_evidence(call, sets)})"
        if rule.replicate_unit == "auto" and call["replicate_unit"] == "plate":
            agree += ", between plates of one batch: an effect of the batch itself is not excluded"
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
