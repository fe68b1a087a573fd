"""Neighbours and clusters on planted mechanism groups, and their null by brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from tcell_assets.science.screen.signatures import fit_signatures
from tcell_assets.science.screen.similarity import Similarity, similar_conditions

GROUPS, MEMBERS, INACTIVE = 20, 5, 150


def _planted(seed: int, effect: float = 1.5) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, int]]:
    """Two plates of 100 active compounds in 20 groups of 5 that move the same 25 of 400 genes, and inactive ones."""
    generator = np.random.default_rng(seed)
    names = [f"g{group:02d}_{member}" for group in range(GROUPS) for member in range(MEMBERS)]
    names += [f"n{number:03d}" for number in range(INACTIVE)]
    wells = []
    for plate in ("1", "2"):
        order = generator.permutation(names + ["DMSO"] * 20)
        for place, name in enumerate(order):
            wells.append(("b1", plate, f"b1_{plate}_{place}", name, chr(65 + place // 20), place % 20 + 1))
    table = pd.DataFrame(wells, columns=["batch", "plate", "well_id", "metabolite", "row", "column"])
    table["is_dmso"] = table["metabolite"] == "DMSO"
    moved = generator.normal(size=(GROUPS, 400)) * (generator.random((GROUPS, 400)) < 25 / 400)
    group_of = {name: int(name[1:3]) for name in names if name[0] == "g"}
    values = generator.normal(size=(len(table), 400))
    for row, name in enumerate(table["metabolite"]):
        if name in group_of:
            values[row] += effect * moved[group_of[name]]
    return pd.DataFrame(values, index=table["well_id"]), table, group_of


def _similarity(seed: int, effect: float = 1.5, neighbours: int = 10) -> tuple[Similarity, dict[str, int]]:
    expression, wells, group_of = _planted(seed, effect)
    signatures = fit_signatures(expression, wells)
    positions = {
        str(name): frozenset(zip(own["row"], own["column"], strict=True))
        for name, own in wells.groupby("metabolite")
    }
    conditions = signatures.conditions.assign(
        compound=signatures.conditions["condition"],
        is_active=signatures.conditions["condition"].isin(group_of),
        positions=signatures.conditions["condition"].map(positions),
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
    expression, wells, _ = _planted(seed)
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
