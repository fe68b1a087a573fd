"""Which active conditions resemble each other: neighbours by the cosine of their signatures, and clusters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tcell_assets.science.screen.signatures import benjamini_hochberg_rows

# Pairs that make up the null: the quantiles of 200 000 are known to 1 in 1 000, and more would hold a large screen up.
PAIRS_OF_THE_NULL = 200_000
# Clusters are cut where 1 in 100 pairs of different compounds is as alike.
CLUSTER_QUANTILE = 0.99


@dataclass(frozen=True, eq=False)
class Similarity:
    """Neighbours and clusters of the active conditions.

    Attributes:
        neighbours: `condition, neighbour_rank, neighbour, cosine, p, q, cluster, cluster_size`, nearest first; a
            condition that is not active has no row and is nobody's neighbour.
        null_quantiles: Cosine that 50, 90, 95, 99 % of pairs of different compounds at other positions stay below.
        n_null: Pairs in the null.
    """

    neighbours: pd.DataFrame
    null_quantiles: dict[str, float]
    n_null: int


def similar_conditions(
    profiles: np.ndarray,
    conditions: pd.DataFrame,
    *,
    neighbours: int = 10,
    seed: int = 614,
) -> Similarity:
    """Find the neighbours of every active condition.

    The similarity is the cosine of two profiles. Its p is the share of pairs of different compounds, active or not,
    that lie at other positions and are as alike: every signature is measured against the same DMSO wells, so unrelated
    signatures have a cosine above 0, and wells of one position share what the position does to them. True relatives
    among the pairs make p larger and never smaller. q is Benjamini and Hochberg's over the other active conditions.

    Args:
        profiles: (conditions, features): moderated t of every gene, or mean latent displacements; finite.
        conditions: Row i describes profile i: `condition, compound, is_active, positions`, the last a frozenset of the
            plate positions (row and column) of its wells.
        neighbours: Most neighbours listed a condition.
        seed: Of the pairs drawn for the null where there are more than 200 000.

    Raises:
        ValueError: A profile is not finite, or the two tables differ in length.
    """
    if len(profiles) != len(conditions):
        raise ValueError(f"similarity: {len(profiles)} profiles for {len(conditions)} conditions")
    if not np.isfinite(profiles).all():
        raise ValueError("similarity: a profile is not finite; leave conditions without a signature out")
    lengths = np.linalg.norm(profiles, axis=1, keepdims=True)
    directions = profiles / np.where(lengths > 0, lengths, 1.0)
    null = np.sort(_null(directions, conditions.reset_index(drop=True), seed))
    active = np.flatnonzero(conditions["is_active"].to_numpy(dtype=bool))
    quantiles = {
        f"{share:.0%}": float(np.quantile(null, share)) if len(null) else float("nan")
        for share in (0.5, 0.9, 0.95, CLUSTER_QUANTILE)
    }
    columns = [
        "condition", "neighbour_rank", "neighbour", "cosine", "p", "q", "cluster", "cluster_size",
    ]  # fmt: skip
    if len(active) < 2 or not len(null):
        return Similarity(pd.DataFrame(columns=columns), quantiles, len(null))
    names = conditions["condition"].to_numpy(dtype=object)[active]
    cosine = directions[active] @ directions[active].T
    # A tie counts against the finding; 1e-9 keeps rounding from deciding it.
    above = len(null) - np.searchsorted(null, cosine - 1e-9, side="left")
    p = (1.0 + above) / (1.0 + len(null))
    np.fill_diagonal(cosine, -np.inf)
    others = ~np.eye(len(active), dtype=bool)
    q = np.full_like(p, np.nan)
    q[others] = benjamini_hochberg_rows(p[others].reshape(len(active), -1)).ravel()
    cluster, size = _clusters(cosine, quantiles[f"{CLUSTER_QUANTILE:.0%}"])
    listed = min(neighbours, len(active) - 1)
    nearest = np.argsort(-cosine, axis=1, kind="stable")[:, :listed]
    rows = np.repeat(np.arange(len(active)), listed)
    at = (rows, nearest.ravel())
    table = pd.DataFrame(
        {
            "condition": names[rows],
            "neighbour_rank": np.tile(np.arange(1, listed + 1, dtype=np.int32), len(active)),
            "neighbour": names[at[1]],
            "cosine": cosine[at],
            "p": p[at],
            "q": q[at],
            "cluster": cluster[rows],
            "cluster_size": size[rows],
        }
    )
    return Similarity(table[columns], quantiles, len(null))


def _null(directions: np.ndarray, conditions: pd.DataFrame, seed: int) -> np.ndarray:
    """Cosines of pairs of different compounds that share no position, all of them or 200 000 drawn ones."""
    n = len(directions)
    if n * (n - 1) // 2 <= PAIRS_OF_THE_NULL:
        first, second = np.triu_indices(n, 1)
    else:
        generator = np.random.default_rng(seed)
        first, second = generator.integers(0, n, (2, 2 * PAIRS_OF_THE_NULL))
        different = first != second
        first, second = first[different][:PAIRS_OF_THE_NULL], second[different][:PAIRS_OF_THE_NULL]
    compound = conditions["compound"].to_numpy(dtype=object)
    positions = conditions["positions"].tolist()
    apart = np.array(
        [
            compound[one] != compound[other] and positions[one].isdisjoint(positions[other])
            for one, other in zip(first, second, strict=True)
        ],
        dtype=bool,
    )
    first, second = first[apart], second[apart]
    # In pieces: 200 000 pairs of 10 000 genes at once would be 32 GB.
    pieces = [
        np.einsum(
            "pg,pg->p", directions[first[start : start + 2_000]], directions[second[start : start + 2_000]]
        )
        for start in range(0, len(first), 2_000)
    ]
    return np.concatenate(pieces) if pieces else np.empty(0)


def _clusters(cosine: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Cluster number, from 1 for the largest, and the number of conditions in it; average linkage of 1 − cosine."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    distance = 1.0 - np.where(np.isinf(cosine), 1.0, cosine)
    condensed = squareform(np.clip((distance + distance.T) / 2.0, 0.0, 2.0), checks=False)
    found = fcluster(linkage(condensed, method="average"), t=1.0 - threshold, criterion="distance")
    labels, counts = np.unique(found, return_counts=True)
    order = np.lexsort((labels, -counts))
    number = np.empty(labels.max() + 1, dtype=np.int32)
    number[labels[order]] = np.arange(1, len(labels) + 1)
    size = np.zeros(labels.max() + 1, dtype=np.int32)
    size[labels] = counts
    return number[found], size[found]
