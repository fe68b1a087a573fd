"""Neighbours and clusters on planted mechanism groups, and their null by brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from tcell_assets.science.screen.signatures import fit_signatures
from tcell_assets.science.screen.similarity import Similarity, similar_conditions
from tcell_assets_tests.science.planted_mechanisms import GROUPS, MEMBERS, planted, positions_of


def _similarity(seed: int, effect: float = 1.5, neighbours: int = 10) -> tuple[Similarity, dict[str, int]]:
    expression, wells, group_of = planted(seed, effect)
    signatures = fit_signatures(expression, wells)
    conditions = signatures.conditions.assign(
        compound=signatures.conditions["condition"],
        is_active=signatures.conditions["condition"].isin(group_of),
        positions=signatures.conditions["condition"].map(positions_of(wells)),
    )
    return similar_conditions(signatures.moderated_t, conditions, neighbours=neighbours), group_of


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_four_nearest_of_a_strong_compound_share_its_mechanism(seed: int) -> None:
    found, group_of = _similarity(seed)
    nearest = found.neighbours[found.neighbours["neighbour_rank"] <= 4]
    same = nearest["condition"].map(group_of) == nearest["neighbour"].map(group_of)
    assert same.mean() >= 0.8


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_order_of_neighbours_retrieves_mechanisms_as_well_as_copairs_measures_it(seed: int) -> None:
    """Mean average precision of the whole order, beside that of copairs on the same signatures."""
    from copairs import map as copairs_map

    found, group_of = _similarity(seed, neighbours=GROUPS * MEMBERS - 1)
    is_same = found.neighbours["condition"].map(group_of) == found.neighbours["neighbour"].map(group_of)
    ordered = found.neighbours.assign(is_same=is_same).sort_values(["condition", "neighbour_rank"])
    hits_so_far = ordered.groupby("condition")["is_same"].cumsum()
    precision = (hits_so_far / ordered["neighbour_rank"])[ordered["is_same"]]
    own = precision.groupby(ordered["condition"]).mean()
    expression, wells, _ = planted(seed)
    signatures = fit_signatures(expression, wells)
    active = signatures.conditions["condition"].isin(group_of).to_numpy()
    names = signatures.conditions["condition"][active].reset_index(drop=True)
    theirs = copairs_map.average_precision(
        pd.DataFrame({"condition": names, "group": names.map(group_of)}),
        signatures.moderated_t[active],
        pos_sameby=["group"],
        pos_diffby=[],
        neg_sameby=[],
        neg_diffby=["group"],
        progress_bar=False,
    ).set_index("condition")["average_precision"]
    np.testing.assert_allclose(own, theirs.loc[own.index], rtol=0, atol=1e-6)
    assert own.mean() >= 0.9


def test_no_neighbour_is_listed_for_or_among_inactive_conditions() -> None:
    found, group_of = _similarity(1)
    assert set(found.neighbours["condition"]) == set(group_of)
    assert set(found.neighbours["neighbour"]) <= set(group_of)


def test_unrelated_actives_are_not_significant_neighbours() -> None:
    """Without any effect the p of neighbours of different compounds is that of the null itself."""
    found, _ = _similarity(4, effect=0.0)
    assert (found.neighbours["q"] < 0.1).mean() < 0.02


def test_the_null_is_every_pair_of_different_compounds_at_other_positions() -> None:
    profiles = np.random.default_rng(0).normal(size=(8, 5))
    positions = [frozenset({("A", number % 5)}) for number in range(8)]
    conditions = pd.DataFrame(
        {
            "condition": [f"c{number}" for number in range(8)],
            "compound": ["x", "x", "y", "z", "u", "v", "w", "w"],
            "is_active": True,
            "positions": positions,
        }
    )
    found = similar_conditions(profiles, conditions, neighbours=3)
    cosine = {
        (a, b): profiles[a] @ profiles[b] / np.linalg.norm(profiles[a]) / np.linalg.norm(profiles[b])
        for a, b in itertools.permutations(range(8), 2)
    }
    compounds = conditions["compound"]
    null = [
        cosine[a, b]
        for a, b in itertools.combinations(range(8), 2)
        if compounds[a] != compounds[b] and not positions[a] & positions[b]
    ]
    assert found.n_null == len(null)
    for row in found.neighbours.to_dict("records"):
        a, b = int(row["condition"][1:]), int(row["neighbour"][1:])
        assert row["cosine"] == pytest.approx(cosine[a, b])
        assert row["p"] == pytest.approx(
            (1 + sum(value >= cosine[a, b] - 1e-12 for value in null)) / (1 + len(null))
        )


def test_clusters_gather_a_planted_group_and_say_how_large_they_are() -> None:
    found, group_of = _similarity(2, effect=3.0)
    clusters = found.neighbours.drop_duplicates("condition").set_index("condition")
    for group in range(GROUPS):
        own = clusters.loc[[name for name, number in group_of.items() if number == group]]
        assert own["cluster"].nunique() == 1
    assert (clusters.groupby("cluster").size() == clusters.groupby("cluster")["cluster_size"].first()).all()


def test_one_active_condition_has_no_neighbours() -> None:
    conditions = pd.DataFrame(
        {
            "condition": ["a", "b"],
            "compound": ["a", "b"],
            "is_active": [True, False],
            "positions": [frozenset()] * 2,
        }
    )
    assert similar_conditions(np.eye(2), conditions).neighbours.empty
