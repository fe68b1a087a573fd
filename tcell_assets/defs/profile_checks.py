"""Asset checks of what each condition does: what a profile leaves out, or cannot know, is a warning with its names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import dagster as dg

from tcell_assets.defs.metadata import bullet_list

HAS_SIGNATURE = "every_condition_has_a_signature"
NEIGHBOURS_JUDGED = "neighbours_can_be_judged"
SETS_MEASURED = "gene_sets_are_measured"
DOSES_FITTED = "dose_series_are_fitted"

# Below 99 pairs in the null the smallest possible p is above .01, and q over some neighbours reaches nothing.
FEWEST_PAIRS_OF_THE_NULL = 99

PROFILE_CHECKS = [
    dg.AssetCheckSpec(
        HAS_SIGNATURE,
        asset="signatures",
        description="Every condition can be compared with DMSO: its plates hold usable DMSO wells, or share "
        "conditions with plates that do. A warning that names the others.",
    ),
    dg.AssetCheckSpec(
        NEIGHBOURS_JUDGED,
        asset="metabolite_similarity",
        description="Enough pairs of different compounds at other positions lie in the null for a p of .01. A warning.",
    ),
    dg.AssetCheckSpec(
        SETS_MEASURED,
        asset="pathway_activity",
        description="Enough genes of every gene set are measured. A warning that names the sets left out.",
    ),
    dg.AssetCheckSpec(
        DOSES_FITTED,
        asset="dose_response",
        description="Every compound that is there at several doses has a curve. A warning that names the others and "
        "says why.",
    ),
]


def signature_check(without: Sequence[str]) -> dg.AssetCheckResult:
    """Judge which conditions have no signature."""
    return _warning(
        "signatures",
        HAS_SIGNATURE,
        [
            f"{condition}: its plates hold no DMSO well and nothing that other plates hold"
            for condition in without
        ],
        f"{len(without)} conditions have no signature",
    )


def neighbours_check(active: int, pairs: int) -> dg.AssetCheckResult:
    """Judge whether the null of the neighbours is large enough; with fewer than two active conditions none is asked."""
    doubts = []
    if active > 1 and pairs < FEWEST_PAIRS_OF_THE_NULL:
        doubts.append(
            f"{pairs} pairs of different compounds at other positions: p is {1 / (1 + pairs):.2g} at best"
        )
    return _warning(
        "metabolite_similarity", NEIGHBOURS_JUDGED, doubts, "neighbours cannot be told from chance"
    )


def gene_sets_check(left_out: Mapping[str, int], fewest: int) -> dg.AssetCheckResult:
    """Judge which gene sets are left out, by the number of their genes that are measured."""
    return _warning(
        "pathway_activity",
        SETS_MEASURED,
        [
            f"{name}: {count} of its genes are measured, {fewest} are needed"
            for name, count in left_out.items()
        ],
        f"{len(left_out)} gene sets are left out",
    )


def dose_check(left_out: Mapping[str, str]) -> dg.AssetCheckResult:
    """Judge which dose series have no curve, by the reason."""
    return _warning(
        "dose_response",
        DOSES_FITTED,
        [f"{series}: {reason}" for series, reason in left_out.items()],
        f"{len(left_out)} dose series have no curve",
    )


def _warning(asset: str, check: str, doubts: Sequence[str], summary: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=check,
        passed=not doubts,
        severity=dg.AssetCheckSeverity.WARN,
        description=summary if doubts else "nothing is left out",
        metadata={"doubts": bullet_list(doubts)},
    )
