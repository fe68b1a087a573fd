"""How well replicates agree: the statistic of metabolites and of null sets, plain or on axes learnt to matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from tcell_assets.science.screen.replicate_design import ReplicateDesign

# A metabolite that acts moves axes further than the mean over all metabolites says, most of which do nothing. Five: a
# fifth of them act.
ACTIVE_METABOLITES = 5.0
# Least share of an axis' variance that is taken for noise, so that no axis gets an endless weight.
LEAST_NOISE = 0.05
# Null sets whose agreement is weighed at once; 5 000 × 100 axes are 4 MB.
SETS_AT_ONCE = 5_000
# Up to so many axes all sets are taken at once.
FEW_AXES = 40


@dataclass(frozen=True)
class PatternScores:
    """Statistics of one replicate pattern: of its metabolites, of null 1 and of the position-matched null 2."""

    observed: np.ndarray
    null: np.ndarray
    matched: np.ndarray


def plain_scores(displaced: np.ndarray, design: ReplicateDesign) -> list[PatternScores]:
    """Mean of d_a·d_b over replicate pairs in different units, all axes alike.

    Args:
        displaced: Displacements from DMSO, wells of the design × axes.
        design: Replicate patterns and null sets.
    """
    return [
        PatternScores(
            agreement(displaced, pattern.members, pattern.slots),
            agreement(displaced, pattern.null, pattern.slots),
            agreement(displaced, pattern.matched_null, pattern.slots),
        )
        for pattern in design.patterns
    ]


def agreement(displaced: np.ndarray, sets: np.ndarray, slots: np.ndarray) -> np.ndarray:
    """Mean of d_a·d_b over the pairs of a set in different units, for every set."""
    if len(sets) > SETS_AT_ONCE and displaced.shape[1] > FEW_AXES:
        blocks = np.array_split(sets, -(-len(sets) // SETS_AT_ONCE))
        return np.concatenate([agreement(displaced, block, slots) for block in blocks])
    units = np.unique(slots)
    # Column by column: gathering all replicates of 100 000 sets at once would take 1 GB for a control of 40 wells.
    sums = np.zeros((len(units), len(sets), displaced.shape[1]))
    for column, unit in enumerate(np.searchsorted(units, slots)):
        sums[unit] += displaced[sets[:, column]]
    total = sums.sum(axis=0)
    products = ((total**2).sum(axis=1) - (sums**2).sum(axis=(0, 2))) / 2
    return np.asarray(products / _pairs(slots))


def learnt_scores(displaced: np.ndarray, design: ReplicateDesign) -> list[PatternScores]:
    """The same with every axis weighed by how far other metabolites' replicates agree on it.

    With v_k the variance of axis k over wells and g_k the mean of d_ak·d_bk over metabolites (the variance their
    effects have on it), an active metabolite has effects of variance e_k = 5·g_k on noise of variance s_k = v_k − g_k,
    and the weight w_k = 2e_k / (s_k (s_k + 2e_k)) is the one by which Σ w_k d_ak d_bk is, up to terms of single wells,
    the likelihood ratio of "acts" against "does nothing" for two replicates. g_k is taken over all metabolites but the
    set's own, in the null as in the test, and negative values count as 0: what a metabolite shows has no part in how it
    is weighed, so that a set of non-replicates is comparable with one of replicates.

    Args:
        displaced: Displacements from DMSO on uncorrelated axes (principal components), wells of the design × axes.
        design: Replicate patterns and null sets.
    """
    shown = np.zeros((len(design.names), displaced.shape[1]))
    known = np.zeros(len(design.names), dtype=bool)
    for pattern in design.patterns:
        shown[pattern.metabolites] = _axis_agreement(displaced, pattern.members, pattern.slots)
        known[pattern.metabolites] = True
    total, count = shown.sum(axis=0), int(known.sum())
    variance = displaced.var(axis=0)

    def scores(sets: np.ndarray, slots: np.ndarray, own: int) -> np.ndarray:
        """`own` columns of a set name its metabolites: one of replicates, all of non-replicates."""
        result = np.empty(len(sets))
        for start in range(0, len(sets), SETS_AT_ONCE):
            block = sets[start : start + SETS_AT_ONCE]
            metabolites = design.wells.metabolite[block[:, :own]]
            others = total - shown[metabolites[:, 0]]
            for column in range(1, own):
                others -= shown[metabolites[:, column]]
            left = count - known[metabolites].sum(axis=1, keepdims=True)
            effect = np.maximum(others, 0.0) / np.maximum(left, 1)
            noise = np.maximum(variance - effect, LEAST_NOISE * variance)
            effect *= 2 * ACTIVE_METABOLITES
            weight = np.divide(effect, noise * (noise + effect), out=np.zeros_like(effect), where=noise > 0)
            products = _axis_agreement(displaced, block, slots)
            result[start : start + SETS_AT_ONCE] = np.einsum("sk,sk->s", weight, products)
        return result

    return [
        PatternScores(
            scores(pattern.members, pattern.slots, own=1),
            scores(pattern.null, pattern.slots, own=len(pattern.slots)),
            scores(pattern.matched_null, pattern.slots, own=len(pattern.slots)),
        )
        for pattern in design.patterns
    ]


def _axis_agreement(displaced: np.ndarray, sets: np.ndarray, slots: np.ndarray) -> np.ndarray:
    """Mean of d_ak·d_bk over the pairs of a set in different units: sets × axes."""
    units = np.unique(slots)
    total = np.zeros((len(sets), displaced.shape[1]))
    squares = np.zeros_like(total)
    for unit in units:
        within = np.zeros_like(total)
        for column in np.flatnonzero(slots == unit):
            within += displaced[sets[:, column]]
        total += within
        squares += within**2
    return np.asarray((total**2 - squares) / 2 / _pairs(slots))


def _pairs(slots: np.ndarray) -> float:
    sizes = np.array([(slots == unit).sum() for unit in np.unique(slots)])
    return float(sizes.sum() ** 2 - (sizes**2).sum()) / 2


def share_at_least(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """(1 + #{null ≥ observed}) / (1 + #null): a p-value that is never 0 (Phipson & Smyth 2010)."""
    above = len(null) - np.searchsorted(np.sort(null), observed, side="left")
    return np.asarray((1 + above) / (1 + len(null)))


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Benjamini–Hochberg q over the finite p-values; NaN elsewhere."""
    q = np.full(len(p), np.nan)
    known = np.isfinite(p)
    if known.any():
        q[known] = stats.false_discovery_control(p[known], method="bh")
    return q


def cauchy_combination(p: Sequence[np.ndarray]) -> np.ndarray:
    """One p of several dependent ones of the same hypothesis (Liu & Xie 2020, JASA 115:393), equal weights.

    The mean of tan((½ − p)π) is standard Cauchy in its tail whatever the dependence. One p stays as it is; p-values
    that are NaN in one and known in another are left out.

    Args:
        p: One array a feature set, each with a value a metabolite.
    """
    if len(p) == 1:
        return p[0]
    values = np.stack(p)
    known = np.isfinite(values)
    # A p of exactly 1 would send the mean to minus infinity, whatever the other sets say.
    angles = np.tan((0.5 - np.minimum(np.where(known, values, 0.5), 1 - 1e-3)) * np.pi)
    n_known = known.sum(axis=0)
    mean = np.where(known, angles, 0.0).sum(axis=0) / np.maximum(n_known, 1)
    return np.where(n_known > 0, stats.cauchy.sf(mean), np.nan)


def null_p_values(
    scores: Sequence[PatternScores],
    design: ReplicateDesign,
    called: np.ndarray,
    called_for_matched: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The p of every metabolite against null 1 and against null 2, without the sets that hold a called metabolite.

    Args:
        scores: Of one feature set, a pattern each.
        design: The patterns.
        called: (metabolites,) which are left out of the nulls.
        called_for_matched: Which are left out of null 2, where that is a choice of its own.

    Returns:
        p_null and p_position_matched; NaN where a metabolite has no comparable replicates or null 2 is not needed.
    """
    left_out = called if called_for_matched is None else called_for_matched
    p_null, p_matched = (np.full(len(design.names), np.nan) for _ in range(2))
    for pattern, score in zip(design.patterns, scores, strict=True):
        kept = ~called[design.wells.metabolite[pattern.null]].any(axis=1)
        p_null[pattern.metabolites] = share_at_least(score.observed, score.null[kept])
        if len(score.matched):
            kept = ~left_out[design.wells.metabolite[pattern.matched_null]].any(axis=1)
            tested = pattern.metabolites[pattern.shares_position]
            p_matched[tested] = share_at_least(score.observed[pattern.shares_position], score.matched[kept])
    return p_null, p_matched
